//! Tokens that are sent as `Authorization: Bearer`, as the authorities of clouds hand them out.
//!
//! Source: [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749), sections 5.1 and 5.2.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::http_config::Secret;
use crate::lease::Lease;
use crate::outbound::ClientError;

/// How long an answer may be, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long a token is used at most, whatever is said, in seconds.
const SECONDS_MAX: i64 = 86_400;
/// How much of an explanation is shown, in characters.
const SHOWN_CHARS_MAX: usize = 256;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// There is nothing to get a token with.
    #[error("{0}")]
    NoIdentity(String),
    /// A file could not be used.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no way to send requests.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There was no answer with a token.
    #[error("token of {asked}: {reason}")]
    Answer {
        /// Who was asked.
        asked: String,
        /// What went wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds, as a number or as text.
    expires_in: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Refusal {
    /// Of an endpoint for tokens.
    OAuth {
        error: String,
        #[serde(default)]
        error_description: String,
    },
    /// Of Google's other APIs.
    Google { error: GoogleRefusal },
}

#[derive(Deserialize)]
struct GoogleRefusal {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

/// Sends a request for a token; `asked` says in errors whom.
///
/// # Errors
///
/// When there is no answer, or none with a token.
pub async fn fetch(
    asked: &str,
    request: reqwest::RequestBuilder,
) -> Result<Lease<Secret>, BearerError> {
    let wrong = |reason: String| BearerError::Answer {
        asked: asked.to_owned(),
        reason,
    };
    let (status, body) = answered(request).await.map_err(wrong)?;
    if status != 200 {
        return Err(wrong(refusal(status, &body)));
    }
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|_| wrong("the answer holds no access_token".to_owned()))?;
    let ends = answer.expires_in.as_ref().and_then(seconds);
    Ok(Lease {
        value: Secret::new(answer.access_token),
        ends: ends.map(|seconds| Timestamp::now() + SignedDuration::from_secs(seconds)),
    })
}

/// Sends a request to an authority. Returns the status and the body of its answer.
///
/// # Errors
///
/// Why there is none, without the URL.
pub(crate) async fn answered(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), String> {
    let response = request.send().await;
    let response = response.map_err(|error| crate::outbound::chain(&error.without_url()))?;
    let status = response.status().as_u16();
    let body = crate::outbound::body(response, ANSWER_BYTES_MAX).await;
    Ok((status, body.map_err(|error| error.to_string())?))
}

/// Returns what is said of an answer that is no success, without showing all of it.
pub(crate) fn refusal(status: u16, body: &[u8]) -> String {
    let (code, message) = match serde_json::from_slice(body) {
        Ok(Refusal::OAuth {
            error,
            error_description,
        }) => (error, error_description),
        Ok(Refusal::Google { error }) => (error.status, error.message),
        Err(_) => return format!("HTTP status {status}"),
    };
    let (code, message) = (beginning(&code), beginning(&message));
    format!("HTTP status {status}: {code}: {message}")
}

/// Returns a number of seconds that is a number or text.
fn seconds(value: &Value) -> Option<i64> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    Some(seconds.clamp(0, SECONDS_MAX))
}

/// Returns the first line of a text, cut.
fn beginning(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(SHOWN_CHARS_MAX).collect()
}

/// Returns the request with the token, whatever credentials it had.
///
/// # Errors
///
/// When the token has characters that no header may have.
pub fn authorized(
    request: reqwest::RequestBuilder,
    token: &Secret,
) -> Result<reqwest::RequestBuilder, BearerError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
    let mut value = value.map_err(|_| {
        BearerError::NoIdentity("the token has characters that no header may have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(request.headers(HeaderMap::from_iter([(AUTHORIZATION, value)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let check =
            |body: &str, expected: &str| assert_eq!(refusal(403, body.as_bytes()), expected);
        check(
            r#"{"error": "invalid_grant", "error_description": "no\nmore"}"#,
            "HTTP status 403: invalid_grant: no",
        );
        check(
            r#"{"error": {"code": 403, "message": "not you", "status": "PERMISSION_DENIED"}}"#,
            "HTTP status 403: PERMISSION_DENIED: not you",
        );
        check("<html>", "HTTP status 403");
    }

    #[test]
    fn lifetimes_are_numbers_or_text() {
        let of = |json: &str| seconds(&serde_json::from_str(json).unwrap());
        assert_eq!(of("3599"), Some(3599));
        assert_eq!(of("\"86399\""), Some(86399));
        assert_eq!(of("-1"), Some(0));
        assert_eq!(of("9000000000000000000"), Some(SECONDS_MAX));
        assert_eq!(of("[]"), None);
    }
}
