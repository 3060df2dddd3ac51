//! What all kinds that speak HTTP have in common: a dialogue of requests, and what its answers mean.

use std::path::Path;

use model::Duration;
use model::trace::{Span, TRACEPARENT};
use net::aws::{AwsError, Identity, Post};
use net::http_config::{HttpConfig, Secret};
use reqwest::Method;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Message, SendError};
use crate::dispatch::Memory;
use crate::http::{ClientError, HttpClient, chain, secret};

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Requests of one dialogue.
const REQUESTS_MAX: usize = 8;

/// A request of a dialogue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Outgoing {
    /// Returns a POST of JSON.
    pub(crate) fn json(url: String, body: &impl Serialize) -> Result<Self, SendError> {
        Ok(Outgoing {
            method: Method::POST,
            url,
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: to_json(body)? + "\n",
        })
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Returns JSON with Go's escapes.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, SendError> {
    net::json::to_string(value)
        .map_err(|error| SendError::fatal(format!("write JSON: {error}"), "other"))
}

/// A cloud whose services are asked with signed requests.
pub(crate) struct Cloud<'a> {
    pub(crate) identity: &'a Identity,
    /// The service, as signatures name it.
    pub(crate) service: &'static str,
    pub(crate) content_type: &'static str,
}

impl Cloud<'_> {
    /// Signs a request, and says where it goes, if it does not. Credentials that end are asked for again by `client`.
    async fn sign(
        &self,
        client: &HttpClient,
        outgoing: &mut Outgoing,
        headers: &mut reqwest::header::HeaderMap,
    ) -> Result<(), AwsError> {
        if outgoing.url.is_empty() {
            let region = self.identity.region().await?;
            outgoing.url = self.identity.endpoint(self.service, &region, "");
        }
        let post = Post {
            url: outgoing.url.trim(),
            service: self.service,
            content_type: self.content_type,
            target: None,
            body: &outgoing.body,
        };
        headers.extend(self.identity.sign(client, post).await?);
        Ok(())
    }
}

/// The answer to a request that went well.
pub(crate) struct Answer {
    /// At most the first 64 KiB.
    pub(crate) body: String,
}

/// What a kind has of its own: which requests a notification is. Pure, but for files with secrets.
pub(crate) trait Dialogue: Send + Sync {
    /// Returns the next request after these answers, all of them 2xx, or `None` when all is said.
    ///
    /// # Errors
    ///
    /// When a template fails, a secret cannot be read, or the last answer says that it went wrong.
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError>;

    /// Returns what is to be remembered of answers after which all is said: the next message of the group brings it along.
    fn memory(&self, message: &Message, answers: &[Answer]) -> Memory {
        let _ = (message, answers);
        Memory::new()
    }

    /// Returns who signs the requests, if somebody does.
    fn cloud(&self) -> Option<Cloud<'_>> {
        None
    }

    /// Returns whether a status other than 2xx and 5xx is worth another attempt.
    fn is_retried(&self, status: u16) -> bool {
        let _ = status;
        false
    }
}

/// An integration that speaks HTTP.
pub(crate) struct Http {
    client: HttpClient,
    dialogue: Box<dyn Dialogue>,
}

impl Http {
    pub(crate) fn new(
        config: &Option<HttpConfig>,
        base_dir: &Path,
        timeout: Option<Duration>,
        dialogue: impl Dialogue + 'static,
    ) -> Result<Self, ClientError> {
        let config = config.clone().unwrap_or_default();
        Ok(Http {
            client: HttpClient::new(config, base_dir, timeout)?,
            dialogue: Box::new(dialogue),
        })
    }

    pub(crate) async fn send(&self, message: &Message) -> Result<Memory, SendError> {
        let mut answers = Vec::new();
        while let Some(request) = self.dialogue.next(message, &answers)? {
            if answers.len() == REQUESTS_MAX {
                return Err(SendError::fatal("the dialogue does not end", "other"));
            }
            let mut span = message.begin_request(match request.method {
                Method::GET => "GET",
                Method::PUT => "PUT",
                _ => "POST",
            });
            let answer = self.ask(request, &span).await;
            answers.push(answer.inspect_err(|error| span.fail(error))?);
        }
        Ok(self.dialogue.memory(message, &answers))
    }

