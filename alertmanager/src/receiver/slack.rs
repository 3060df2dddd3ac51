//! Slack: a message with one attachment, to a webhook or by an app's token.

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, read};
use super::{Message, SendError};
use crate::config::receiver::SlackConfig;
use crate::config::receiver::chat::{Action, Field};

impl Dialogue for SlackConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if let Some(answer) = answers.last() {
            return check(&answer.body).map(|()| None);
        }
        let url = read(self.api_url.secret(), &self.api_url_file)?;
        let mut fields = Vec::new();
        for field in &self.fields {
            fields.push(
                self::field(message, field)?
                    .put("short", &field.short.unwrap_or(self.short_fields))?,
            );
        }
        let actions = self
            .actions
            .iter()
            .map(|action| self::action(message, action));
        let attachment = Ordered::default()
            .some("title", &cut(message.text(&self.title)?, 1_024))?
            .some("title_link", &message.text(&self.title_link)?)?
            .some("pretext", &message.text(&self.pretext)?)?
            .put("text", &message.text(&self.text)?)?
            .put("fallback", &message.text(&self.fallback)?)?
            .put("callback_id", &message.text(&self.callback_id)?)?
            .list("fields", &fields)?
            .list("actions", &actions.collect::<Result<Vec<_>, _>>()?)?
            .some("image_url", &message.text(&self.image_url)?)?
            .some("thumb_url", &message.text(&self.thumb_url)?)?
            .put("footer", &message.text(&self.footer)?)?
            .some("color", &message.text(&self.color)?)?;
        let default = ["fallback", "pretext", "text"].map(str::to_owned);
        let attachment = if self.mrkdwn_in.is_empty() {
            attachment.list("mrkdwn_in", &default)?
        } else {
            attachment.list("mrkdwn_in", &self.mrkdwn_in)?
        };
        let mut body = Ordered::default()
            .some("channel", &message.text(&self.channel)?)?
            .some("username", &message.text(&self.username)?)?
            .some("icon_emoji", &message.text(&self.icon_emoji)?)?
            .some("icon_url", &message.text(&self.icon_url)?)?;
        if self.link_names {
            body = body.put("link_names", &true)?;
        }
        let body = body
            .some("text", &message.text(&self.message_text)?)?
            .put("attachments", &[attachment])?;
        Outgoing::json(url, &body).map(Some)
    }
}

/// Returns the title and the value of a field.
pub(super) fn field(message: &Message, field: &Field) -> Result<Ordered, SendError> {
    Ordered::default()
        .put("title", &message.text(&field.title)?)?
        .put("value", &message.text(&field.value)?)
}

fn action(message: &Message, action: &Action) -> Result<Ordered, SendError> {
    let item = Ordered::default()
        .put("type", &message.text(&action.r#type)?)?
        .put("text", &message.text(&action.text)?)?
        .some("url", &message.text(&action.url)?)?
        .some("style", &message.text(&action.style)?)?
        .some("name", &message.text(&action.name)?)?
        .some("value", &message.text(&action.value)?)?;
    let Some(confirm) = &action.confirm else {
        return Ok(item);
    };
    let confirm = Ordered::default()
        .put("text", &message.text(&confirm.text)?)?
        .some("title", &message.text(&confirm.title)?)?
        .some("ok_text", &message.text(&confirm.ok_text)?)?
        .some("dismiss_text", &message.text(&confirm.dismiss_text)?)?;
    item.put("confirm", &confirm)
}

/// Slack says what went wrong with status 200 too: as JSON with `ok`, or in place of the text `ok`.
fn check(body: &str) -> Result<(), SendError> {
    let refused = |what: &str| {
        let what: String = what.chars().take(200).collect();
        SendError::fatal(format!("slack refused the message: {what}"), "clientError")
    };
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(answer) if answer["ok"] == false => Err(refused(
            answer["error"].as_str().unwrap_or("no reason given"),
        )),
        Ok(_) => Ok(()),
        Err(_) if body.trim() == "ok" => Ok(()),
        Err(_) => Err(refused(body)),
    }
}
