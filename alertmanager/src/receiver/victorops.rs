//! VictorOps: an incident by REST.

use std::collections::BTreeMap;

use super::http::{Answer, Dialogue, Outgoing, cut, group_id, read};
use super::{Message, SendError};
use crate::config::receiver::VictorOpsConfig;

impl Dialogue for VictorOpsConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let key = read(&self.api_key, &self.api_key_file)?;
        let routing_key = message.text(&self.routing_key)?;
        let url = format!("{}{key}/{routing_key}", self.api_url.as_str());
        let message_type = if message.is_firing() {
            message.text(&self.message_type)?
        } else {
            "RECOVERY".to_owned()
        };
        let state_message = cut(message.text(&self.state_message)?, 20_480);
        let mut body = BTreeMap::from([
            ("message_type", message_type),
            ("entity_id", group_id(message)),
            (
                "entity_display_name",
                message.text(&self.entity_display_name)?,
            ),
            ("state_message", state_message),
            ("monitoring_tool", message.text(&self.monitoring_tool)?),
        ]);
        for (name, value) in &self.custom_fields {
            body.insert(name, message.text(value)?);
        }
        Outgoing::json(url, &body).map(Some)
    }
}
