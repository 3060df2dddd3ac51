//! Proxies: which one a URL is reached through, and how.
//!
//! An `http` URL goes to an HTTP proxy whole; for `https` the proxy is asked for a tunnel (CONNECT). A SOCKS5 proxy makes
//! a tunnel for both, and looks the host up itself. An HTTP proxy may be spoken to by TLS (`https://proxy`), as the `tls_config`
//! of the requests says, as in Go.
//!
//! Source: Go's `httpproxy`, which Prometheus uses.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::low_water::OverTcp;
use crate::http_config::{HttpConfig, InvalidHttpConfig};

/// The port of a SOCKS proxy that has none in its URL.
const SOCKS_PORT: u16 = 1080;

/// Which proxy each URL is reached through, as an `http_config` says.
#[derive(Debug, Default)]
pub struct ProxyRules {
    matcher: Option<Matcher>,
    /// Whether this machine is reached without a proxy, as in Go where hosts are excluded.
    spares_local: bool,
    /// Headers for a proxy that is asked for a tunnel.
    headers: HeaderMap,
}

impl ProxyRules {
    /// Returns the rules of `config`; the environment is looked at now.
    ///
    /// # Errors
    ///
    /// When the proxy's URL is not one of a kind that is known, or its headers are none.
    pub fn of(config: &HttpConfig) -> Result<Self, InvalidHttpConfig> {
        let url = config.proxy_url.as_ref().filter(|url| !url.is_empty());
        if let Some(url) = url {
            check_url(url.as_str()).map_err(|why| {
                InvalidHttpConfig(format!("proxy_url {:?} {why}", url.to_string()))
            })?;
        }
        let excluded = config.no_proxy.as_deref().unwrap_or_default();
        let by_environment = config.proxy_from_environment == Some(true);
        let matcher = match url {
            Some(url) => {
                let url = url.as_str().to_owned();
                Some(Matcher::builder().all(url).no(excluded.to_owned()).build())
            }
            None => by_environment.then(of_environment),
        };
        let mut headers = HeaderMap::new();
        for (name, values) in config.proxy_connect_header.iter().flatten() {
            let invalid = || InvalidHttpConfig(format!("{name:?} is not a valid header"));
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            for value in values {
                let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| invalid())?;
                value.set_sensitive(true);
                headers.append(&header, value);
            }
        }
        Ok(ProxyRules {
            matcher,
            spares_local: by_environment || !excluded.is_empty(),
            headers,
        })
    }

    /// Returns the proxy that `url` is reached through, if one is.
    pub(super) fn proxy_of(&self, url: &Uri) -> Option<Intercept> {
        let matcher = self.matcher.as_ref()?;
        if self.spares_local && url.host().is_some_and(is_local) {
            return None;
        }
        matcher.intercept(url)
    }

    /// Returns the URL of the proxy that `url` is reached through, if one is; without credentials.
    pub fn url_of(&self, url: &str) -> Option<String> {
        let proxy = self.proxy_of(&url.parse().ok()?)?;
        Some(with_port(proxy.uri()).to_string())
    }

    /// Returns the credentials for the proxy, as the value of `Proxy-Authorization`.
    pub fn authorization(&self) -> Option<HeaderValue> {
        let matcher = self.matcher.as_ref()?;
        // Hosts that are reserved for examples stand for all of them.
        let probes = ["http://proxied.example", "https://proxied.example"];
        let proxies = probes.map(|probe| matcher.intercept(&Uri::from_static(probe)));
        let mut values = proxies.iter().flatten();
        values.find_map(|proxy| proxy.basic_auth().cloned())
    }

    /// Returns the headers for a proxy that is asked for a tunnel.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns whether a proxy may have to be spoken to by TLS.
    pub(super) fn speaks_tls(&self) -> bool {
        let probes = ["http://proxied.example", "https://proxied.example"];
        let mut proxies = probes.iter().filter_map(|probe| {
            let matcher = self.matcher.as_ref()?;
            matcher.intercept(&Uri::from_static(probe))
        });
        proxies.any(|proxy| proxy.uri().scheme_str() == Some("https"))
    }

    /// Returns the headers of a request for `url` that goes to a proxy whole, if it does.
    pub(super) fn forwarded(&self, url: &Uri) -> Option<HeaderMap> {
        let proxy = self.proxy_of(url).filter(is_http)?;
        let mut headers = HeaderMap::new();
        if let Some(authorization) = proxy.basic_auth() {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Some(headers)
    }
}

/// `ALL_PROXY` is not Go's.
fn of_environment() -> Matcher {
    let first = |names: [&str; 2]| {
        let values = names
            .into_iter()
            .filter_map(|name| std::env::var(name).ok());
        values
            .into_iter()
            .find(|value| !value.is_empty())
            .unwrap_or_default()
    };
    Matcher::builder()
        .http(first(["HTTP_PROXY", "http_proxy"]))
        .https(first(["HTTPS_PROXY", "https_proxy"]))
        .no(first(["NO_PROXY", "no_proxy"]))
        .build()
}

fn check_url(url: &str) -> Result<(), String> {
    let example = "(write it like http://proxy:3128)";
    let uri: Uri = url.parse().map_err(|_| format!("is not a URL {example}"))?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5" | "socks5h") if uri.host().is_some() => Ok(()),
        Some(scheme) => Err(format!(
            "has the scheme {scheme}, known are http, https, socks5 and socks5h {example}"
        )),
        None => Err(format!("has no scheme {example}")),
    }
}

