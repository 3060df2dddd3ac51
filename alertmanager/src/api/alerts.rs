//! Alerts: taken in, and shown alone or in their groups.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::Labels;
use model::name::Quoted;
use net::json::LabelsJson;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::decode::{Object, mismatch};
use super::{Api, Failure, Handled, Query, json, required, time, unreadable};
use crate::alert::Alert;
use crate::config::MatcherMode;
use crate::dispatch::{AlertFilter, AlertSnapshot, Dispatcher, GroupSnapshot};

/// The Go type that reads the part of an alert that senders and readers do not share.
const POSTABLE: &str = r#"value of type struct { Annotations models.LabelSet "json:\"annotations,omitempty\""; EndsAt strfmt.DateTime "json:\"endsAt,omitempty\""; StartsAt strfmt.DateTime "json:\"startsAt,omitempty\"" }"#;

/// An alert as the API shows it; the order of the fields is Alertmanager's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    annotations: LabelsJson<'a>,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Name<'a>>,
    starts_at: String,
    status: Status<'a>,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: LabelsJson<'a>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    inhibited_by: Vec<String>,
    muted_by: &'a [String],
    silenced_by: &'a [String],
    state: &'static str,
}

impl<'a> Shown<'a> {
    fn new(snapshot: &'a AlertSnapshot, muted_by: &'a [String]) -> Self {
        let alert = &snapshot.alert;
        let is_suppressed = snapshot.is_suppressed() || !muted_by.is_empty();
        let inhibited_by = snapshot.inhibited_by.iter();
        Shown {
            annotations: LabelsJson(&alert.annotations),
            ends_at: time::print(snapshot.ends_at_ms),
            fingerprint: format!("{:016x}", alert.fingerprint),
            receivers: snapshot
                .receivers
                .iter()
                .map(|name| Name { name })
                .collect(),
            starts_at: time::print(alert.starts_at_ms),
            status: Status {
                inhibited_by: inhibited_by.map(|print| format!("{print:016x}")).collect(),
                muted_by,
                silenced_by: &snapshot.silenced_by,
                state: if is_suppressed {
                    "suppressed"
                } else {
                    "active"
                },
            },
            updated_at: time::print(snapshot.updated_at_ms),
            generator_url: &alert.generator_url,
            labels: LabelsJson(&alert.labels),
        }
    }
}

/// Alerts as the API shows them, each made when it is its turn: there may be very many.
struct ShownAlerts<'a> {
    alerts: &'a [AlertSnapshot],
    muted_by: &'a [String],
}

impl Serialize for ShownAlerts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let alerts = self.alerts.iter();
        serializer.collect_seq(alerts.map(|alert| Shown::new(alert, self.muted_by)))
    }
}

#[derive(Serialize)]
struct ShownGroup<'a> {
    alerts: ShownAlerts<'a>,
    labels: LabelsJson<'a>,
    receiver: Name<'a>,
    /// Alertmanager has it since 0.34.
    #[serde(rename = "routeLabels", skip_serializing_if = "Option::is_none")]
    route_labels: Option<LabelsJson<'a>>,
}

/// The same of groups, each with the labels of its route.
struct ShownGroups<'a>(&'a [(GroupSnapshot, Labels)]);

impl Serialize for ShownGroups<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(group, route_labels)| ShownGroup {
            alerts: ShownAlerts {
                alerts: &group.alerts,
                muted_by: &group.muted_by,
            },
            labels: LabelsJson(&group.labels),
            receiver: Name {
                name: &group.receiver,
            },
            route_labels: (!route_labels.is_empty()).then_some(LabelsJson(route_labels)),
        }))
    }
}

impl Api {
    pub(super) fn alerts(&self, query: &Query) -> Handled {
        let alerts = self.filtered(query, Dispatcher::alerts)?;
        let shown = ShownAlerts {
            alerts: &alerts,
            muted_by: &[],
        };
        Ok(json(StatusCode::OK, &shown, "\n"))
    }

    pub(super) fn groups(&self, query: &Query) -> Handled {
        let groups: Vec<GroupSnapshot> = self.filtered(query, Dispatcher::groups)?;
        let groups = groups.into_iter().map(|group| {
            let route_labels = self.alertmanager.route_labels(&group);
            (group, route_labels)
        });
        let groups: Vec<_> = groups.collect();
        Ok(json(StatusCode::OK, &ShownGroups(&groups), "\n"))
    }

