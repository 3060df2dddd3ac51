//! `victorops_configs`: incidents for VictorOps.

use std::collections::BTreeMap;

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

section! {
    /// A route of VictorOps.
    pub struct VictorOpsConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The key.
        api_key: Secret,
        /// A file with it.
        api_key_file: String,
        /// The address.
        api_url: ApiUrl,
        /// The route; a template.
        routing_key: String,
        /// What a firing alert is; a template.
        message_type: String = "CRITICAL".to_owned(),
        /// The text; a template.
        state_message: String = "{{ template \"victorops.default.state_message\" . }}".to_owned(),
        /// The title; a template.
        entity_display_name: String = "{{ template \"victorops.default.entity_display_name\" . }}".to_owned(),
        /// Where it is from; a template.
        monitoring_tool: String = "{{ template \"victorops.default.monitoring_tool\" . }}".to_owned(),
        /// Further fields; templates.
        custom_fields: BTreeMap<String, String>,
    }
}

impl ReceiverConfig for VictorOpsConfig {
    const KIND: &'static str = "victorops";

    fn check(&mut self) -> Result<(), String> {
        ensure(
            !self.routing_key.is_empty(),
            "missing Routing key in VictorOps config",
        )?;
        at_most_one(
            !self.api_key.is_empty(),
            !self.api_key_file.is_empty(),
            "api_key",
        )?;
        let reserved = self.custom_fields.keys().find(|field| {
            matches!(
                field.as_str(),
                "routing_key"
                    | "message_type"
                    | "state_message"
                    | "entity_display_name"
                    | "monitoring_tool"
                    | "entity_id"
                    | "entity_state"
            )
        });
        match reserved {
            Some(field) => Err(format!(
                "victorOps config contains custom field {field} which cannot be used as it conflicts with the \
                 fixed/static fields"
            )),
            None => Ok(()),
        }
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            ensure(
                !global.victorops_api_url.is_empty(),
                "no global VictorOps URL set",
            )?;
            self.api_url = global.victorops_api_url.clone();
        }
        self.api_url.end_with_slash();
        if self.api_key.is_empty() && self.api_key_file.is_empty() {
            self.api_key = global.victorops_api_key.clone();
            self.api_key_file.clone_from(&global.victorops_api_key_file);
        }
        ensure(
            !self.api_key.is_empty() || !self.api_key_file.is_empty(),
            "no global VictorOps API Key set",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
