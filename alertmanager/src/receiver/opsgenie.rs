//! OpsGenie: an alert that is made, changed where that is asked for, and closed.

use std::collections::BTreeMap;

use reqwest::Method;

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, group_id, read};
use super::{Message, SendError};
use crate::config::receiver::OpsGenieConfig;

impl Dialogue for OpsGenieConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        let alias = group_id(message);
        let place = |action: &str| {
            let api = self.api_url.as_str();
            format!("{api}v2/alerts/{alias}/{action}?identifierType=alias")
        };
        let put = |key: &'static str, text: String| {
            let mut request = Outgoing::json(place(key), &Ordered::default().some(key, &text)?)?;
            request.method = Method::PUT;
            Ok(request)
        };
        let request = match (message.is_firing(), answers.len()) {
            (true, 0) => {
                let url = format!("{}v2/alerts", self.api_url.as_str());
                Outgoing::json(url, &self.alert(message, &alias)?)?
            }
            (true, 1) if self.update_alerts => put("message", self.title(message)?)?,
            (true, 2) if self.update_alerts => {
                put("description", message.text(&self.description)?)?
            }
            (false, 0) => {
                let body = Ordered::default().put("source", &message.text(&self.source)?)?;
                Outgoing::json(place("close"), &body)?
            }
            _ => return Ok(None),
        };
        let key = message.text(&read(&self.api_key, &self.api_key_file)?)?;
        Ok(Some(
            request.header("Authorization", format!("GenieKey {key}")),
        ))
    }

    fn is_retried(&self, status: u16) -> bool {
        status == 429
    }
}

impl OpsGenieConfig {
    fn title(&self, message: &Message) -> Result<String, SendError> {
        Ok(cut(message.text(&self.message)?, 130))
    }

    fn alert(&self, message: &Message, alias: &str) -> Result<Ordered, SendError> {
        let mut details: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in message.data.common_labels.iter() {
            details.insert(name, value.to_owned());
        }
        for (name, value) in &self.details {
            details.insert(name, message.text(value)?);
        }
        Ordered::default()
            .put("alias", &alias)?
            .put("message", &self.title(message)?)?
            .some("description", &message.text(&self.description)?)?
            .put("details", &details)?
            .put("source", &message.text(&self.source)?)?
            .list("responders", &self.responders(message)?)?
            .list("tags", &parts(&message.text(&self.tags)?))?
            .some("note", &message.text(&self.note)?)?
            .some("priority", &message.text(&self.priority)?)?
            .some("entity", &message.text(&self.entity)?)?
            .list("actions", &parts(&message.text(&self.actions)?))
    }

    fn responders(&self, message: &Message) -> Result<Vec<Ordered>, SendError> {
        let mut all = Vec::new();
        for responder in &self.responders {
            let id = message.text(&responder.id)?;
            let name = message.text(&responder.name)?;
            let username = message.text(&responder.username)?;
            let kind = message.text(&responder.r#type)?;
            if id.is_empty() && name.is_empty() && username.is_empty() {
                // The template found nobody.
                continue;
            }
            if kind == "teams" {
                for team in parts(&name) {
                    let team = Ordered::default().some("name", team.trim())?;
                    all.push(team.put("type", &"team")?);
                }
                continue;
            }
            let responder = Ordered::default()
                .some("id", &id)?
                .some("name", &name)?
                .some("username", &username)?;
            all.push(responder.some("type", &kind)?);
        }
        Ok(all)
    }
}

/// Returns what commas divide, white space kept as OpsGenie's users are used to.
fn parts(text: &str) -> Vec<String> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}
