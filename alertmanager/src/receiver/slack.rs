//! Slack: a message with one attachment, to a webhook or by an app's token.
//!
//! With `update_message` the group's first message is changed by the later ones. What that needs is what the API answered; it is
//! in the notification log, so that it survives a restart. A message that cannot be changed any more is followed by a new one.

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, read};
use super::{Message, SendError};
use crate::config::receiver::SlackConfig;
use crate::config::receiver::chat::{Action, Field};
use crate::dispatch::Memory;

impl Dialogue for SlackConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        let first = self.first_message(message);
        let is_update = match (answers, &first) {
            ([], first) => first.is_some(),
            ([answer], Some(_)) if is_unchangeable(&answer.body) => false,
            ([.., answer], _) => return check(&answer.body).map(|()| None),
        };
        let first = first.filter(|_| is_update);
        let url = read(self.api_url.secret(), &self.api_url_file)?;
        let url = match first.is_some() {
            true => update_url(&url),
            false => url,
        };
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
        let body = match first {
            Some((channel, time)) => Ordered::default()
                .put("channel", channel)?
                .put("ts", time)?,
            None => Ordered::default().some("channel", &message.text(&self.channel)?)?,
        };
        let mut body = body
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

    fn memory(&self, _: &Message, answers: &[Answer]) -> Memory {
        if !self.update_message {
            return Memory::new();
        }
        let answer = answers.last().map(|answer| answer.body.as_str());
        let answer: serde_json::Value =
            serde_json::from_str(answer.unwrap_or_default()).unwrap_or_default();
        let kept = [(THREAD, &answer["ts"]), (CHANNEL, &answer["channel"])];
        let kept = kept.into_iter().filter_map(|(name, value)| {
            let value = value.as_str().filter(|value| value.len() <= ID_BYTES_MAX)?;
            Some((name.to_owned(), value.to_owned()))
        });
        kept.collect()
    }
}

/// How the log calls the first message's time, which is its id, and its channel; as Alertmanager's does.
const THREAD: &str = "threadTs";
const CHANNEL: &str = "channelId";
/// Bytes of such an id; a longer one is not kept, and the next message is a new one.
const ID_BYTES_MAX: usize = 255;
/// Where messages are made, and changed.
const POST: &str = "chat.postMessage";
const UPDATE: &str = "chat.update";

impl SlackConfig {
    /// Returns channel and time of the message that is to be changed.
    fn first_message<'a>(&self, message: &'a Message) -> Option<(&'a String, &'a String)> {
        let memory = &message.memory;
        let both = memory.get(CHANNEL).zip(memory.get(THREAD));
        both.filter(|_| self.update_message)
    }
}

/// Returns where messages are changed, beside where they are made.
fn update_url(url: &str) -> String {
    match url.trim_end().strip_suffix(POST) {
        Some(api) => format!("{api}{UPDATE}"),
        None => format!("https://slack.com/api/{UPDATE}"),
    }
}

/// Returns whether an answer says that a message cannot be changed, whoever asks.
fn is_unchangeable(body: &str) -> bool {
    let answer: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let reasons = [
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
        "channel_not_found",
    ];
    answer["error"]
        .as_str()
        .is_some_and(|error| reasons.contains(&error))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AlertmanagerConfig;
    use crate::receiver::testing::message;

    fn config(more: &str) -> SlackConfig {
        let text = format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a, slack_configs: [{{app_token: t, channel: ops{more}}}]}}]"
        );
        let config = AlertmanagerConfig::parse(&text).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        config.receivers[0].text.slack_configs[0].clone()
    }

    /// Returns what is asked after these answers: the URL, and channel and time of the body.
    fn asked(
        config: &SlackConfig,
        memory: &Memory,
        answers: &[&str],
    ) -> Result<[String; 3], String> {
        let answers = answers.iter().map(|body| Answer {
            body: (*body).to_owned(),
        });
        let message = Message {
            memory: memory.clone(),
            ..message()
        };
        match config.next(&message, &answers.collect::<Vec<_>>()) {
            Ok(Some(request)) => {
                let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
                let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                Ok([request.url, text("channel"), text("ts")])
            }
            Ok(None) => Err("nothing".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    const OK: &str = r#"{"ok":true,"channel":"C1","ts":"12.5"}"#;
    const GONE: &str = r#"{"ok":false,"error":"message_not_found"}"#;

    #[test]
    fn the_first_message_is_changed() {
        let config = config(", update_message: true");
        let post = ["https://slack.com/api/chat.postMessage", "ops", ""].map(str::to_owned);
        assert_eq!(asked(&config, &Memory::new(), &[]), Ok(post.clone()));
        let answer = |body: &str| Answer {
            body: body.to_owned(),
        };
        let memory = config.memory(&message(), &[answer(OK)]);
        let update = ["https://slack.com/api/chat.update", "C1", "12.5"].map(str::to_owned);
        assert_eq!(asked(&config, &memory, &[]), Ok(update));
        assert_eq!(asked(&config, &memory, &[OK]), Err("nothing".to_owned()));
        // What is gone is told anew, once.
        assert_eq!(asked(&config, &memory, &[GONE]), Ok(post));
        assert_eq!(
            asked(&config, &memory, &[GONE, OK]),
            Err("nothing".to_owned())
        );
        assert!(
            asked(&config, &memory, &[GONE, GONE])
                .unwrap_err()
                .contains("message_not_found")
        );
        let refused = asked(
            &config,
            &memory,
            &[r#"{"ok":false,"error":"invalid_auth"}"#],
        );
        assert!(refused.unwrap_err().contains("invalid_auth"));
        let long = format!(r#"{{"ok":true,"channel":"C1","ts":"{}"}}"#, "1".repeat(300));
        assert!(
            !config
                .memory(&message(), &[answer(&long)])
                .contains_key(THREAD)
        );
    }

    #[test]
    fn without_update_message_nothing_is_kept() {
        let config = config("");
        let answers = [Answer {
            body: OK.to_owned(),
        }];
        assert_eq!(config.memory(&message(), &answers), Memory::new());
        let memory = Memory::from([
            (THREAD.to_owned(), "1".to_owned()),
            (CHANNEL.to_owned(), "C".to_owned()),
        ]);
        assert_eq!(asked(&config, &memory, &[]).unwrap()[1], "ops");
    }
}