/// Returns whether a proxy speaks HTTP, over TLS or not.
fn is_http(proxy: &Intercept) -> bool {
    matches!(proxy.uri().scheme_str(), Some("http" | "https"))
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.is_loopback();
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

/// Connects right to a host, or through its proxy.
#[derive(Clone)]
pub(super) struct ProxyConnector {
    /// Connects to hosts and to SOCKS proxies.
    http: HttpConnector,
    /// Connects to HTTP proxies.
    to_proxy: HttpsConnector<HttpConnector>,
    rules: Arc<ProxyRules>,
}

impl ProxyConnector {
    /// Returns a connector that connects by `http`, and to proxies besides by TLS as `tls` says.
    pub(super) fn new(
        http: HttpConnector,
        tls: rustls::ClientConfig,
        rules: Arc<ProxyRules>,
    ) -> Self {
        ProxyConnector {
            to_proxy: HttpsConnector::from((http.clone(), tls)),
            http,
            rules,
        }
    }
}

/// A connection to a host, perhaps within one to a proxy.
pub(super) enum ProxyStream {
    Plain(TokioIo<TcpStream>),
    /// Boxed, as the state of TLS is large and hardly any proxy needs it.
    Tls(Box<MaybeHttpsStream<TokioIo<TcpStream>>>),
}

impl From<MaybeHttpsStream<TokioIo<TcpStream>>> for ProxyStream {
    fn from(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        match stream {
            MaybeHttpsStream::Http(stream) => ProxyStream::Plain(stream),
            tls @ MaybeHttpsStream::Https(_) => ProxyStream::Tls(Box::new(tls)),
        }
    }
}

impl OverTcp for ProxyStream {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            ProxyStream::Plain(stream) => stream.tcp(),
            ProxyStream::Tls(stream) => stream.tcp(),
        }
    }
}

impl Connection for ProxyStream {
    fn connected(&self) -> Connected {
        match self {
            ProxyStream::Plain(stream) => stream.connected(),
            ProxyStream::Tls(stream) => stream.connected(),
        }
    }
}

impl Read for ProxyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ProxyStream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            ProxyStream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl Write for ProxyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ProxyStream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            ProxyStream::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ProxyStream::Plain(stream) => Pin::new(stream).poll_flush(context),
            ProxyStream::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ProxyStream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            ProxyStream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for ProxyConnector {
    type Response = ProxyStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let mut http = self.http.clone();
        let Some(proxy) = self.rules.proxy_of(&url) else {
            return Box::pin(async move { Ok(ProxyStream::Plain(http.call(url).await?)) });
        };
        if !is_http(&proxy) {
            let mut socks = SocksV5::new(with_port(proxy.uri()), http);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            return Box::pin(async move { Ok(ProxyStream::Plain(socks.call(url).await?)) });
        }
        if url.scheme_str() != Some("https") {
            let mut to_proxy = self.to_proxy.clone();
            return Box::pin(async move { Ok(to_proxy.call(proxy.uri().clone()).await?.into()) });
        }
        let to_proxy = self.to_proxy.clone();
        let mut tunnel =
            Tunnel::new(proxy.uri().clone(), to_proxy).with_headers(self.rules.headers.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Box::pin(async move { Ok(tunnel.call(url).await?.into()) })
    }
}

/// Returns the URL of a proxy, that of a SOCKS proxy with a port.
fn with_port(proxy: &Uri) -> Uri {
    let scheme = proxy
        .scheme_str()
        .filter(|scheme| scheme.starts_with("socks"));
    let completed = match (scheme, proxy.host(), proxy.port()) {
        (Some(scheme), Some(host), None) => format!("{scheme}://{host}:{SOCKS_PORT}/").parse().ok(),
        _ => None,
    };
    completed.unwrap_or_else(|| proxy.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_config::UrlText;

    fn rules(url: &str, excluded: Option<&str>) -> Result<ProxyRules, String> {
        let config = HttpConfig {
            proxy_url: Some(UrlText::new(url)),
            no_proxy: excluded.map(str::to_owned),
            ..Default::default()
        };
        ProxyRules::of(&config).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(rules: &ProxyRules, url: &str, expected: Option<&str>) {
        let proxy = rules.proxy_of(&url.parse().unwrap());
        let proxy = proxy.map(|proxy| proxy.uri().to_string());
        assert_eq!(proxy.as_deref(), expected, "{url}");
    }

    #[test]
    fn hosts_are_excluded() {
        let all = rules("http://proxy:3128", None).unwrap();
        for url in ["http://a/", "https://a:1/", "http://localhost:9090/"] {
            check(&all, url, Some("http://proxy:3128/"));
        }
        let some = rules("http://proxy:3128", Some("example.com, 10.0.0.0/8")).unwrap();
        check(&some, "http://a/", Some("http://proxy:3128/"));
        for url in [
            "http://example.com/",
            "https://a.example.com/",
            "http://10.1.2.3:9100/",
            "http://localhost:9090/",
            "http://127.0.0.1:9090/",
            "http://[::1]:9090/",
        ] {
            check(&some, url, None);
        }
        check(&ProxyRules::default(), "http://a/", None);
    }

    #[test]
    fn unknown_proxies_are_refused() {
        assert!(rules("socks5://proxy", None).is_ok());
        assert!(rules("https://u:hush@proxy", None).unwrap().speaks_tls());
        assert!(!rules("http://proxy", None).unwrap().speaks_tls());
        let error = rules("ftp://u:hush@proxy", None).unwrap_err();
        assert!(
            error.contains("has the scheme ftp") && !error.contains("hush"),
            "{error}"
        );
        let error = rules("proxy", None).unwrap_err();
        assert!(error.contains("has no scheme"), "{error}");
    }

    #[test]
    fn socks_has_a_port() {
        let port = |url: &str| with_port(&url.parse().unwrap()).port_u16();
        assert_eq!(port("socks5://proxy"), Some(1080));
        assert_eq!(port("socks5://proxy:9"), Some(9));
        assert_eq!(port("http://proxy"), None);
    }
}
