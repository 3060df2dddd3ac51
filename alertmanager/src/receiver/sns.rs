//! Amazon SNS: a form, signed with AWS' signature version 4.
//!
//! Source: AWS, "Create a signed AWS API request".

use net::aws::{Access, Identity};
use net::environment::Environment;
use net::escape::form;

use super::http::{Answer, Cloud, Dialogue, Outgoing, cut_bytes, group_id};
use super::{Message, SendError};
use crate::config::receiver::SnsConfig;

/// What SNS takes as one message, in bytes, and as one SMS.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
const SMS_BYTES_MAX: usize = 1_600;
/// What requests are signed for.
const SERVICE: &str = "sns";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// SNS, and who we are there.
pub(super) struct Sns {
    config: SnsConfig,
    identity: Identity,
}

impl Sns {
    pub(super) fn new(config: SnsConfig) -> Self {
        Self::within(config, Environment::of_process())
    }

    fn within(config: SnsConfig, environment: Environment) -> Self {
        let sigv4 = &config.sigv4;
        let access = Access {
            region: sigv4.region.clone(),
            access_key: sigv4.access_key.clone(),
            secret_key: sigv4.secret_key.clone(),
            profile: sigv4.profile.clone(),
            role_arn: sigv4.role_arn.clone(),
            external_id: sigv4.external_id.clone(),
            use_fips_sts_endpoint: sigv4.use_fips_sts_endpoint,
        };
        Sns {
            identity: Identity::new(access, environment),
            config,
        }
    }
}

impl Dialogue for Sns {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        if !answers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Outgoing {
            method: reqwest::Method::POST,
            // That of the region, if it is empty.
            url: message.text(&self.config.api_url)?,
            headers: vec![("Content-Type", CONTENT_TYPE.to_owned())],
            body: self.config.form(message)?,
        }))
    }

    fn cloud(&self) -> Option<Cloud<'_>> {
        Some(Cloud {
            identity: &self.identity,
            service: SERVICE,
            content_type: CONTENT_TYPE,
        })
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
    use net::aws::{Credentials, Signing, authorization};

    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::super::http::Http;
    use super::*;
    use crate::receiver::testing::message;
    use crate::rule::testing::conformance;

    /// A server that lends a role to whoever signs with `AK`, and takes what is signed with that role's key.
    async fn amazon() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = String::new();
                let mut reader = BufReader::new(&mut stream);
                while !request.ends_with("\r\n\r\n") {
                    reader.read_line(&mut request).await.unwrap();
                }
                let lower = request.to_lowercase();
                let mut lines = lower.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.unwrap().parse().unwrap()];
                reader.read_exact(&mut body).await.unwrap();
                request.push_str(&String::from_utf8(body).unwrap());
                let (status, body) = if request.contains("Credential=AK/")
                    && request.contains("Action=AssumeRole")
                {
                    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(60);
                    (
                        200,
                        format!(
                            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>TOKEN</SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
                        ),
                    )
                } else if request.contains("Credential=ROLE/")
                    && request
                        .to_lowercase()
                        .contains("x-amz-security-token: token")
                {
                    (200, "<PublishResponse/>".to_owned())
                } else {
                    (403, String::new())
                };
                seen.lock().unwrap().push(request);
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, asked)
    }

    #[tokio::test]
    async fn a_role_is_taken_on_once() {
        let (address, asked) = amazon().await;
        let url = format!("http://{address}");
        let environment = Environment::of(&[
            ("AWS_ENDPOINT_URL_STS", url.as_str()),
            ("AWS_ENDPOINT_URL_SNS", url.as_str()),
        ]);
        let config = "{topic_arn: 't', message: m, sigv4: {region: eu-west-1, access_key: AK, secret_key: SK, role_arn: 'arn:aws:iam::1:role/r', external_id: e}}";
        let config: SnsConfig = serde_saphyr::from_str(config).unwrap();
        let sns = Sns::within(config, environment);
        let http = Http::new(&None, std::path::Path::new(""), None, sns).unwrap();
        for _ in 0..2 {
            http.send(&message()).await.unwrap();
        }
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked[0].contains("ExternalId=e"), "{}", asked[0]);
        for publish in &asked[1..] {
            assert!(publish.contains("Action=Publish&Message=m&"), "{publish}");
            assert!(publish.contains("/eu-west-1/sns/aws4_request"), "{publish}");
        }
    }

    #[tokio::test]
    async fn without_credentials_nothing_is_sent() {
        let (address, asked) = amazon().await;
        let environment = Environment::of(&[("AWS_EC2_METADATA_DISABLED", "true")]);
        let config =
            format!("{{topic_arn: t, api_url: 'http://{address}', sigv4: {{region: eu-west-1}}}}");
        let config: SnsConfig = serde_saphyr::from_str(&config).unwrap();
        let sns = Sns::within(config, environment);
        let http = Http::new(&None, std::path::Path::new(""), None, sns).unwrap();
        let error = http.send(&message()).await.unwrap_err();
        assert!(error.to_string().contains("access_key"), "{error}");
        assert!(asked.lock().unwrap().is_empty());
    }

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
