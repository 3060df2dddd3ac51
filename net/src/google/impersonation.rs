//! Tokens of a service account for somebody who may act as it.
//!
//! Source: IAM Service Account Credentials API, `generateAccessToken`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::bearer::{BearerError, answered, authorized, refusal};
use crate::http_config::Secret;
use crate::lease::Lease;
use crate::outbound::HttpClient;

/// The scope of tokens that only serve to get others.
pub(super) const PLATFORM_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token is asked for, in seconds, if the file does not say.
const TOKEN_SECONDS: u32 = 3_600;
const ASKED: &str = "Google's IAM, for a service account";

/// A service account to act as.
pub(super) struct Impersonation<'a> {
    /// Where its tokens are asked for.
    pub(super) url: &'a str,
    /// Service accounts in between.
    pub(super) delegates: &'a [String],
    /// How long a token is asked for.
    pub(super) seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_token: Secret,
    expire_time: String,
}

impl Impersonation<'_> {
    /// Returns a token of the service account; `token` says who asks.
    ///
    /// # Errors
    ///
    /// When there is no answer, or none with a token.
    pub(super) async fn lease(
        &self,
        client: &HttpClient,
        token: &Secret,
        scope: &str,
    ) -> Result<Lease<Secret>, BearerError> {
        let wrong = |reason: String| BearerError::Answer {
            asked: ASKED.to_owned(),
            reason,
        };
        let mut body = json!({
            "lifetime": format!("{}s", self.seconds.unwrap_or(TOKEN_SECONDS)),
            "scope": [scope],
        });
        if !self.delegates.is_empty() {
            body["delegates"] = self.delegates.into();
        }
        let request = authorized(client.post(self.url).await?, token)?.json(&body);
        let (status, body) = answered(request).await.map_err(wrong)?;
        if status != 200 {
            return Err(wrong(refusal(status, &body)));
        }
        let lacking = || wrong("the answer holds no accessToken and expireTime".to_owned());
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| lacking())?;
        let ends: Timestamp = answer.expire_time.parse().map_err(|_| lacking())?;
        Ok(Lease {
            value: answer.access_token,
            ends: Some(ends),
        })
    }
}
