//! An HTTP client for many GETs into buffers of their callers: kept-alive connections, a deadline, and a byte limit on the
//! body. It speaks HTTP/1.1, and HTTP/2 with servers that want to over TLS.
//!
//! One [`Client`] serves all requests that share an [`HttpConfig`]. Plain connections need no TLS state; that is built
//! at the first `https` URL, and again when one of its files changed. Credentials in files are read for each request.
//!
//! # Bounds
//!
//! A response's head is at most 16 KiB. An idle connection holds no buffer but those of TLS and HTTP/2, and is closed after [`IDLE_TIMEOUT`]; a host
//! keeps at most [`IDLE_PER_HOST_MAX`] of them.
//!
//! # Not here
//!
//! Decompression, which is up to the caller.

use std::borrow::Cow;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, StatusCode, Uri};
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use tokio::time::Instant;
use tower_service::Service;

use crate::http_config::{HttpConfig, InvalidHttpConfig};

mod auth;
mod connections;
mod exchange;
mod http2;
mod low_water;
mod oauth2;
mod proxy;
mod redirect;
pub(crate) mod tls;

use connections::Connections;
use exchange::{ExchangeError, Message};
use low_water::OverTcp;
use proxy::ProxyConnector;

pub use auth::{CredentialsError, append_headers, read_secret_file};
pub use connections::{IDLE_PER_HOST_MAX, IDLE_TIMEOUT};
pub use oauth2::{TokenError, TokenSource};
pub use proxy::ProxyRules;
pub use tls::{PerFiles, TlsError, client_config};

/// How many redirects are followed, as in Go.
const REDIRECTS_MAX: usize = 10;

type Plain = Connections<ProxyConnector>;
type Tls = Arc<Connections<HttpsConnector<ProxyConnector>>>;

/// Sends GETs as one `http_config` says. Share it: connections are reused within one client only.
pub struct Client {
    config: HttpConfig,
    base_dir: PathBuf,
    proxies: Arc<ProxyRules>,
    tokens: Option<TokenSource>,
    plain: Plain,
    /// Built at the first `https` request.
    tls: PerFiles<Tls>,
}

/// One GET.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// An absolute `http` or `https` URL.
    pub url: &'a Uri,
    /// Headers to send besides those of the configuration.
    pub headers: &'a HeaderMap,
    /// When to give up, the reading of the body included.
    pub deadline: Instant,
    /// How long a body may be, as it comes over the wire.
    pub body_bytes_max: usize,
}

/// What came before the body.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Where in the buffer that was given the body begins: what is before it is what the buffer had, and the head. The body
    /// is not moved to where it would be alone, as it may be long.
    pub body_at: usize,
}

