//! Amazon SNS: a form, signed with AWS' signature version 4.
//!
//! # Not here
//!
//! `role_arn`: nothing is sent then, rather than with other rights than those asked for.
//!
//! Source: AWS, "Create a signed AWS API request".

use net::aws::{Access, AwsError, Identity, Signing, authorization};
use net::environment::Environment;
use net::escape::form;

use super::http::{Answer, Dialogue, Outgoing, cut_bytes, group_id};
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
        let identity = Identity::new(self.access(), Environment::of_process());
        let at_hand = |error: AwsError| wrong(&error.to_string());
        let region = identity.region_at_hand().map_err(at_hand)?;
        let region = region.ok_or_else(|| wrong("no region: set sigv4.region or AWS_REGION"))?;
        let credentials = identity.keys_at_hand().map_err(at_hand)?.ok_or_else(|| {
            wrong(
                "no credentials: set sigv4.access_key and secret_key, the environment or a profile",
            )
        })?;
        let mut url = message.text(&self.api_url)?;
        if url.is_empty() {
            url = identity.endpoint(SERVICE, &region, "");
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
    fn access(&self) -> Access {
        let sigv4 = &self.sigv4;
        Access {
            region: sigv4.region.clone(),
            access_key: sigv4.access_key.clone(),
            secret_key: sigv4.secret_key.clone(),
            profile: sigv4.profile.clone(),
            role_arn: sigv4.role_arn.clone(),
            external_id: sigv4.external_id.clone(),
            use_fips_sts_endpoint: sigv4.use_fips_sts_endpoint,
        }
    }

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
            pairs.push((
                "MessageDeduplicationId".to_owned(),
                net::digest::sha256_hex(once.as_bytes()),
            ));
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
}

#[cfg(test)]
mod tests {
    use net::aws::Credentials;

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
