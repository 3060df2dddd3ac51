//! Credentials of a role, which the Security Token Service hands out.
//!
//! Source: AWS Security Token Service, `AssumeRole` and `AssumeRoleWithWebIdentity`.

use jiff::Timestamp;
use serde::Deserialize;

use super::credentials::Issued;
use super::identity::FORM;
use super::metadata::{answer, token_of_file};
use super::{AwsError, Credentials, Post, Signing};
use crate::environment::Environment;
use crate::escape::form;
use crate::lease::Lease;
use crate::outbound::HttpClient;

const VERSION: &str = "2011-06-15";
const SERVICE: &str = "sts";

/// A role, and how it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role<'a> {
    pub(super) arn: &'a str,
    pub(super) external_id: Option<&'a str>,
    /// What the session is called; a name of our own, if that is not said.
    pub(super) session: Option<&'a str>,
}

/// The service in one region.
pub(super) struct Sts<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) environment: &'a Environment,
    pub(super) region: &'a str,
    /// Whether it is asked at the endpoint that obeys FIPS.
    pub(super) is_fips: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "Credentials")]
    credentials: Issued,
}

impl Sts<'_> {
    /// Returns credentials of a role for whom `credentials` are.
    pub(super) async fn assume(
        &self,
        role: Role<'_>,
        credentials: &Credentials,
    ) -> Result<Lease<Credentials>, AwsError> {
        const ASKED: &str = "sts AssumeRole";
        let mut pairs = pairs("AssumeRole", role);
        if let Some(id) = role.external_id {
            pairs.push(("ExternalId", id.to_owned()));
        }
        let url = self.url();
        let body = encoded(&pairs);
        let post = Post::form(&url, SERVICE, &body);
        let signing = Signing {
            credentials,
            region: self.region,
            service: SERVICE,
        };
        let headers = post.headers(signing, Timestamp::now())?;
        let request = self.client.post(&url).await?.headers(headers).body(body);
        read(ASKED, &answer(ASKED, request).await?)
    }

    /// Returns credentials of a role for the token in a file.
    pub(super) async fn assume_by_token(
        &self,
        role: Role<'_>,
        token_file: &str,
    ) -> Result<Lease<Credentials>, AwsError> {
        const ASKED: &str = "sts AssumeRoleWithWebIdentity";
        let mut pairs = pairs("AssumeRoleWithWebIdentity", role);
        pairs.push(("WebIdentityToken", token_of_file(token_file)?));
        let request = self.client.post(&self.url()).await?;
        let request = request.header("Content-Type", FORM).body(encoded(&pairs));
        read(ASKED, &answer(ASKED, request).await?)
    }

    fn url(&self) -> String {
        let host = if self.is_fips { "sts-fips" } else { SERVICE };
        super::identity::endpoint(self.environment, host, self.region, "")
    }
}

fn pairs(action: &str, role: Role<'_>) -> Vec<(&'static str, String)> {
    let session = role.session.map(str::to_owned);
    let now_ms = Timestamp::now().as_millisecond();
    vec![
        ("Action", action.to_owned()),
        ("Version", VERSION.to_owned()),
        ("RoleArn", role.arn.to_owned()),
        (
            "RoleSessionName",
            session.unwrap_or_else(|| format!("hearth-{now_ms}")),
        ),
    ]
}

fn encoded(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", form(value)))
        .collect();
    pairs.join("&")
}

/// Reads an answer; what is wrong with it is told without showing it.
fn read(asked: &str, body: &[u8]) -> Result<Lease<Credentials>, AwsError> {
    let answer: Result<Answer, _> = quick_xml::de::from_reader(body);
    let answer = answer.map_err(|_| AwsError::request(asked, "the answer holds no credentials"))?;
    Ok(answer.result.credentials.into())
}
