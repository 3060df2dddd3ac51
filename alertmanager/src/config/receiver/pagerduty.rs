//! `pagerduty_configs`: incidents for PagerDuty.

use std::collections::BTreeMap;

use net::http_config::{HttpConfig, Secret};
use serde_json::Value;

use super::ReceiverConfig;
use crate::config::duration::GoDuration;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

/// What every event says unless the configuration says otherwise.
const DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
];

section! {
    /// A service of PagerDuty.
    pub struct PagerDutyConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The key of version 1 of the API.
        service_key: Secret,
        /// A file with it.
        service_key_file: String,
        /// The key of version 2.
        routing_key: Secret,
        /// A file with it.
        routing_key_file: String,
        /// The address.
        url: ApiUrl,
        /// Who tells; a template.
        client: String = "{{ template \"pagerduty.default.client\" . }}".to_owned(),
        /// Where it can be looked at; a template.
        client_url: String = "{{ template \"pagerduty.default.clientURL\" . }}".to_owned(),
        /// The text; a template.
        description: String = "{{ template \"pagerduty.default.description\" .}}".to_owned(),
        /// Further details; texts are templates.
        details: BTreeMap<String, Value>,
        /// Pictures.
        images: Vec<PagerDutyImage>,
        /// Links.
        links: Vec<PagerDutyLink>,
        /// What is affected; the client, if empty.
        source: String,
        /// The severity; a template.
        severity: String,
        /// The class of the event; a template.
        class: String,
        /// The part that is affected; a template.
        component: String,
        /// The group of parts; a template.
        group: String,
        /// How long one request may take.
        "shown" timeout: GoDuration,
    }
}

section! {
    /// A link; templates.
    pub struct PagerDutyLink {
        /// Where to.
        href: String,
        /// What stands there.
        text: String,
    }
}

section! {
    /// A picture; templates.
    pub struct PagerDutyImage {
        /// Where it is.
        src: String,
        /// The text in its place.
        alt: String,
        /// The link behind it.
        href: String,
    }
}

impl ReceiverConfig for PagerDutyConfig {
    const KIND: &'static str = "pagerduty";

    fn check(&mut self) -> Result<(), String> {
        let (routing, routing_file) = (
            !self.routing_key.is_empty(),
            !self.routing_key_file.is_empty(),
        );
        let (service, service_file) = (
            !self.service_key.is_empty(),
            !self.service_key_file.is_empty(),
        );
        ensure(
            routing || routing_file || service || service_file,
            "missing service or routing key in PagerDuty config",
        )?;
        at_most_one(routing, routing_file, "routing_key")?;
        at_most_one(service, service_file, "service_key")?;
        if self.source.is_empty() {
            self.source.clone_from(&self.client);
        }
        for (name, template) in DETAILS {
            let detail = self.details.entry(name.to_owned());
            detail.or_insert_with(|| Value::String(template.to_owned()));
        }
        Ok(())
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.url.is_empty() {
            ensure(
                !global.pagerduty_url.is_empty(),
                "no global PagerDuty URL set",
            )?;
            self.url = global.pagerduty_url.clone();
        }
        Ok(())
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
