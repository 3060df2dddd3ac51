//! Rocket.Chat: a message with one attachment.

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, read};
use super::{Message, SendError};
use crate::config::receiver::RocketChatConfig;

impl Dialogue for RocketChatConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if let Some(answer) = answers.last() {
            return check(&answer.body).map(|()| None);
        }
        let mut fields = Vec::new();
        for field in &self.fields {
            let short = field.short.unwrap_or(self.short_fields);
            let item = Ordered::default().put("short", &short)?;
            let item = item.put("title", &message.text(&field.title)?)?;
            fields.push(item.put("value", &message.text(&field.value)?)?);
        }
        let mut actions = Vec::new();
        for action in &self.actions {
            let item = Ordered::default()
                .put("type", &message.text(&action.r#type)?)?
                .some("text", &message.text(&action.text)?)?
                .some("url", &message.text(&action.url)?)?;
            actions.push(item.some("msg", &message.text(&action.msg)?)?);
        }
        let attachment = Ordered::default()
            .some("title", &cut(message.text(&self.title)?, 1_024))?
            .some("title_link", &message.text(&self.title_link)?)?
            .some("text", &message.text(&self.text)?)?
            .some("image_url", &message.text(&self.image_url)?)?
            .some("thumb_url", &message.text(&self.thumb_url)?)?
            .some("color", &message.text(&self.color)?)?
            .list("fields", &fields)?
            .list("actions", &actions)?;
        let body = Ordered::default()
            .some("channel", &message.text(&self.channel)?)?
            .some("emoji", &message.text(&self.emoji)?)?
            .some("avatar", &message.text(&self.icon_url)?)?
            .put("attachments", &[attachment])?;
        let api = self.api_url.as_str().trim_end_matches('/');
        let request = Outgoing::json(format!("{api}/api/v1/chat.postMessage"), &body)?;
        let request = request.header("X-Auth-Token", read(&self.token, &self.token_file)?);
        Ok(Some(request.header(
            "X-User-Id",
            read(&self.token_id, &self.token_id_file)?,
        )))
    }
}

/// Rocket.Chat says what went wrong with status 200 too.
fn check(body: &str) -> Result<(), SendError> {
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(answer) if answer["success"] == false => {
            let what: String = answer["error"]
                .as_str()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect();
            Err(SendError::fatal(
                format!("rocketchat refused the message: {what}"),
                "clientError",
            ))
        }
        _ => Ok(()),
    }
}
