//! The HTTP client side of notifications: POSTs as an `http_config` says.
//!
//! # Not here
//!
//! The grant of OAuth2 that needs a signature. A configuration with it loads with a warning, and a client that would need it
//! refuses to send rather than going without.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Duration;
use net::client::{CredentialsError, PerFiles, ProxyRules, TlsError, TokenError, TokenSource};
use net::http_config::{HttpConfig, InvalidHttpConfig, Secret};
use reqwest::redirect::Policy;

/// How many redirects are followed, as in Go.
const REDIRECTS_MAX: usize = 10;

/// Why a client could not be made, or not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no token to send.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The fields contradict each other.
    #[error(transparent)]
    Invalid(#[from] InvalidHttpConfig),
    /// The client's options do not go together.
    #[error("make an HTTP client")]
    Build(#[from] reqwest::Error),
    /// The configuration needs something that is not built yet; nothing was sent.
    #[error("{field} is not supported yet, so nothing was sent")]
    Unsupported {
        /// The field of `http_config`.
        field: &'static str,
    },
}

/// Posts as one `http_config` says. Credentials in files are read for each request, and certificates when they changed.
pub(crate) struct HttpClient {
    config: HttpConfig,
    base_dir: PathBuf,
    timeout: Option<Duration>,
    proxies: Arc<ProxyRules>,
    tokens: Option<TokenSource>,
    client: PerFiles<reqwest::Client>,
}

impl HttpClient {
    /// Returns a client that does as `config` says. Relative file names in it are relative to `base_dir`; `timeout` is
    /// for a whole request.
    ///
    /// # Errors
    ///
    /// When certificates cannot be read.
    pub(crate) fn new(
        config: HttpConfig,
        base_dir: &Path,
        timeout: Option<Duration>,
    ) -> Result<Self, ClientError> {
        let tokens = match &config.oauth2 {
            Some(oauth2) => Some(TokenSource::new(oauth2, base_dir)?),
            None => None,
        };
        let client = HttpClient {
            proxies: Arc::new(ProxyRules::of(&config)?),
            tokens,
            config,
            base_dir: base_dir.to_owned(),
            timeout,
            client: PerFiles::default(),
        };
        client.current()?;
        Ok(client)
    }

    /// Returns a POST to `url` with the credentials that are valid now.
    ///
    /// # Errors
    ///
    /// When a file with a secret or certificates cannot be read, there is no token, or what the configuration asks for is
    /// not built yet.
    pub(crate) async fn post(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        if let Some(field) = self.config.unsupported().first() {
            return Err(ClientError::Unsupported { field });
        }
        let mut headers = reqwest::header::HeaderMap::new();
        net::client::append_headers(&self.config, &self.base_dir, &mut headers)?;
        if let Some(tokens) = &self.tokens {
            let authorization = tokens.authorization().await?;
            headers.insert(reqwest::header::AUTHORIZATION, authorization);
        }
        Ok(self.current()?.post(url).headers(headers))
    }

    /// Returns the client that stands on the certificates as they are now.
    fn current(&self) -> Result<reqwest::Client, ClientError> {
        let tls = self.config.tls_config.clone().unwrap_or_default();
        self.client.get_or_make(&tls, &self.base_dir, || {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("Hearth/", env!("CARGO_PKG_VERSION")))
                // The environment's proxies are for those who ask for them.
                .no_proxy()
                .proxy(self.proxy())
                .redirect(redirects(&self.config))
                .tls_backend_preconfigured(net::client::client_config(&tls, &self.base_dir)?);
            if let Some(timeout) = self.timeout {
                builder = builder.timeout(timeout.to_std());
            }
            Ok(builder.build()?)
        })
    }
}

impl HttpClient {
    /// Returns the proxy of each URL.
    fn proxy(&self) -> reqwest::Proxy {
        let rules = Arc::clone(&self.proxies);
        let proxy = reqwest::Proxy::custom(move |url| rules.url_of(url.as_str()))
            .headers(self.proxies.headers().clone());
        match self.proxies.authorization() {
            Some(authorization) => proxy.custom_http_auth(authorization),
            None => proxy,
        }
    }
}

