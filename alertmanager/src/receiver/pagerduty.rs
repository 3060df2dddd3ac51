//! PagerDuty: an event of version 2 for a routing key, of version 1 for a service key.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, group_id, read};
use super::{Message, SendError};
use crate::config::receiver::PagerDutyConfig;

/// Where events of version 1 go; Alertmanager has no setting for it.
const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";
/// PagerDuty refuses larger events.
const EVENT_BYTES_MAX: usize = 512_000;

impl Dialogue for PagerDutyConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let details = self.details(message)?;
        let event = self.event(message, &details)?;
        if event.body.len() <= EVENT_BYTES_MAX {
            return Ok(Some(event));
        }
        let note = format!("left out: the event was larger than {EVENT_BYTES_MAX} bytes");
        self.event(message, &json!({ "error": note })).map(Some)
    }

    fn is_retried(&self, status: u16) -> bool {
        status == if self.is_v1() { 403 } else { 429 }
    }
}

impl PagerDutyConfig {
    fn is_v1(&self) -> bool {
        !self.service_key.is_empty() || !self.service_key_file.is_empty()
    }

    fn event(&self, message: &Message, details: &Value) -> Result<Outgoing, SendError> {
        let action = if message.is_firing() {
            "trigger"
        } else {
            "resolve"
        };
        let summary = cut(message.text(&self.description)?, 1_024);
        let client = message.text(&self.client)?;
        let client_url = message.text(&self.client_url)?;
        if self.is_v1() {
            let key = message.text(&read(&self.service_key, &self.service_key_file)?)?;
            let mut body = Ordered::default()
                .some("service_key", &key)?
                .put("incident_key", &group_id(message))?
                .put("event_type", &action)?
                .put("description", &summary)?;
            if message.is_firing() {
                body = body
                    .some("client", &client)?
                    .some("client_url", &client_url)?;
            }
            return Outgoing::json(V1_URL.to_owned(), &body.put("details", details)?);
        }
        let severity = message.text(&self.severity)?;
        let severity = if severity.is_empty() {
            "error"
        } else {
            &severity
        };
        let payload = Ordered::default()
            .put("summary", &summary)?
            .put("source", &message.text(&self.source)?)?
            .put("severity", &severity)?
            .some("class", &message.text(&self.class)?)?
            .some("component", &message.text(&self.component)?)?
            .some("group", &message.text(&self.group)?)?
            .put("custom_details", details)?;
        let key = message.text(&read(&self.routing_key, &self.routing_key_file)?)?;
        let body = Ordered::default()
            .put("routing_key", &key)?
            .put("dedup_key", &group_id(message))?
            .put("event_action", &action)?
            .put("payload", &payload)?
            .some("client", &client)?
            .some("client_url", &client_url)?
            .list("images", &self.images(message)?)?
            .list("links", &self.links(message)?)?;
        Outgoing::json(self.url.as_str().to_owned(), &body)
    }

    fn images(&self, message: &Message) -> Result<Vec<Ordered>, SendError> {
        let mut all = Vec::new();
        for image in &self.images {
            let src = message.text(&image.src)?;
            if !src.is_empty() {
                let item = Ordered::default().put("src", &src)?;
                let item = item.put("alt", &message.text(&image.alt)?)?;
                all.push(item.put("href", &message.text(&image.href)?)?);
            }
        }
        Ok(all)
    }

    fn links(&self, message: &Message) -> Result<Vec<Ordered>, SendError> {
        let mut all = Vec::new();
        for link in &self.links {
            let href = message.text(&link.href)?;
            if !href.is_empty() {
                let item = Ordered::default().put("href", &href)?;
                all.push(item.put("text", &message.text(&link.text)?)?);
            }
        }
        Ok(all)
    }

    fn details(&self, message: &Message) -> Result<Value, SendError> {
        let mut details = BTreeMap::new();
        for (name, value) in &self.details {
            details.insert(message.text(name)?, message.expand_json(value)?);
        }
        Ok(json!(details))
    }
}
