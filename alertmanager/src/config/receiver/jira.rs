//! `jira_configs`: issues of Jira.

use std::collections::BTreeMap;

use net::http_config::HttpConfig;

use super::ReceiverConfig;
use super::chat::TextOrTemplate;
use crate::config::global::Global;
use crate::config::section::ensure;
use crate::config::url::ApiUrl;
use model::Duration;
use serde_json::Value;

section! {
    /// A project of Jira.
    pub struct JiraConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The address of Jira.
        api_url: ApiUrl,
        /// `auto`, `cloud` or `datacenter`.
        api_type: String = "auto".to_owned(),
        /// The project; a template.
        project: String,
        /// The title; a template.
        summary: TextOrTemplate = TextOrTemplate::new("jira.default.summary"),
        /// The text; a template.
        description: TextOrTemplate = TextOrTemplate::new("jira.default.description"),
        /// Labels; templates.
        labels: Vec<String>,
        /// The priority; a template.
        priority: String = "{{ template \"jira.default.priority\" . }}".to_owned(),
        /// The type of the issue; a template.
        issue_type: String,
        /// How an issue is opened again.
        reopen_transition: String,
        /// How an issue is closed.
        resolve_transition: String,
        /// Issues that are never opened again.
        wont_fix_resolution: String,
        /// How long after closing an issue is opened again.
        reopen_duration: Duration,
        /// Further fields.
        fields: BTreeMap<String, Value>,
    }
}

impl ReceiverConfig for JiraConfig {
    const KIND: &'static str = "jira";

    fn check(&mut self) -> Result<(), String> {
        ensure(!self.project.is_empty(), "missing project in jira_config")?;
        ensure(
            !self.issue_type.is_empty(),
            "missing issue_type in jira_config",
        )?;
        ensure(
            matches!(self.api_type.as_str(), "auto" | "cloud" | "datacenter"),
            "unknown api_type on jira_config, must be auto, cloud or datacenter",
        )
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            ensure(
                !global.jira_api_url.is_empty(),
                "no global Jira Cloud URL set",
            )?;
            self.api_url = global.jira_api_url.clone();
        }
        Ok(())
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