    async fn ask(&self, mut outgoing: Outgoing, span: &Span) -> Result<Answer, SendError> {
        // URLs may hold tokens, so no error shows them.
        let passing =
            |error: reqwest::Error| SendError::retryable(chain(&error.without_url()), "other");
        let mut headers = reqwest::header::HeaderMap::new();
        for (name, value) in &outgoing.headers {
            let value = value.parse().map_err(|_| {
                SendError::fatal(format!("the value of header {name} is no header"), "other")
            })?;
            headers.insert(*name, value);
        }
        if let Some(cloud) = self.dialogue.cloud() {
            let signed = cloud.sign(&self.client, &mut outgoing, &mut headers).await;
            // The services that say who we are may be back the next time.
            signed.map_err(|error| SendError::retryable(error.to_string(), "other"))?;
        }
        let request = self
            .client
            .request(outgoing.method, outgoing.url.trim())
            .await
            .map_err(|error| SendError::fatal(chain(&error), "other"))?;
        let request = request.headers(headers).body(outgoing.body);
        let mut response = traced(request, span).send().await.map_err(passing)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX
            && let Some(chunk) = response.chunk().await.map_err(passing)?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(ANSWER_BYTES_MAX);
        let body = String::from_utf8_lossy(&body).into_owned();
        judge(status, self.dialogue.is_retried(status))?;
        Ok(Answer { body })
    }
}

/// Returns a request that says which span it is below.
pub(super) fn traced(request: reqwest::RequestBuilder, span: &Span) -> reqwest::RequestBuilder {
    match span.context() {
        Some(context) => request.header(TRACEPARENT, context.to_string()),
        None => request,
    }
}

/// Returns what a status means: 2xx is done, 5xx and what the kind retries may pass, the rest stays wrong.
pub(super) fn judge(status: u16, is_retried: bool) -> Result<(), SendError> {
    let message = format!("unexpected status code {status}");
    match status {
        200..=299 => Ok(()),
        500..=599 => Err(SendError::retryable(message, "serverError")),
        _ if is_retried => Err(SendError::retryable(message, "clientError")),
        _ => Err(SendError::fatal(message, "clientError")),
    }
}

/// Returns a secret as it is now, without white space around it.
pub(super) fn read(text: &Secret, file: &str) -> Result<String, SendError> {
    let text = Some(text).filter(|text| !text.is_empty());
    let file = Some(file).filter(|file| !file.is_empty());
    let read = secret(text, file).map_err(|error| SendError::fatal(chain(&error), "other"))?;
    Ok(read.unwrap_or_default().trim().to_owned())
}

/// Returns at most `max` characters; what is cut ends with an ellipsis, which counts.
pub(super) fn cut(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    text.chars()
        .take(max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// Returns at most `max` bytes of whole characters; what is cut ends with an ellipsis, which counts.
pub(super) fn cut_bytes(mut text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    text.truncate(text.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
    text + "…"
}

/// Returns the name under which systems with incidents know the group: SHA-256 of its key, in hex.
pub(super) fn group_id(message: &Message) -> String {
    net::digest::sha256_hex(message.group_key.as_bytes())
}

/// A JSON object whose keys stay in the order in which they were put.
#[derive(Default)]
pub(super) struct Ordered(Vec<(&'static str, Box<RawValue>)>);

impl Ordered {
    /// Adds a value.
    pub(super) fn put(
        mut self,
        key: &'static str,
        value: &impl Serialize,
    ) -> Result<Self, SendError> {
        let raw = RawValue::from_string(to_json(value)?);
        let raw = raw.map_err(|error| SendError::fatal(format!("write JSON: {error}"), "other"))?;
        self.0.push((key, raw));
        Ok(self)
    }

    /// Adds a text, unless it is empty.
    pub(super) fn some(self, key: &'static str, text: &str) -> Result<Self, SendError> {
        if text.is_empty() {
            return Ok(self);
        }
        self.put(key, &text)
    }

    /// Adds a list, unless it is empty.
    pub(super) fn list(
        self,
        key: &'static str,
        items: &[impl Serialize],
    ) -> Result<Self, SendError> {
        if items.is_empty() {
            return Ok(self);
        }
        self.put(key, &items)
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let class = |status, is_retried| {
            judge(status, is_retried).map_err(|error| (error.reason, error.is_retryable))
        };
        assert_eq!(class(202, false), Ok(()));
        assert_eq!(class(400, false), Err(("clientError", false)));
        assert_eq!(class(429, false), Err(("clientError", false)));
        assert_eq!(class(429, true), Err(("clientError", true)));
        assert_eq!(class(500, false), Err(("serverError", true)));
    }

    #[test]
    fn cuts() {
        assert_eq!(cut("éééé".to_owned(), 4), "éééé");
        assert_eq!(cut("ééééé".to_owned(), 4), "ééé…");
        assert_eq!(cut_bytes("éééé".to_owned(), 8), "éééé");
        assert_eq!(cut_bytes("ééééé".to_owned(), 8), "éé…");
    }
}
