//! Tokens by OAuth2: fetched when they are needed, kept until shortly before they end.
//!
//! Source: [RFC 6749, 4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4), and Go's `oauth2` package for what servers
//! do besides: the client's credentials are sent in a header first, and in the body where that is refused. The grant with a
//! signature is [RFC 7523, 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1): a key signs who asks, and for what.

use crate::escape::form as escape;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Client, CredentialsError, read_secret_file};
use crate::http_config::{HttpConfig, InvalidHttpConfig, OAuth2};
use crate::rsa::{RsaError, RsaHash, RsaKey};

/// How long an answer with a token may be, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long before its end a token is not used any more.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// How long a token is used at most, whatever the server says.
const LIFETIME_MAX: Duration = Duration::from_secs(365 * 86_400);
/// How long a signature is good for.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(3_600);
/// How long fetching may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The client's secret could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The key does not sign.
    #[error("oauth2: cannot sign for a token: {0}")]
    Key(#[from] RsaError),
    /// The server did not answer.
    #[error("oauth2: cannot fetch token: {0}")]
    Fetch(String),
    /// The server answered something else.
    #[error("oauth2: cannot fetch token: the answer of {url} is not a token: {reason}")]
    Answer {
        /// Who answered.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where tokens come from, and the newest one. One serves all requests of a client; while a token is fetched, others wait.
pub struct TokenSource {
    config: OAuth2,
    base_dir: PathBuf,
    url: Uri,
    client: Box<Client>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Whether the server wants the credentials in the body.
    wants_body: bool,
}

struct Token {
    header: HeaderValue,
    /// With which secret it was fetched.
    secret: String,
    /// `None`: it does not end.
    ends: Option<Instant>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token_type: String,
    /// Seconds, as a number or as text.
    expires_in: Option<serde_json::Value>,
}

impl TokenSource {
    /// Returns a source that asks as `config` says; relative file names in it are relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// When the token's URL is none, or the fields about the connection contradict each other.
    pub fn new(config: &OAuth2, base_dir: &Path) -> Result<TokenSource, InvalidHttpConfig> {
        let url = config.token_url.absolute().ok_or_else(|| {
            InvalidHttpConfig(format!(
                "oauth2 token_url {:?} is not a URL (write it like https://host/token)",
                config.token_url.to_string()
            ))
        })?;
        let http = HttpConfig {
            tls_config: config.tls_config.clone(),
            proxy_url: config.proxy_url.clone(),
            no_proxy: config.no_proxy.clone(),
            proxy_from_environment: config.proxy_from_environment,
            proxy_connect_header: config.proxy_connect_header.clone(),
            ..HttpConfig::default()
        };
        Ok(TokenSource {
            config: config.clone(),
            base_dir: base_dir.to_owned(),
            url,
            client: Box::new(Client::new(&http, base_dir)?),
            state: Mutex::default(),
        })
    }

    /// Returns the value of the `Authorization` header.
    ///
    /// # Errors
    ///
    /// When no token can be had. The next request tries again.
    pub async fn authorization(&self) -> Result<HeaderValue, TokenError> {
        let secret = self.secret()?;
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token
            && token.secret == secret
            && token.ends.is_none_or(|ends| Instant::now() < ends)
        {
            return Ok(token.header.clone());
        }
        let mut answer = self.fetch(&secret, state.wants_body).await;
        if answer.is_err() && state.token.is_none() && !self.config.is_signed() {
            let other = self.fetch(&secret, !state.wants_body).await;
            if other.is_ok() {
                state.wants_body = !state.wants_body;
                answer = other;
            }
        }
        let token = self.token(&answer?, secret)?;
        let header = token.header.clone();
        state.token = Some(token);
        Ok(header)
    }

    /// Returns the client's secret, or the key that signs.
    fn secret(&self) -> Result<String, CredentialsError> {
        let config = &self.config;
        let (secret, file) = match config.is_signed() {
            true => (
                &config.client_certificate_key,
                &config.client_certificate_key_file,
            ),
            false => (&config.client_secret, &config.client_secret_file),
        };
        match (secret, file) {
            (Some(secret), _) => Ok(secret.reveal().to_owned()),
            (None, Some(file)) => read_secret_file(&self.base_dir, file),
            (None, None) => Ok(String::new()),
        }
    }

    /// Asks for a token and returns the answer.
    async fn fetch(&self, secret: &str, in_body: bool) -> Result<Vec<u8>, TokenError> {
        let mut form = vec![("grant_type", self.config.grant_type())];
        let scopes = self.config.scopes.join(" ");
        let assertion = match self.config.is_signed() {
            true => self.assertion(secret, &scopes)?,
            false => String::new(),
        };
        if self.config.is_signed() {
            form.push(("assertion", &assertion));
        } else if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        let further = self.config.endpoint_params.iter();
        form.extend(further.map(|(name, value)| (name.as_str(), value.as_str())));
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        if self.config.is_signed() {
            // The signature says who asks.
        } else if in_body {
            form.push(("client_id", &self.config.client_id));
            form.push(("client_secret", secret));
        } else {
            let pair = format!("{}:{}", escape(&self.config.client_id), escape(secret));
            let value = format!("Basic {}", STANDARD.encode(pair));
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| CredentialsError::NotAHeader("authorization".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let form: Vec<String> = form
            .into_iter()
            .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
            .collect();
        let form = form.join("&");
        let deadline = Instant::now() + TIMEOUT;
        let mut body = Vec::new();
        let asked = self.client.post(
            &self.url,
            &headers,
            form.as_bytes(),
            &mut body,
            ANSWER_BYTES_MAX,
        );
        let response = match tokio::time::timeout_at(deadline, asked).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(TokenError::Fetch(error.to_string())),
            Err(_) => {
                let reason = format!("Post \"{}\": context deadline exceeded", self.url);
                return Err(TokenError::Fetch(reason));
            }
        };
        if response.status.is_success() {
            return Ok(body.split_off(response.body_at));
        }
        Err(TokenError::Fetch(format!(
            "{} answers {}",
            self.url, response.status
        )))
    }

    /// Returns what is signed, with its signature: who asks, whom, and for what.
    ///
    /// * `key`: a PEM file.
    fn assertion(&self, key: &str, scopes: &str) -> Result<String, TokenError> {
        let config = &self.config;
        let text = |value: &Option<String>| value.as_ref().filter(|text| !text.is_empty()).cloned();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = since.map_or(0, |since| since.as_secs());
        let mut claims = BTreeMap::new();
        let mut claim =
            |name: &str, value: serde_json::Value| claims.insert(name.to_owned(), value);
        claim(
            "iss",
            text(&config.iss)
                .unwrap_or_else(|| config.client_id.clone())
                .into(),
        );
        claim("sub", config.client_id.clone().into());
        claim(
            "aud",
            text(&config.audience)
                .unwrap_or_else(|| self.url.to_string())
                .into(),
        );
        claim("iat", now_s.into());
        claim("exp", (now_s + ASSERTION_LIFETIME.as_secs()).into());
        claim("jti", uuid::Uuid::new_v4().to_string().into());
        if !scopes.is_empty() {
            claim("scope", scopes.into());
        }
        claims.extend(config.claims.clone());
        let algorithm = text(&config.signature_algorithm);
        let hash = algorithm.and_then(|name| RsaHash::named(&name));
        let key_id = config.client_certificate_key_id.as_deref();
        let key = RsaKey::of_pem(key)?;
        Ok(key.jwt_by(
            hash.unwrap_or(RsaHash::Sha256),
            key_id.unwrap_or_default(),
            &claims,
        )?)
    }

    fn token(&self, body: &[u8], secret: String) -> Result<Token, TokenError> {
        let wrong = |reason: String| TokenError::Answer {
            url: self.url.to_string(),
            reason,
        };
        let answer: Answer =
            serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
        if answer.access_token.is_empty() {
            return Err(wrong("it has no access_token".to_owned()));
        }
        let kind = match answer.token_type.as_str() {
            "" => "Bearer",
            kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
            kind => kind,
        };
        let mut header = HeaderValue::from_str(&format!("{kind} {}", answer.access_token))
            .map_err(|_| wrong("the token has characters that a header cannot carry".to_owned()))?;
        header.set_sensitive(true);
        Ok(Token {
            header,
            secret,
            ends: answer.lifetime().map(|lifetime| {
                Instant::now() + lifetime.min(LIFETIME_MAX).saturating_sub(EXPIRY_MARGIN)
            }),
        })
    }
}

impl Answer {
    /// Returns how long the token is good for, if the server says.
    fn lifetime(&self) -> Option<Duration> {
        let seconds = match self.expires_in.as_ref()? {
            serde_json::Value::String(text) => text.parse().ok()?,
            number => number.as_u64()?,
        };
        (seconds != 0).then(|| Duration::from_secs(seconds))
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        assert_eq!(escape("a b&c=é/~"), "a+b%26c%3D%C3%A9%2F~");
    }

    #[test]
    fn lifetimes() {
        let lifetime = |json: &str| {
            let answer: Answer = serde_json::from_str(json).unwrap();
            answer.lifetime().map(|lifetime| lifetime.as_secs())
        };
        assert_eq!(lifetime(r#"{"expires_in": 60}"#), Some(60));
        assert_eq!(lifetime(r#"{"expires_in": "60"}"#), Some(60));
        for endless in ["{}", r#"{"expires_in": 0}"#, r#"{"expires_in": -1}"#] {
            assert_eq!(lifetime(endless), None, "{endless}");
        }
    }
}
