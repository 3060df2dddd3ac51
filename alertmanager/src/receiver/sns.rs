//! Amazon SNS: a form, signed with AWS' signature version 4.
//!
//! # Not here
//!
//! `role_arn`: nothing is sent then, rather than with other rights than those asked for.
//!
//! Source: AWS, "Create a signed AWS API request".

use std::path::PathBuf;

use net::aws::{Credentials, Signing, authorization};
use net::escape::form;
use ring::digest;

use super::http::{Answer, Dialogue, Outgoing, cut_bytes, group_id, hex};
use super::{Message, SendError};
use crate::config::receiver::SnsConfig;
use crate::template::time::from_ms;

/// What SNS takes as one message, in bytes, and as one SMS.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
const SMS_BYTES_MAX: usize = 1_600;
/// What requests are signed for.
const SERVICE: &str = "sns";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

impl Dialogue for SnsConfig {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        let wrong = |what: &str| SendError::fatal(format!("sns: {what}"), "other");
        if !self.sigv4.role_arn.is_empty() {
            return Err(wrong(
                "sigv4.role_arn is not built yet, so nothing was sent",
            ));
        }
        let region = Some(self.sigv4.region.clone())
            .filter(|region| !region.is_empty())
            .or_else(|| std::env::var("AWS_REGION").ok())
            .ok_or_else(|| wrong("no region: set sigv4.region or AWS_REGION"))?;
        let credentials = self.credentials().ok_or_else(|| {
            wrong(
                "no credentials: set sigv4.access_key and secret_key, the environment or a profile",
            )
        })?;
        let mut url = message.text(&self.api_url)?;
        if url.is_empty() {
            url = format!("https://sns.{region}.amazonaws.com/");
        }
        let parsed = reqwest::Url::parse(&url).map_err(|_| wrong("api_url is no URL"))?;
        let host = match (parsed.host_str(), parsed.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(wrong("api_url has no host")),
        };
        let body = self.form(message)?;
        let now = from_ms(message.now_ms);
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![("content-type", CONTENT_TYPE), ("host", &host)];
        headers.push(("x-amz-date", &date));
        if let Some(token) = &credentials.token {
            headers.push(("x-amz-security-token", token.reveal()));
        }
        let signing = Signing {
            credentials: &credentials,
            region: &region,
            service: SERVICE,
        };
        let authorization = authorization(signing, parsed.path(), &headers, body.as_bytes());
        let mut request = Outgoing {
            method: reqwest::Method::POST,
            url,
            headers: vec![
                ("Content-Type", CONTENT_TYPE.to_owned()),
                ("X-Amz-Date", date.clone()),
                ("Authorization", authorization),
            ],
            body,
        };
        if let Some(token) = credentials.token {
            request = request.header("X-Amz-Security-Token", token.reveal().to_owned());
        }
        Ok(Some(request))
    }

    fn is_retried(&self, status: u16) -> bool {
        status == 429
    }
}

impl SnsConfig {
    fn form(&self, message: &Message) -> Result<String, SendError> {
        let topic = message.text(&self.topic_arn)?;
        let phone = message.text(&self.phone_number)?;
        let limit = if phone.is_empty() {
            MESSAGE_BYTES_MAX
        } else {
            SMS_BYTES_MAX
        };
        let text = message.text(&self.message)?;
        let is_cut = limit < text.len();
        let mut attributes = Vec::new();
        for (name, value) in &self.attributes {
            attributes.push((message.text(name)?, message.text(value)?));
        }
        if is_cut {
            attributes.push(("truncated".to_owned(), "true".to_owned()));
        }
        let mut pairs = vec![
            ("Action".to_owned(), "Publish".to_owned()),
            ("Message".to_owned(), cut_bytes(text, limit)),
            ("Version".to_owned(), "2010-03-31".to_owned()),
        ];
        for (number, (name, value)) in (1..).zip(attributes) {
            let entry = format!("MessageAttributes.entry.{number}");
            pairs.push((format!("{entry}.Name"), name));
            pairs.push((format!("{entry}.Value.DataType"), "String".to_owned()));
            pairs.push((format!("{entry}.Value.StringValue"), value));
        }
        if topic.ends_with(".fifo") {
            let id = group_id(message);
            let once = format!("{id}{}", message.now_ms);
            pairs.push(("MessageDeduplicationId".to_owned(), sha256(&once)));
            pairs.push(("MessageGroupId".to_owned(), id));
        }
        for (key, value) in [
            ("Subject", message.text(&self.subject)?),
            ("TopicArn", topic),
            ("PhoneNumber", phone),
            ("TargetArn", message.text(&self.target_arn)?),
        ] {
            if !value.is_empty() {
                pairs.push((key.to_owned(), value));
            }
        }
        pairs.sort();
        let pairs = pairs
            .iter()
            .map(|(key, value)| format!("{}={}", form(key), form(value)));
        Ok(pairs.collect::<Vec<_>>().join("&"))
    }

    /// Returns the credentials of the configuration, the environment, or the file with profiles, whichever has some first.
    fn credentials(&self) -> Option<Credentials> {
        if !self.sigv4.access_key.is_empty() {
            let secret_key = self.sigv4.secret_key.reveal();
            return Some(Credentials::of_keys(
                &self.sigv4.access_key,
                secret_key,
                None,
            ));
        }
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|value: &String| !value.is_empty())
        };
        if self.sigv4.profile.is_empty()
            && let Some(access_key) = variable("AWS_ACCESS_KEY_ID")
        {
            let secret_key = variable("AWS_SECRET_ACCESS_KEY")?;
            let token = variable("AWS_SESSION_TOKEN");
            return Some(Credentials::of_keys(
                &access_key,
                &secret_key,
                token.as_deref(),
            ));
        }
        let file = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let file = file.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")));
        let text = std::fs::read_to_string(file?).ok()?;
        let profile = Some(self.sigv4.profile.clone()).filter(|profile| !profile.is_empty());
        let profile = profile.or_else(|| variable("AWS_PROFILE"));
        Credentials::of_profile(&text, profile.as_deref().unwrap_or("default"))
    }
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::conformance;

    /// The signatures that Alertmanager made of the same headers and bodies.
    #[test]
    fn signatures_are_alertmanagers() {
        let Some(directory) = conformance("alertmanager/notify") else {
            return;
        };
        let requests = std::fs::read_to_string(directory.join("requests.jsonl")).unwrap();
        let credentials = Credentials::of_keys("AK", "SK", None);
        let signing = Signing {
            credentials: &credentials,
            region: "us-east-2",
            service: SERVICE,
        };
        let mut checked = 0;
        for line in requests.lines() {
            let request: serde_json::Value = serde_json::from_str(line).unwrap();
            if request["path"] != "/sns" {
                continue;
            }
            let header = |name: &str| request["headers"][name].as_str().unwrap();
            let body = request["body"].as_str().unwrap();
            let length = body.len().to_string();
            let headers = [
                ("amz-sdk-invocation-id", header("amz-sdk-invocation-id")),
                ("amz-sdk-request", header("amz-sdk-request")),
                ("content-length", &length),
                ("content-type", CONTENT_TYPE),
                ("host", "127.0.0.1:29599"),
                ("x-amz-date", header("x-amz-date")),
            ];
            let signed = authorization(signing, "/sns", &headers, body.as_bytes());
            assert_eq!(signed, header("authorization"));
            checked += 1;
        }
        assert_eq!(checked, 4);
    }
}
