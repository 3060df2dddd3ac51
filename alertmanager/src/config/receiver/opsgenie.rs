//! `opsgenie_configs`: alerts for OpsGenie.

use std::collections::BTreeMap;

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

section! {
    /// An integration of OpsGenie.
    pub struct OpsGenieConfig {
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
        /// The title; a template.
        message: String = "{{ template \"opsgenie.default.message\" . }}".to_owned(),
        /// The text; a template.
        description: String = "{{ template \"opsgenie.default.description\" . }}".to_owned(),
        /// Where it is from; a template.
        source: String = "{{ template \"opsgenie.default.source\" . }}".to_owned(),
        /// Further details; templates.
        details: BTreeMap<String, String>,
        /// What it is about; a template.
        entity: String,
        /// Who responds.
        responders: Vec<OpsGenieResponder>,
        /// Actions, separated by commas.
        actions: String,
        /// Tags, separated by commas.
        tags: String,
        /// A note.
        note: String,
        /// The priority.
        priority: String,
        /// Whether alerts get new messages.
        update_alerts: bool,
    }
}

impl ReceiverConfig for OpsGenieConfig {
    const KIND: &'static str = "opsgenie";

    fn check(&mut self) -> Result<(), String> {
        at_most_one(
            !self.api_key.is_empty(),
            !self.api_key_file.is_empty(),
            "api_key",
        )?;
        self.responders
            .iter()
            .try_for_each(OpsGenieResponder::check)
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            ensure(
                !global.opsgenie_api_url.is_empty(),
                "no global OpsGenie URL set",
            )?;
            self.api_url = global.opsgenie_api_url.clone();
        }
        self.api_url.end_with_slash();
        if self.api_key.is_empty() && self.api_key_file.is_empty() {
            self.api_key = global.opsgenie_api_key.clone();
            self.api_key_file.clone_from(&global.opsgenie_api_key_file);
        }
        ensure(
            !self.api_key.is_empty() || !self.api_key_file.is_empty(),
            "no global OpsGenie API Key set either inline or in a file",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}

section! {
    /// Who responds to an alert: one of id, name and user name.
    pub struct OpsGenieResponder {
        /// The id.
        id: String,
        /// The name.
        name: String,
        /// The user name.
        username: String,
        /// `team`, `teams`, `user`, `escalation` or `schedule`; a template.
        r#type: String,
    }
}

impl OpsGenieResponder {
    fn check(&self) -> Result<(), String> {
        let has_who = !self.id.is_empty() || !self.name.is_empty() || !self.username.is_empty();
        let shown = format!(
            "{{{} {} {} {}}}",
            self.id, self.name, self.username, self.r#type
        );
        ensure(
            has_who,
            &format!(
                "opsGenieConfig responder {shown} has to have at least one of id, username or name specified"
            ),
        )?;
        let kind = self.r#type.to_lowercase();
        let is_known = matches!(
            kind.as_str(),
            "team" | "teams" | "user" | "escalation" | "schedule"
        );
        ensure(
            is_known || kind.contains("{{"),
            &format!(
                "opsGenieConfig responder {shown} type does not match valid options \
                 ^(team|teams|user|escalation|schedule)$"
            ),
        )
    }
}
