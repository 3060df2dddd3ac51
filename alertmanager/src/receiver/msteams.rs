//! Microsoft Teams: a message card for connectors, an adaptive card for workflows.

use serde_json::json;

use super::http::{Answer, Dialogue, Ordered, Outgoing, read};
use super::{Message, SendError};
use crate::config::receiver::{MsTeamsConfig, MsTeamsV2Config};

impl Dialogue for MsTeamsConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let url = read(self.webhook_url.secret(), &self.webhook_url_file)?;
        let color = if message.is_firing() {
            "8C1A1A"
        } else {
            "2DC72D"
        };
        let body = Ordered::default()
            .put("@context", &"http://schema.org/extensions")?
            .put("type", &"MessageCard")?
            .put("title", &message.text(&self.title)?)?
            .put("summary", &message.text(&self.summary)?)?
            .put("text", &message.text(&self.text)?)?
            .put("themeColor", &color)?;
        Outgoing::json(url, &body).map(Some)
    }
}

impl Dialogue for MsTeamsV2Config {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let url = read(self.webhook_url.secret(), &self.webhook_url_file)?;
        let color = if message.is_firing() {
            "Attention"
        } else {
            "Good"
        };
        let heading = Ordered::default()
            .put("type", &"TextBlock")?
            .put("text", &message.text(&self.title)?)?
            .put("weight", &"Bolder")?
            .put("size", &"Medium")?
            .put("wrap", &true)?
            .put("style", &"heading")?
            .put("color", &color)?;
        let text = Ordered::default()
            .put("type", &"TextBlock")?
            .put("text", &message.text(&self.text)?)?
            .put("wrap", &true)?;
        let card = Ordered::default()
            .put(
                "$schema",
                &"http://adaptivecards.io/schemas/adaptive-card.json",
            )?
            .put("type", &"AdaptiveCard")?
            .put("version", &"1.2")?
            .put("body", &[heading, text])?
            .put("msteams", &json!({"width": "full"}))?;
        let attachment = Ordered::default()
            .put("contentType", &"application/vnd.microsoft.card.adaptive")?
            .put("contentUrl", &None::<&str>)?
            .put("content", &card)?;
        let body = Ordered::default()
            .put("type", &"message")?
            .put("attachments", &[attachment])?;
        Outgoing::json(url, &body).map(Some)
    }
}
