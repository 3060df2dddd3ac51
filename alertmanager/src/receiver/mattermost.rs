//! Mattermost: a message with attachments.

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, read};
use super::slack::field;
use super::{Message, SendError};
use crate::config::receiver::MattermostConfig;
use crate::config::receiver::chat::Field;

/// The main message and further attachments have the same fields.
macro_rules! attachment {
    ($message:expr, $from:expr) => {
        Ordered::default()
            .some("fallback", &$message.text(&$from.fallback)?)?
            .some("color", &$message.text(&$from.color)?)?
            .some("pretext", &$message.text(&$from.pretext)?)?
            .some("text", &cut($message.text(&$from.text)?, 16_383))?
            .some("author_name", &$message.text(&$from.author_name)?)?
            .some("author_link", &$message.text(&$from.author_link)?)?
            .some("author_icon", &$message.text(&$from.author_icon)?)?
            .some("title", &$message.text(&$from.title)?)?
            .some("title_link", &$message.text(&$from.title_link)?)?
            .list("fields", &fields($message, &$from.fields)?)?
            .some("thumb_url", &$message.text(&$from.thumb_url)?)?
            .some("footer", &$message.text(&$from.footer)?)?
            .some("footer_icon", &$message.text(&$from.footer_icon)?)?
            .some("image_url", &$message.text(&$from.image_url)?)?
    };
}

impl Dialogue for MattermostConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let url = read(self.webhook_url.secret(), &self.webhook_url_file)?;
        let mut attachments = Vec::new();
        for item in &self.attachments {
            attachments.push(attachment!(message, item));
        }
        if attachments.is_empty() {
            attachments.push(attachment!(message, self));
        }
        let mut body = Ordered::default()
            .some("channel", &message.text(&self.channel)?)?
            .some("username", &message.text(&self.username)?)?
            .some("icon_url", &message.text(&self.icon_url)?)?
            .some("icon_emoji", &message.text(&self.icon_emoji)?)?
            .list("attachments", &attachments)?
            .some("type", &message.text(&self.r#type)?)?;
        if let Some(props) = &self.props {
            let props = Ordered::default().some("card", &message.text(&props.card)?)?;
            body = body.put("props", &props)?;
        }
        if let Some(priority) = &self.priority {
            let item = Ordered::default()
                .some("priority", &message.text(&priority.priority)?)?
                .put("requested_ack", &priority.requested_ack)?;
            body = body.put(
                "priority",
                &item.put(
                    "persistent_notifications",
                    &priority.persistent_notifications,
                )?,
            )?;
        }
        Outgoing::json(url, &body).map(Some)
    }
}

fn fields(message: &Message, all: &[Field]) -> Result<Vec<Ordered>, SendError> {
    let item = |one: &Field| field(message, one)?.put("short", &one.short.unwrap_or(false));
    all.iter().map(item).collect()
}
