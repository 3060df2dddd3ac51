//! One kind of objects in one namespace, kept up to date: a list, then a watch from where the list ends.
//!
//! A watch that ends goes on from the newest resource version that was seen, bookmarks included. When the server says
//! that it no longer knows that version (410), everything is listed again; what was known stays until then. Failures are
//! counted, logged, and followed by pauses that grow.

use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::access::Access;
use super::object::{Event, List, Metadata, Resource, Status};
use super::store::Part;
use crate::config::{KubernetesRole, KubernetesSelector};
use crate::discovery::refresh;
use crate::metrics::DiscoveryMetrics;

/// How many objects a page has, if the server makes pages at all.
const PAGE_OBJECTS: usize = 500;
/// How long a page may take to come.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server is asked to keep a watch open …
const WATCH_SECONDS: u64 = 300;
/// … and how much longer is waited for it.
const WATCH_GRACE: Duration = Duration::from_secs(30);
/// The shortest and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));
/// How long one event may be, in bytes: an object is at most 1.5 MB in the cluster's store.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// Keeps one part of a store up to date.
pub(crate) struct Reflector<T> {
    access: Arc<Access>,
    namespace: Option<String>,
    selector: KubernetesSelector,
    part: Arc<Part<T>>,
    metrics: DiscoveryMetrics,
    role: KubernetesRole,
}

/// Why objects cannot be followed at the moment.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    /// The server does not know the resource version any more.
    #[error("the resource version is too old")]
    Gone,
    /// The server does not believe who we are.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
}

impl WatchError {
    fn of(error: &dyn std::error::Error) -> Self {
        WatchError::Failed(net::outbound::chain(error))
    }
}

impl<T: Resource> Reflector<T> {
    pub(crate) fn new(
        access: Arc<Access>,
        namespace: Option<String>,
        selector: KubernetesSelector,
        part: Arc<Part<T>>,
        metrics: DiscoveryMetrics,
        role: KubernetesRole,
    ) -> Self {
        Reflector {
            access,
            namespace,
            selector,
            part,
            metrics,
            role,
        }
    }

