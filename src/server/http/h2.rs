//! HTTP/2 of a connection that TLS has agreed on it for.
//!
//! # Bounds
//!
//! A connection has at most [`STREAMS_MAX`] requests at a time, of [`HEAD_BYTES_MAX`] of headers each; it ends when there was
//! none for as long as one of HTTP/1.1 may be idle, or when its peer does not answer a ping.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::graceful::Watcher;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::api::Peer;

/// The name of the protocol in TLS.
pub(super) const ALPN: &[u8] = b"h2";

/// Requests of one connection at a time.
const STREAMS_MAX: u32 = 100;

/// Bytes of the headers of a request.
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// How long a peer may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What goes on in a connection.
struct Activity {
    requests: AtomicUsize,
    /// When the last one ended.
    ended: Mutex<Instant>,
}

/// A request that is being answered.
struct Running(Arc<Activity>);

impl Running {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.ended.lock() = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the requests of a connection until it ends, or has been idle for `idle_max`.
pub(super) async fn serve<C>(
    connection: C,
    peer: Peer,
    router: Router,
    idle_max: Duration,
    watcher: Watcher,
) where
    C: Read + Write + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity {
        requests: AtomicUsize::new(0),
        ended: Mutex::new(Instant::now()),
    });
    let of_requests = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let running = Running::begin(&of_requests);
        let answering = router.clone().oneshot(request);
        async move {
            let response: Response = answering.await?;
            // The request runs until the last of the body is on its way.
            let held = |body: Body| {
                body.map_frame(move |frame| {
                    let _ = &running;
                    frame
                })
            };
            Ok::<_, Infallible>(response.map(held))
        }
    });
    let serving = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(idle_max)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(connection, service);
    tokio::select! {
        () = super::to_its_end(watcher.watch(serving)) => (),
        () = idle(&activity, idle_max) => (),
    }
}

/// Waits until there was no request for `idle_max`.
async fn idle(activity: &Activity, idle_max: Duration) {
    loop {
        let due = *activity.ended.lock() + idle_max;
        let is_busy = 0 < activity.requests.load(Ordering::Relaxed);
        if !is_busy && due <= Instant::now() {
            return;
        }
        let next = match is_busy {
            true => Instant::now() + idle_max,
            false => due,
        };
        tokio::time::sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::StatusCode;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use hyper_util::rt::TokioIo;
    use hyper_util::server::graceful::GracefulShutdown;
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::*;

    type Client = SendRequest<Body>;

    /// A connection to a server whose `/slow` waits for permits.
    async fn connect(
        idle_max: Duration,
    ) -> (Client, Arc<Semaphore>, GracefulShutdown, JoinHandle<()>) {
        let permits = Arc::new(Semaphore::new(0));
        let of_slow = Arc::clone(&permits);
        let slow = move || async move {
            of_slow.acquire().await.unwrap().forget();
            "slow"
        };
        let router = Router::new()
            .route("/", get(|| async { "quick" }))
            .route("/slow", get(slow));
        let graceful = GracefulShutdown::new();
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let serving = serve(
            TokioIo::new(theirs),
            Peer(std::net::Ipv4Addr::LOCALHOST.into()),
            router,
            idle_max,
            graceful.watcher(),
        );
        let serving = tokio::spawn(serving);
        let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(ours))
            .await
            .unwrap();
        tokio::spawn(connection);
        (client, permits, graceful, serving)
    }

    async fn ask(client: &Client, path: &str) -> hyper::Result<(StatusCode, String)> {
        let request = Request::get(format!("http://h{path}"))
            .body(Body::empty())
            .unwrap();
        let response = client.clone().send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    #[tokio::test]
    async fn requests_are_answered_side_by_side() {
        let (client, permits, _graceful, _) = connect(Duration::from_secs(60)).await;
        let slow = tokio::spawn({
            let client = client.clone();
            async move { ask(&client, "/slow").await }
        });
        let quick = ask(&client, "/").await.unwrap();
        assert_eq!(quick, (StatusCode::OK, "quick".to_owned()));
        assert!(!slow.is_finished());
        permits.add_permits(1);
        assert_eq!(slow.await.unwrap().unwrap().1, "slow");
    }

    #[tokio::test]
    async fn an_idle_connection_ends_and_a_busy_one_does_not() {
        let idle_max = Duration::from_millis(300);
        let (client, permits, _graceful, serving) = connect(idle_max).await;
        let slow = tokio::spawn(async move { (ask(&client, "/slow").await, client) });
        tokio::time::sleep(idle_max * 3 / 2).await;
        permits.add_permits(1);
        let (answer, client) = slow.await.unwrap();
        assert_eq!(answer.unwrap().1, "slow");
        tokio::time::timeout(Duration::from_secs(20), serving)
            .await
            .unwrap()
            .unwrap();
        assert!(ask(&client, "/").await.is_err());
    }

    #[tokio::test]
    async fn stopping_waits_for_what_runs() {
        let (client, permits, graceful, serving) = connect(Duration::from_secs(60)).await;
        let running = client.clone();
        let slow = tokio::spawn(async move { ask(&running, "/slow").await });
        ask(&client, "/").await.unwrap();
        let stopping = tokio::spawn(graceful.shutdown());
        tokio::task::yield_now().await;
        assert!(!stopping.is_finished());
        permits.add_permits(1);
        assert_eq!(slow.await.unwrap().unwrap().1, "slow");
        drop(client);
        stopping.await.unwrap();
        serving.await.unwrap();
    }
}
