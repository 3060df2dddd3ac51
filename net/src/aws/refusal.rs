//! What goes wrong, and how AWS says no.

use std::path::PathBuf;

use serde::Deserialize;

use crate::outbound::ClientError;

/// How much of a message is shown, in characters.
const MESSAGE_CHARS_MAX: usize = 256;

/// Why something could not be asked of Amazon's cloud.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// No region was found.
    #[error("no region: set `region`, AWS_REGION or the region of the profile{}", .0.as_deref().map(|why| format!(" (the machine's metadata service: {why})")).unwrap_or_default())]
    NoRegion(Option<String>),
    /// No credentials were found.
    #[error("no credentials: {0}")]
    NoCredentials(String),
    /// A file could not be read.
    #[error("read {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no way to send requests.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request was not answered, or with something else than was asked for.
    #[error("{asked}: {reason}")]
    Request {
        /// What was asked.
        asked: String,
        /// What went wrong.
        reason: String,
    },
    /// The answer is no.
    #[error("{asked}: HTTP status {status}: {code}: {message}")]
    Refused {
        /// What was asked.
        asked: String,
        /// The status of the answer.
        status: u16,
        /// AWS' code, such as `AuthFailure`.
        code: String,
        /// The beginning of what it says.
        message: String,
    },
}

impl AwsError {
    pub(super) fn request(asked: &str, reason: impl ToString) -> Self {
        AwsError::Request {
            asked: asked.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Returns what an answer says whose status is not 200.
    ///
    /// * `kind`: its header `x-amzn-ErrorType`, which APIs have that are no query API and know no `X-Amz-Target`.
    pub(super) fn of_answer(asked: &str, status: u16, kind: Option<&str>, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match Said::of(kind, &text) {
            Some(said) => AwsError::Refused {
                asked: asked.to_owned(),
                status,
                // Lightsail and ECS put the name of a namespace before it.
                code: beginning(said.code.rsplit('#').next().unwrap_or_default()),
                message: beginning(&said.message),
            },
            None => AwsError::request(asked, format!("HTTP status {status}: {}", beginning(&text))),
        }
    }

    /// Whether other credentials might help.
    pub(super) fn is_about_credentials(&self) -> bool {
        const CODES: &[&str] = &[
            "AuthFailure",
            "UnauthorizedOperation",
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
        ];
        matches!(self, AwsError::Refused { code, .. } if CODES.contains(&code.as_str()))
    }
}

/// Returns the first line of a text, cut.
fn beginning(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Code and message of an error.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "Code", alias = "__type")]
    code: String,
    #[serde(rename = "Message", alias = "message", default)]
    message: String,
}

/// The same without its code, which is in a header.
#[derive(Deserialize)]
struct Untyped {
    #[serde(rename = "Message", alias = "message", default)]
    message: String,
}

/// The errors of the query APIs; EC2 has them one level deeper.
#[derive(Deserialize)]
struct Outer {
    #[serde(rename = "Error")]
    error: Option<Said>,
    #[serde(rename = "Errors")]
    errors: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(rename = "Error")]
    error: Said,
}

impl Said {
    fn of(kind: Option<&str>, text: &str) -> Option<Said> {
        if let Ok(said) = serde_json::from_str(text) {
            return Some(said);
        }
        if let Some(kind) = kind
            && let Ok(Untyped { message }) = serde_json::from_str(text)
        {
            // A URL may follow.
            let code = kind.split(':').next().unwrap_or_default().to_owned();
            return Some(Said { code, message });
        }
        let outer: Outer = quick_xml::de::from_str(text).ok()?;
        outer.error.or_else(|| Some(outer.errors?.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let error = AwsError::of_answer("X", 403, None, body.as_bytes());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn errors_of_every_shape() {
        check(
            r#"<?xml version="1.0" encoding="UTF-8"?>
               <Response><Errors><Error><Code>AuthFailure</Code><Message>no &lt;keys&gt;</Message></Error></Errors>
               <RequestID>1</RequestID></Response>"#,
            "X: HTTP status 403: AuthFailure: no <keys>",
        );
        check(
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
               <Code>AccessDenied</Code><Message>not you</Message></Error><RequestId>2</RequestId></ErrorResponse>"#,
            "X: HTTP status 403: AccessDenied: not you",
        );
        check(
            r#"{"__type": "com.amazonaws.ecs#AccessDeniedException", "Message": "nor you"}"#,
            "X: HTTP status 403: AccessDeniedException: nor you",
        );
        check(
            r#"{"__type": "UnrecognizedClientException", "message": "who"}"#,
            "X: HTTP status 403: UnrecognizedClientException: who",
        );
        check("<html>\n<p>Bad gateway", "X: HTTP status 403: <html>");
    }

    #[test]
    fn errors_whose_code_is_in_a_header() {
        let of = |kind, body: &str| {
            AwsError::of_answer("X", 403, Some(kind), body.as_bytes()).to_string()
        };
        let said = of("ForbiddenException:http://a/", r#"{"message": "not you"}"#);
        assert_eq!(said, "X: HTTP status 403: ForbiddenException: not you");
        assert_eq!(of("E", "<html>"), "X: HTTP status 403: <html>");
    }

    #[test]
    fn deep_errors_take_no_stack() {
        let deep = "<a>".repeat(1_000_000);
        check(
            &format!("<Response>{deep}"),
            &format!("X: HTTP status 403: <Response>{}", &deep[..246]),
        );
        let closed = format!("{deep}{}", "</a>".repeat(1_000_000));
        check(
            &format!("<Response>{closed}<Error><Code>c</Code></Error></Response>"),
            "X: HTTP status 403: c: ",
        );
    }

    /// The rest of such a message repeats what was signed, the token among it.
    #[test]
    fn only_the_beginning_of_a_message_is_shown() {
        let said = format!(
            "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>does not match\n\n'POST\nx-amz-security-token:secret{}</Message></Error></ErrorResponse>",
            "x".repeat(1_000)
        );
        check(
            &said,
            "X: HTTP status 403: SignatureDoesNotMatch: does not match",
        );
    }
}
