//! The HTTP client for all but scrapes: requests to receivers, to other Alertmanagers and to what knows of targets, as an
//! `http_config` says. Over TLS it speaks HTTP/2 with servers that do, unless `enable_http2` is off.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use crate::client::{CredentialsError, PerFiles, ProxyRules, TlsError, TokenError, TokenSource};
use crate::http_config::{HttpConfig, InvalidHttpConfig, Secret};
use model::Duration;
use reqwest::redirect::Policy;

/// How many redirects are followed, as in Go.
const REDIRECTS_MAX: usize = 10;

/// After how long without a frame a server of HTTP/2 is pinged, and how long it may take to answer before the connection counts as
/// lost, as in Prometheus.
const PING_AFTER: StdDuration = StdDuration::from_secs(60);
const PING_TIMEOUT: StdDuration = StdDuration::from_secs(15);

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
}

/// Sends requests as one `http_config` says. Credentials in files are read for each request, and certificates when they changed.
pub struct HttpClient {
    config: HttpConfig,
    base_dir: PathBuf,
    timeout: Option<Duration>,
    proxies: Arc<ProxyRules>,
    tokens: Option<TokenSource>,
    /// The Unix socket that all requests go to, whatever the host of their URL.
    socket: Option<PathBuf>,
    client: PerFiles<reqwest::Client>,
}

impl HttpClient {
    /// Returns a client that does as `config` says. Relative file names in it are relative to `base_dir`; `timeout` is
    /// for a whole request.
    ///
    /// # Errors
    ///
    /// When certificates cannot be read.
    pub fn new(
        config: HttpConfig,
        base_dir: &Path,
        timeout: Option<Duration>,
    ) -> Result<Self, ClientError> {
        Self::through(config, base_dir, timeout, None)
    }

    /// Returns a client whose requests go to a Unix socket, whatever the host of their URL; `timeout` is for a whole request.
    ///
    /// # Errors
    ///
    /// When the client's options do not go together. Whether somebody listens is seen by a request.
    pub fn of_unix_socket(socket: &Path, timeout: Option<Duration>) -> Result<Self, ClientError> {
        let config = HttpConfig::default();
        Self::through(config, Path::new(""), timeout, Some(socket.to_owned()))
    }

    fn through(
        config: HttpConfig,
        base_dir: &Path,
        timeout: Option<Duration>,
        socket: Option<PathBuf>,
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
            socket,
            client: PerFiles::default(),
        };
        client.current()?;
        Ok(client)
    }

    /// Returns a POST to `url` with the credentials that are valid now.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::request`].
    pub async fn post(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        self.request(reqwest::Method::POST, url).await
    }

    /// Returns a GET of `url` with the credentials that are valid now.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::request`].
    pub async fn get(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        self.request(reqwest::Method::GET, url).await
    }

    /// Returns a request to `url` with the credentials that are valid now.
    ///
    /// # Errors
    ///
    /// When a file with a secret or certificates cannot be read, or there is no token.
    pub async fn request(
        &self,
        method: reqwest::Method,
        url: &str,
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut headers = reqwest::header::HeaderMap::new();
        crate::client::append_headers(&self.config, &self.base_dir, &mut headers)?;
        if let Some(tokens) = &self.tokens {
            let authorization = tokens.authorization().await?;
            headers.insert(reqwest::header::AUTHORIZATION, authorization);
        }
        Ok(self.current()?.request(method, url).headers(headers))
    }

    /// Returns the client that stands on the certificates as they are now.
    fn current(&self) -> Result<reqwest::Client, ClientError> {
        let tls = self.config.tls_config.clone().unwrap_or_default();
        self.client.get_or_make(&tls, &self.base_dir, || {
            let mut tls = crate::client::client_config(&tls, &self.base_dir)?;
            if self.config.speaks_http2() {
                tls.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
            }
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("Hearth/", env!("CARGO_PKG_VERSION")))
                // The environment's proxies are for those who ask for them.
                .no_proxy()
                .proxy(self.proxy())
                .redirect(redirects(&self.config))
                .http2_keep_alive_interval(PING_AFTER)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .http2_keep_alive_while_idle(true)
                .tls_backend_preconfigured(tls);
            if let Some(timeout) = self.timeout {
                builder = builder.timeout(timeout.to_std());
            }
            #[cfg(unix)]
            if let Some(socket) = &self.socket {
                builder = builder.unix_socket(socket.as_path());
            }
            Ok(builder.build()?)
        })
    }

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

/// Returns a secret that is given as text or as a file, which is read now.
///
/// # Errors
///
/// When the file cannot be read.
pub fn secret(
    text: Option<&Secret>,
    file: Option<&str>,
) -> Result<Option<String>, CredentialsError> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.reveal().to_owned())),
        (None, Some(path)) => crate::client::read_secret_file(Path::new(""), path).map(Some),
        (None, None) => Ok(None),
    }
}

/// Why an answer's body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed.
    #[error("{}", chain(.0))]
    Request(#[from] reqwest::Error),
    /// It is too long.
    #[error("the answer is longer than {0} bytes")]
    Long(usize),
}

/// Returns the body of an answer.
///
/// # Errors
///
/// When the connection fails, or the body has more than `bytes_max` bytes; the rest of it is not read then.
pub async fn body(mut response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes_max < body.len() + chunk.len() {
            return Err(BodyError::Long(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns an error with all its sources on one line, each said once; reqwest's own text leaves out what matters.
pub fn chain(error: &dyn Error) -> String {
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

#[cfg(test)]
mod tests;
