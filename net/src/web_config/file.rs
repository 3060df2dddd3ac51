//! The web configuration as it is obeyed: read again when it, or a file that it names, has changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::users::Users;
use super::{InvalidWebConfig, WebConfig};
use crate::client::tls::{Stamp, read_bounded};

/// Reads the text of a web configuration.
pub type ParseWebConfig = fn(&str) -> Result<WebConfig, String>;

/// How long after a configuration that makes no sense the files are looked at again, though nothing known has changed.
const RETRY: Duration = Duration::from_secs(10);

/// What a listener obeys: without a file everybody is let in and no TLS is spoken.
#[derive(Debug)]
pub struct WebRules {
    source: Option<Source>,
    /// Decided at the start: a listener does not change between TLS and none.
    speaks_tls: bool,
    users: Users,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    parse: ParseWebConfig,
}

#[derive(Debug)]
struct Current {
    stamps: Vec<Option<Stamp>>,
    /// When to read again all the same.
    retry_at: Option<Instant>,
    in_force: Arc<InForce>,
}

/// A configuration in force.
#[derive(Debug, Default)]
pub struct InForce {
    config: WebConfig,
    headers: HeaderMap,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl InForce {
    /// Returns the headers of every answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns how TLS is spoken, if it is.
    pub fn tls(&self) -> Option<&Arc<rustls::ServerConfig>> {
        self.tls.as_ref()
    }
}

impl WebRules {
    /// Reads the configuration at `path`; an empty one is none. Relative names in it are relative to its directory.
    ///
    /// # Errors
    ///
    /// When it, or a file that it names, cannot be read or makes no sense. The text names the file.
    pub fn open(path: &str, parse: ParseWebConfig) -> Result<WebRules, InvalidWebConfig> {
        let source = (!path.is_empty()).then(|| Source {
            path: PathBuf::from(path),
            parse,
        });
        let (stamps, in_force) = match &source {
            Some(source) => source.read()?,
            None => Default::default(),
        };
        Ok(WebRules {
            source,
            speaks_tls: in_force.tls.is_some(),
            users: Users::default(),
            current: Mutex::new(Current {
                stamps,
                retry_at: None,
                in_force: Arc::new(in_force),
            }),
        })
    }

    /// Returns whether TLS is spoken.
    pub fn speaks_tls(&self) -> bool {
        self.speaks_tls
    }

    /// Returns the configuration as the files are now. While they make no sense, the one before stays in force.
    pub fn current(&self) -> Arc<InForce> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &self.source else {
            return Arc::clone(&current.in_force);
        };
        let stamps = source.stamps(&current.in_force.config);
        let is_due = current.retry_at.is_some_and(|at| at <= Instant::now());
        if stamps == current.stamps && !is_due {
            return Arc::clone(&current.in_force);
        }
        current.retry_at = None;
        match source.read() {
            Ok((_, read)) if read.tls.is_some() != self.speaks_tls => {
                tracing::error!(file = %source.path.display(), "the web configuration switches TLS on or off, which needs a restart; the one before stays in force");
                current.stamps = stamps;
            }
            Ok((stamps, read)) => {
                current.stamps = stamps;
                current.in_force = Arc::new(read);
                tracing::info!(file = %source.path.display(), "web configuration read again");
            }
            Err(error) => {
                tracing::error!(%error, "the web configuration changed and makes no sense; the one before stays in force");
                current.stamps = stamps;
                current.retry_at = Some(Instant::now() + RETRY);
            }
        }
        Arc::clone(&current.in_force)
    }

    /// Returns whether an `Authorization` header lets its sender in.
    pub async fn may_enter(&self, in_force: &InForce, authorization: Option<&[u8]>) -> bool {
        self.users
            .may_enter(&in_force.config.basic_auth_users, authorization)
            .await
    }
}

impl Source {
    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn stamps(&self, config: &WebConfig) -> Vec<Option<Stamp>> {
        let tls = &config.tls_server_config;
        let named = [&tls.cert_file, &tls.key_file, &tls.client_ca_file];
        let named = named.into_iter().filter(|name| !name.is_empty());
        let named = named.map(|name| self.dir().join(name));
        std::iter::once(self.path.clone())
            .chain(named)
            .map(|path| Stamp::of(&path))
            .collect()
    }

    fn read(&self) -> Result<(Vec<Option<Stamp>>, InForce), InvalidWebConfig> {
        let shown = self.path.display();
        let wrong =
            |reason: String| InvalidWebConfig(format!("web configuration {shown}: {reason}"));
        let text = read_bounded(&self.path).and_then(|bytes| io::read_to_string(&bytes[..]));
        let text = text.map_err(|error| wrong(error.to_string()))?;
        let config = (self.parse)(&text).map_err(wrong)?;
        config
            .check(self.dir())
            .map_err(|error| wrong(error.to_string()))?;
        // Before the files are read, so that a change in between is seen the next time.
        let stamps = self.stamps(&config);
        let mut tls = match config.tls_server_config.is_off() {
            true => None,
            false => Some(
                config
                    .tls_server_config
                    .server_config(self.dir())
                    .map_err(|error| wrong(error.to_string()))?,
            ),
        };
        if let Some(tls) = &mut tls {
            let spoken: &[&[u8]] = match config.http_server_config.http2 {
                true => &[b"h2", b"http/1.1"],
                false => &[b"http/1.1"],
            };
            tls.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.http_server_config.headers {
            let bad = |error: &dyn std::fmt::Display| wrong(format!("header {name}: {error}"));
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(&error))?,
                HeaderValue::from_str(value).map_err(|error| bad(&error))?,
            );
        }
        let in_force = InForce {
            config,
            headers,
            tls: tls.map(Arc::new),
        };
        Ok((stamps, in_force))
    }
}