/// Returns which redirects are followed. `Authorization` never goes to another host; where other headers may be secret,
/// nothing goes there.
fn redirects(config: &HttpConfig) -> Policy {
    if !config.follows_redirects() {
        return Policy::none();
    }
    if config.http_headers.as_ref().is_none_or(|h| h.is_empty()) {
        return Policy::limited(REDIRECTS_MAX);
    }
    Policy::custom(|attempt| {
        let is_elsewhere = |from: &reqwest::Url| from.origin() != attempt.url().origin();
        if attempt.previous().first().is_some_and(is_elsewhere) {
            attempt.stop()
        } else if REDIRECTS_MAX < attempt.previous().len() {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

/// Checks that the fields of an `http_config` go together; returns warnings about those that are not built yet.
///
/// # Errors
///
/// The first contradiction, in Prometheus' words.
pub(crate) fn check(config: &HttpConfig, place: &str) -> Result<Vec<String>, String> {
    config.validate().map_err(|error| error.to_string())?;
    ProxyRules::of(config).map_err(|error| error.to_string())?;
    let warn = |field| format!("{place}: {field} is not built yet: nothing is sent");
    Ok(config.unsupported().into_iter().map(warn).collect())
}

/// Returns a secret that is given as text or as a file, which is read now.
///
/// # Errors
///
/// When the file cannot be read.
pub(crate) fn secret(
    text: Option<&Secret>,
    file: Option<&str>,
) -> Result<Option<String>, CredentialsError> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.reveal().to_owned())),
        (None, Some(path)) => net::client::read_secret_file(Path::new(""), path).map(Some),
        (None, None) => Ok(None),
    }
}

/// Returns an error with all its sources on one line, each said once; reqwest's own text leaves out what matters.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// Escapes what Go's JSON escapes: `<`, `>`, `&` and the two separators. In JSON they occur in strings only.
pub(crate) fn escape_json_like_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::HttpSink;

    fn config(text: &str) -> HttpConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn credentials_are_read_for_each_request() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "authorization: {credentials_file: token}\nhttp_headers: {X-Team: {values: [ops]}}\n";
        let client = HttpClient::new(config(text), dir.path(), None).unwrap();
        let mut sink = HttpSink::start(200).await;
        let url = format!("http://{}/", sink.address);
        let error = chain(&client.post(&url).await.unwrap_err());
        assert!(error.contains("unable to read file"), "{error}");
        for token in ["first", "second"] {
            std::fs::write(dir.path().join("token"), format!("{token}\n")).unwrap();
            client.post(&url).await.unwrap().send().await.unwrap();
            let head = sink.next().await.head.to_lowercase();
            assert!(
                head.contains(&format!("authorization: bearer {token}\r\n")),
                "{head}"
            );
            assert!(head.contains("x-team: ops\r\n"), "{head}");
        }
    }

    #[tokio::test]
    async fn secret_headers_stay_with_their_host() {
        let elsewhere = HttpSink::start(200).await;
        let moved = format!("307 X\r\nLocation: http://{}/", elsewhere.address);
        let sink = HttpSink::start(moved).await;
        let url = format!("http://{}/", sink.address);
        for (text, status) in [
            ("{}", 200),
            ("{http_headers: {X-Token: {secrets: [s]}}}", 307),
            ("{follow_redirects: false}", 307),
        ] {
            let client = HttpClient::new(config(text), Path::new(""), None).unwrap();
            let answer = client.post(&url).await.unwrap().send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{text}");
        }
    }

    #[tokio::test]
    async fn a_proxy_and_a_token() {
        let mut proxy = HttpSink::start(200).await;
        let text = format!("proxy_url: http://u:p@{}\n", proxy.address);
        let client = HttpClient::new(config(&text), Path::new(""), None).unwrap();
        let request = client.post("http://nowhere.invalid/x").await.unwrap();
        request.send().await.unwrap();
        let head = proxy.next().await.head.to_lowercase();
        assert!(head.starts_with("post http://nowhere.invalid/x "), "{head}");
        assert!(
            head.contains("proxy-authorization: basic dtpw\r\n"),
            "{head}"
        );

        // The sink's answer is no token, and without one nothing is sent.
        let text = format!(
            "oauth2: {{client_id: me, token_url: 'http://{}/'}}\n",
            proxy.address
        );
        let client = HttpClient::new(config(&text), Path::new(""), None).unwrap();
        let error = client.post("http://127.0.0.1:1/").await.unwrap_err();
        assert!(error.to_string().contains("cannot fetch token"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_built_is_not_sent_without() {
        let text = "oauth2: {client_id: me, token_url: 'http://x/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'}";
        assert_eq!(
            check(&config(text), "here"),
            Ok(vec![
                "here: oauth2.grant_type is not built yet: nothing is sent".to_owned()
            ])
        );
        let client = HttpClient::new(config(text), Path::new(""), None).unwrap();
        assert_eq!(
            client.post("http://x/").await.unwrap_err().to_string(),
            "oauth2.grant_type is not supported yet, so nothing was sent"
        );
    }

    #[test]
    fn missing_certificates_are_noticed_at_once() {
        let config = config("tls_config: {ca_file: nowhere.pem}\n");
        let error = HttpClient::new(config, Path::new("dir"), None).err();
        let error = chain(&error.unwrap());
        assert!(
            error.starts_with("unable to read CA cert dir/nowhere.pem: "),
            "{error}"
        );
    }
}
