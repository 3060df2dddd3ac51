//! incident.io: the webhook's body with a version of its own, and a token.

use super::http::{Answer, Dialogue, Outgoing, read};
use super::webhook::body;
use super::{Message, SendError};
use crate::config::receiver::IncidentIoConfig;

/// incident.io refuses larger requests.
const BODY_BYTES_MAX: usize = 512 << 10;

impl Dialogue for IncidentIoConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let url = read(
            &net::http_config::Secret::new(self.url.as_str()),
            &self.url_file,
        )?;
        let all = message.data.alerts.len();
        let limit = usize::try_from(self.max_alerts).unwrap_or(usize::MAX);
        let mut shown = if limit == 0 { all } else { limit.min(all) };
        let mut text = body(message, shown, "1");
        while BODY_BYTES_MAX < text.len() && 1 < shown {
            shown /= 2;
            text = body(message, shown, "1");
        }
        let token = read(&self.alert_source_token, &self.alert_source_token_file)?;
        let mut request = Outgoing {
            method: reqwest::Method::POST,
            url,
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: text,
        };
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Ok(Some(request))
    }

    fn is_retried(&self, status: u16) -> bool {
        status == 429
    }
}
