//! An alert as Alertmanager's API takes it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::Alert;
use crate::template::time::rfc3339;

/// One item of the list that is posted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostedAlert<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

impl<'a> PostedAlert<'a> {
    pub(super) fn new(alert: &'a Alert) -> Self {
        PostedAlert {
            labels: alert.labels.iter().collect(),
            annotations: alert.annotations.iter().collect(),
            starts_at: rfc3339(alert.starts_at_ms),
            ends_at: alert.ends_at_ms.map(rfc3339),
            generator_url: &alert.generator_url,
        }
    }
}
