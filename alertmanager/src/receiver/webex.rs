//! Webex: a message to a room.

use super::http::{Answer, Dialogue, Ordered, Outgoing, cut_bytes};
use super::{Message, SendError};
use crate::config::receiver::WebexConfig;

impl Dialogue for WebexConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let body = Ordered::default()
            .put("markdown", &cut_bytes(message.text(&self.message)?, 7_439))?
            .put("roomId", &message.text(&self.room_id)?)?;
        Outgoing::json(self.api_url.as_str().to_owned(), &body).map(Some)
    }
}
