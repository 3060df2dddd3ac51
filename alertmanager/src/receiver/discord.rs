//! Discord: one embed.

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut, read};
use super::{Message, SendError};
use crate::config::receiver::DiscordConfig;

impl Dialogue for DiscordConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let url = read(self.webhook_url.secret(), &self.webhook_url_file)?;
        let color = if message.is_firing() {
            10_038_562
        } else {
            3_066_993
        };
        let embed = Ordered::default()
            .put("title", &cut(message.text(&self.title)?, 256))?
            .put("description", &cut(message.text(&self.message)?, 4_096))?
            .put("color", &color)?;
        let body = Ordered::default()
            .put("content", &cut(message.text(&self.content)?, 2_000))?
            .put("embeds", &[embed])?
            .some("username", &message.text(&self.username)?)?
            .some("avatar_url", &message.text(&self.avatar_url)?)?;
        Outgoing::json(url, &body).map(Some)
    }
}