/// Why a GET brought no response.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The deadline passed. The text is Go's, because dashboards and people look for it.
    #[error("Get \"{url}\": context deadline exceeded")]
    Deadline {
        /// The URL that was asked for.
        url: String,
    },
    /// No connection, or it broke.
    #[error("Get \"{url}\": {reason}")]
    Transport {
        /// The URL that was asked for.
        url: String,
        /// What went wrong, on one line.
        reason: String,
    },
    /// The body is longer than allowed; the connection was closed.
    #[error("body size limit exceeded")]
    BodyTooLong,
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no token to send.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Client {
    /// Returns a client that does as `config` says. Relative file names in it are relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// When the fields contradict each other. Files are not looked at before they are needed.
    pub fn new(config: &HttpConfig, base_dir: &Path) -> Result<Client, InvalidHttpConfig> {
        config.validate()?;
        let proxies = Arc::new(ProxyRules::of(config)?);
        let tokens = match &config.oauth2 {
            Some(oauth2) => Some(TokenSource::new(oauth2, base_dir)?),
            None => None,
        };
        Ok(Client {
            config: config.clone(),
            base_dir: base_dir.to_owned(),
            plain: Connections::new(connector(&proxies, tls::believing_nobody()?)),
            proxies,
            tokens,
            tls: PerFiles::default(),
        })
    }

    /// Returns the configuration that the client was made with.
    pub fn config(&self) -> &HttpConfig {
        &self.config
    }

    /// Sends a GET, follows redirects, and appends the body to `body`, perhaps with something before it: see
    /// [`Response::body_at`].
    ///
    /// Dropping the future closes the connection. After an error `body` may hold a part of the response.
    ///
    /// # Errors
    ///
    /// [`GetError`]. A status of 400 or more is not an error here.
    pub async fn get(
        &self,
        request: Request<'_>,
        body: &mut Vec<u8>,
    ) -> Result<Response, GetError> {
        match tokio::time::timeout_at(request.deadline, self.get_following(request, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(GetError::Deadline {
                url: request.url.to_string(),
            }),
        }
    }

    async fn get_following(
        &self,
        request: Request<'_>,
        body: &mut Vec<u8>,
    ) -> Result<Response, GetError> {
        let mut headers = Cow::Borrowed(request.headers);
        if self.config.sends_headers() {
            append_headers(&self.config, &self.base_dir, headers.to_mut())?;
        }
        if let Some(tokens) = &self.tokens {
            let authorization = tokens.authorization().await?;
            headers.to_mut().insert(AUTHORIZATION, authorization);
        }
        let mut moved_to: Option<Uri> = None;
        for _ in 0..=REDIRECTS_MAX {
            let start = body.len();
            let bytes_max = request.body_bytes_max;
            let url = moved_to.as_ref().unwrap_or(request.url);
            let response = self.send(url, &headers, None, body, bytes_max).await?;
            let Some(next) = self.redirected(url, &response) else {
                return Ok(response);
            };
            body.truncate(start);
            if next.authority() != url.authority() {
                // Credentials are for the host that they were configured for.
                let headers = headers.to_mut();
                headers.remove(AUTHORIZATION);
                for name in self
                    .config
                    .http_headers
                    .iter()
                    .flat_map(|headers| headers.keys())
                {
                    headers.remove(name.as_str());
                }
            }
            moved_to = Some(next);
        }
        let reason = format!("stopped after {REDIRECTS_MAX} redirects");
        Err(GetError::Transport {
            url: request.url.to_string(),
            reason,
        })
    }

    /// Returns where `response` sends us, if it does and if we follow.
    fn redirected(&self, url: &Uri, response: &Response) -> Option<Uri> {
        let follows = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if !follows || !self.config.follows_redirects() {
            return None;
        }
        let location = response.headers.get(LOCATION)?.to_str().ok()?;
        redirect::resolve(url, location)
    }

    /// Posts a form to an endpoint that gives tokens, without the credentials of this client, and appends what is answered
    /// to `body`, as [`get`](Self::get) does. Redirects are not followed.
    async fn post(
        &self,
        url: &Uri,
        headers: &HeaderMap,
        form: &[u8],
        body: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<Response, GetError> {
        self.send(url, headers, Some(form), body, bytes_max).await
    }

    async fn send(
        &self,
        url: &Uri,
        headers: &HeaderMap,
        post: Option<&[u8]>,
        body: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<Response, GetError> {
        let for_proxy;
        let mut message = Message {
            url,
            headers,
            post,
            for_proxy: None,
        };
        let is_https = url.scheme_str() == Some("https");
        if !is_https {
            for_proxy = self.proxies.forwarded(url);
            message.for_proxy = for_proxy.as_ref();
        }
        // A proxy that is spoken to by TLS is so for every URL.
        let sent = if is_https || self.proxies.speaks_tls() {
            let tls = self.tls_connections()?;
            send_over(&*tls, message, body, bytes_max).await
        } else {
            send_over(&self.plain, message, body, bytes_max).await
        };
        sent.map_err(|error| match error {
            ExchangeError::TooLong => GetError::BodyTooLong,
            other => GetError::Transport {
                url: url.to_string(),
                reason: other.reason(),
            },
        })
    }

    /// Returns the connections for `https`, made anew when the files that it stands on changed.
    fn tls_connections(&self) -> Result<Tls, TlsError> {
        let config = self.config.tls_config.clone().unwrap_or_default();
        self.tls.get_or_make(&config, &self.base_dir, || {
            let http = connector(&self.proxies, client_config(&config, &self.base_dir)?);
            let https = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(client_config(&config, &self.base_dir)?)
                .https_or_http();
            let https = match &config.server_name {
                Some(name) if !name.is_empty() => {
                    https.with_server_name_resolver(tls::fixed_name(name)?)
                }
                _ => https,
            };
            let https = https.enable_http1();
            let connector = match self.config.speaks_http2() {
                true => https.enable_http2().wrap_connector(http),
                false => https.wrap_connector(http),
            };
            Ok(Arc::new(Connections::new(connector)))
        })
    }
}

/// * `tls`: how proxies are spoken to that speak TLS.
fn connector(proxies: &Arc<ProxyRules>, tls: rustls::ClientConfig) -> ProxyConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(30)));
    // TLS and SOCKS are spoken on top.
    connector.enforce_http(false);
    ProxyConnector::new(connector, tls, Arc::clone(proxies))
}

/// Sends a message over a connection that is there, or else over a new one.
async fn send_over<C>(
    connections: &Connections<C>,
    message: Message<'_>,
    body: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<Response, ExchangeError>
where
    C: Service<Uri> + Clone,
    C::Response: OverTcp + Read + Write + Connection + Unpin + Send + 'static,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (url, start) = (message.url, body.len());
    let mut used = connections.used(url).await;
    loop {
        let is_new = used.is_none();
        let mut connection = match used.take() {
            Some(connection) => connection,
            None => connections.connect(url).await?,
        };
        body.truncate(start);
        let got = connection.send(message, body, bytes_max).await;
        match got {
            // The server had closed it while the request was on its way.
            Err(ExchangeError::Unanswered(_)) if !is_new => (),
            Err(error) => return Err(error),
            Ok((response, is_reusable)) => {
                if is_reusable {
                    connections.keep(url, connection);
                }
                return Ok(response);
            }
        }
    }
}

/// Returns what the deepest source of `error` says, which is what a person wants to read.
fn innermost(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests;