    /// Returns what `find` finds with the filter that the parameters ask for.
    fn filtered<T>(
        &self,
        query: &Query,
        find: impl FnOnce(&Dispatcher, i64, &AlertFilter<'_>) -> T,
    ) -> Result<T, Failure> {
        let matchers = query
            .matchers("filter", self.matcher_mode())
            .map_err(Failure::Meaning)?;
        let receivers = query.receivers(self.matcher_mode())?;
        Ok(self.alertmanager.look(|dispatcher, now_ms| {
            let passes = |name: &str| {
                let receiver = dispatcher.config().receiver(name);
                receivers.passes(name, receiver.map(|receiver| &receiver.labels))
            };
            let filter = AlertFilter {
                labels: &|labels| matchers.iter().all(|m| m.matches_labels(labels)),
                receiver: &passes,
                active: query.is_on("active"),
                silenced: query.is_on("silenced"),
                inhibited: query.is_on("inhibited"),
                muted: query.is_on("muted"),
            };
            find(dispatcher, now_ms, &filter)
        }))
    }

    /// Takes alerts in. Those that are good are taken even where others are not.
    pub(super) fn post_alerts(&self, body: &Value) -> Handled {
        let items = match body {
            Value::Array(items) => items.as_slice(),
            Value::Null => &[],
            other => {
                let why = mismatch(other, "value of type models.PostableAlerts");
                return Err(unreadable("alerts", &why));
            }
        };
        let decoded: Result<Vec<Posted>, String> = items.iter().map(Posted::of).collect();
        let decoded = decoded.map_err(|why| unreadable("alerts", &why))?;
        for (index, alert) in decoded.iter().enumerate() {
            alert.check_schema(index)?;
        }
        let now_ms = self.alertmanager.now_ms();
        let timeout_ms = self.alertmanager.config().resolve_timeout.as_ms();
        let (mut good, mut faults) = (Vec::new(), Vec::new());
        for alert in decoded {
            match alert.checked(now_ms, timeout_ms, self.matcher_mode()) {
                Ok(alert) => good.push(alert),
                Err(fault) => faults.push(fault),
            }
        }
        self.alertmanager.handle().notify(&good);
        if faults.is_empty() {
            return Ok(Response::default());
        }
        let invalid = self.metrics.invalid.with(&["v2"]);
        invalid.add(faults.len() as f64);
        Ok(Failure::Meaning(faults.join("\n")).into_response())
    }
}

/// An alert as it was sent.
struct Posted {
    labels: Option<BTreeMap<String, String>>,
    annotations: BTreeMap<String, String>,
    starts_at_ms: Option<i64>,
    ends_at_ms: Option<i64>,
    generator_url: String,
}

impl Posted {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What of it has the wrong type.
    fn of(item: &Value) -> Result<Self, String> {
        let own = Object::of(item, POSTABLE, ".")?;
        let shared = own.called("Alert.");
        Ok(Posted {
            annotations: own.strings("annotations")?.unwrap_or_default(),
            ends_at_ms: own.time("endsAt")?,
            starts_at_ms: own.time("startsAt")?,
            generator_url: shared
                .formatted("generatorURL")?
                .unwrap_or_default()
                .to_owned(),
            labels: shared.strings("labels")?,
        })
    }

    fn check_schema(&self, index: usize) -> Result<(), Failure> {
        let url = &self.generator_url;
        if !url.is_empty() && !is_request_uri(url) {
            let text = format!(
                "{index}.generatorURL in body must be of type uri: {}",
                Quoted(url)
            );
            return Err(Failure::Schema(601, text));
        }
        match &self.labels {
            Some(_) => Ok(()),
            None => Err(required(&format!("{index}.labels"))),
        }
    }

    /// Returns the alert with the times that its sender left out, or what is wrong with it.
    fn checked(self, now_ms: i64, timeout_ms: i64, mode: MatcherMode) -> Result<Alert, String> {
        let starts_at_ms = self.starts_at_ms.or(self.ends_at_ms).unwrap_or(now_ms);
        // Without an end it ends a while from now, however late it starts.
        let ends_at_ms = self.ends_at_ms;
        let end_ms = ends_at_ms.unwrap_or(now_ms.saturating_add(timeout_ms));
        let mut labels = self.labels.unwrap_or_default();
        labels.retain(|_, value| !value.is_empty());
        if end_ms < starts_at_ms {
            return Err("start time must be before end time".to_owned());
        }
        let check = |what: &str, pairs: &BTreeMap<String, String>| match pairs
            .keys()
            .find(|name| !mode.is_label_name(name))
        {
            Some(name) => Err(format!("invalid {what}: invalid name {}", Quoted(name))),
            None => Ok(()),
        };
        check("label set", &labels)?;
        if labels.is_empty() {
            return Err("at least one label pair required".to_owned());
        }
        check("annotations", &self.annotations)?;
        let pairs = |map: &BTreeMap<String, String>| {
            Labels::from_pairs(
                map.iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )
        };
        Ok(Alert {
            labels: pairs(&labels),
            annotations: pairs(&self.annotations),
            starts_at_ms,
            ends_at_ms,
            generator_url: self.generator_url,
        })
    }
}

/// Returns whether a text can be what a request asks for: a path, or a URL with its scheme.
fn is_request_uri(text: &str) -> bool {
    if text.chars().any(char::is_control) {
        return false;
    }
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    text.starts_with('/') || scheme.is_some_and(is_scheme)
}