    /// Follows the objects for ever; tells `changed` about each change.
    pub(crate) async fn run(self, changed: &Notify) {
        let mut pause = PAUSES.0;
        let mut version = None;
        loop {
            let followed = match version.take() {
                None => self.list().await.inspect(|_| changed.notify_one()),
                Some(from) => self.watch(from, changed).await,
            };
            match followed {
                Ok(newest) => {
                    version = Some(newest);
                    pause = PAUSES.0;
                }
                Err((WatchError::Gone, _)) => (),
                Err((error, from)) => {
                    if let WatchError::Refused(_) = &error {
                        self.access.refused().await;
                    }
                    self.metrics.kubernetes_failures.inc();
                    let (kind, namespace) = (T::PLURAL, self.namespace.as_deref().unwrap_or("*"));
                    tracing::warn!(%error, kind, namespace, "Kubernetes discovery cannot follow objects and keeps what it knows");
                    version = from;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Returns a GET of the objects, with further parameters.
    async fn request(&self, parameters: &[(&str, &str)]) -> Result<RequestBuilder, WatchError> {
        let place = match &self.namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", T::API, T::PLURAL),
            None => format!("{}/{}", T::API, T::PLURAL),
        };
        let request = self
            .access
            .get(&place)
            .await
            .map_err(|error| WatchError::of(&error))?;
        let mut query: Vec<(&str, &str)> = parameters.to_vec();
        for (name, selector) in [
            ("labelSelector", &self.selector.label),
            ("fieldSelector", &self.selector.field),
        ] {
            if !selector.is_empty() {
                query.push((name, selector));
            }
        }
        Ok(request.query(&query))
    }

    /// Lists all objects; returns the resource version that the list is of.
    async fn list(&self) -> Result<String, (WatchError, Option<String>)> {
        let failed = |error| (error, None);
        let (limit, mut objects, mut next) = (PAGE_OBJECTS.to_string(), Vec::new(), String::new());
        loop {
            // Version 0 is any that the server has at hand. A page belongs to the version of the first.
            let request = match next.is_empty() {
                true => {
                    self.request(&[("resourceVersion", "0"), ("limit", &limit)])
                        .await
                }
                false => {
                    self.request(&[("continue", &next), ("limit", &limit)])
                        .await
                }
            };
            let page = timeout(LIST_TIMEOUT, page::<T>(request.map_err(failed)?)).await;
            let page = match page {
                Ok(Ok(page)) => page,
                Ok(Err(error @ WatchError::Refused(_))) => return Err(failed(error)),
                // The next try begins at the first page.
                Ok(Err(error)) => return Err(failed(WatchError::Failed(error.to_string()))),
                Err(_) => {
                    return Err(failed(WatchError::Failed(
                        "no list came in time".to_owned(),
                    )));
                }
            };
            objects.extend(page.items);
            next = page.metadata.next;
            if next.is_empty() {
                self.part.replace(objects);
                return Ok(page.metadata.resource_version);
            }
        }
    }

    /// Follows changes after the resource version `from`, until the server ends the watch; returns the newest version.
    async fn watch(
        &self,
        mut from: String,
        changed: &Notify,
    ) -> Result<String, (WatchError, Option<String>)> {
        let limit = Duration::from_secs(WATCH_SECONDS) + WATCH_GRACE;
        let outcome = match timeout(limit, self.watch_once(&mut from, changed)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(WatchError::Failed(
                "the server does not end the watch".to_owned(),
            )),
        };
        match outcome {
            Ok(()) => Ok(from),
            Err(WatchError::Gone) => Err((WatchError::Gone, None)),
            Err(error) => Err((error, Some(from))),
        }
    }

    async fn watch_once(&self, from: &mut String, changed: &Notify) -> Result<(), WatchError> {
        let seconds = WATCH_SECONDS.to_string();
        let request = self
            .request(&[
                ("watch", "true"),
                ("allowWatchBookmarks", "true"),
                ("resourceVersion", from),
                ("timeoutSeconds", &seconds),
            ])
            .await?;
        let mut response = checked(request).await?;
        let mut bytes: Vec<u8> = Vec::new();
        let mut is_empty = true;
        while let Some(more) = response.chunk().await.map_err(of)? {
            is_empty = false;
            let searched = bytes.len();
            bytes.extend_from_slice(&more);
            let mut start = 0;
            while let Some(end) = line_end(&bytes, start.max(searched)) {
                self.take(&bytes[start..end], from, changed)?;
                start = end + 1;
            }
            bytes.drain(..start);
            if EVENT_BYTES_MAX < bytes.len() {
                let text = format!("an event is longer than {} MiB", EVENT_BYTES_MAX >> 20);
                return Err(WatchError::Failed(text));
            }
        }
        if is_empty {
            // A server that ends watches at once is not asked in a loop.
            tokio::time::sleep(PAUSES.0).await;
        }
        Ok(())
    }

    /// Does what one line of a watch says.
    fn take(&self, line: &[u8], from: &mut String, changed: &Notify) -> Result<(), WatchError> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let event: Event<'_> =
            serde_json::from_slice(line).map_err(|error| WatchError::of(&error))?;
        let object = event.object.get();
        let event = match event.kind {
            "BOOKMARK" => {
                #[derive(serde::Deserialize)]
                struct Bookmark {
                    metadata: Metadata,
                }
                let bookmark: Bookmark = parse(object)?;
                *from = bookmark.metadata.resource_version;
                return Ok(());
            }
            "ERROR" => {
                let status: Status = parse(object)?;
                return Err(match status.code {
                    410 => WatchError::Gone,
                    _ => WatchError::Failed(format!("{}: {}", status.reason, status.message)),
                });
            }
            "ADDED" => "add",
            "MODIFIED" => "update",
            "DELETED" => "delete",
            other => {
                let text = format!("the server says {other:?}, which is no kind of event");
                return Err(WatchError::Failed(text));
            }
        };
        let object: T = parse(object)?;
        from.clone_from(&object.metadata().resource_version);
        match event {
            "delete" => self.part.remove(&object),
            _ => self.part.set(object),
        }
        let role = T::ROLE.unwrap_or(self.role.name());
        self.metrics.kubernetes_events.with(&[role, event]).inc();
        changed.notify_one();
        Ok(())
    }
}

fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let at = bytes.get(from..)?.iter().position(|&byte| byte == b'\n')?;
    Some(from + at)
}

fn parse<'de, V: serde::Deserialize<'de>>(text: &'de str) -> Result<V, WatchError> {
    serde_json::from_str(text).map_err(|error| WatchError::of(&error))
}

/// The URL may hold a token.
fn of(error: reqwest::Error) -> WatchError {
    WatchError::of(&error.without_url())
}

/// Sends a request; returns the answer if it is a good one.
async fn checked(request: RequestBuilder) -> Result<reqwest::Response, WatchError> {
    const TEXT_BYTES_MAX: usize = 4096;
    let mut response = request.send().await.map_err(of)?;
    match response.status().as_u16() {
        200 => return Ok(response),
        410 => return Err(WatchError::Gone),
        _ => (),
    }
    let mut text = Vec::new();
    while let Ok(Some(more)) = response.chunk().await {
        text.extend_from_slice(&more);
        if TEXT_BYTES_MAX < text.len() {
            break;
        }
    }
    let status: Status = serde_json::from_slice(&text).unwrap_or_default();
    let code = response.status();
    let text = format!("the API server answers {code} {}", status.message);
    Err(match code.as_u16() {
        401 => WatchError::Refused(text),
        _ => WatchError::Failed(text),
    })
}

async fn page<T: Resource>(request: RequestBuilder) -> Result<List<T>, WatchError> {
    let mut response = checked(request).await?;
    let body = refresh::body(&mut response).await;
    let body = body.map_err(|error| WatchError::Failed(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| WatchError::of(&error))
}
