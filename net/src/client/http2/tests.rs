//! The client against a server that speaks HTTP/2 where TLS agrees on it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Response, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::client::{Client, Request};
use crate::http_config::{BasicAuth, HttpConfig, Secret, TlsConfig};

/// A server, and how many connections it was asked for.
struct Server {
    address: String,
    pem: String,
    connections: Arc<AtomicUsize>,
}

/// Says how it was asked. `/slow` is never answered, `/last` is the last answer of its connection.
async fn answer(
    request: http::Request<Incoming>,
    closing: Arc<tokio::sync::Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path() {
        "/slow" => std::future::pending::<()>().await,
        "/last" => closing.notify_one(),
        _ => (),
    }
    let header = |name| {
        let value = request.headers().get(name);
        value.map_or("none", |value| value.to_str().unwrap())
    };
    let host = request
        .uri()
        .authority()
        .map_or(header("host"), |host| host.as_str());
    let text = format!(
        "{:?} {} {} {host} {} {}",
        request.version(),
        request.method(),
        request.uri().path(),
        header("authorization"),
        header("x-mine"),
    );
    Ok(Response::new(Full::new(Bytes::from(text))))
}

/// * `offered`: the names of protocols, as in TLS.
async fn server(offered: &[&str]) -> Server {
    let (tls, pem) = crate::testing::tls("127.0.0.1", offered);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let stream = TokioIo::new(stream);
                let closing = Arc::<tokio::sync::Notify>::default();
                let of_requests = Arc::clone(&closing);
                let service = service_fn(move |request| answer(request, of_requests.clone()));
                if is_http2 {
                    let builder = http2::Builder::new(TokioExecutor::new());
                    let serving = builder.serve_connection(stream, service);
                    tokio::pin!(serving);
                    tokio::select! {
                        _ = serving.as_mut() => return,
                        () = closing.notified() => serving.as_mut().graceful_shutdown(),
                    }
                    serving.await.ok();
                } else {
                    let serving = http1::Builder::new().serve_connection(stream, service);
                    serving.await.ok();
                }
            });
        }
    });
    Server {
        address,
        pem,
        connections,
    }
}

impl Server {
    fn client(&self, enable_http2: Option<bool>) -> Client {
        let config = HttpConfig {
            basic_auth: Some(BasicAuth {
                username: Some("u".to_owned()),
                password: Some(Secret::new("p")),
                ..Default::default()
            }),
            tls_config: Some(TlsConfig {
                ca: Some(self.pem.clone()),
                ..Default::default()
            }),
            enable_http2,
            ..Default::default()
        };
        Client::new(&config, std::path::Path::new("")).unwrap()
    }

    async fn get(
        &self,
        client: &Client,
        path: &str,
        headers: &HeaderMap,
        bytes_max: usize,
    ) -> String {
        let url: Uri = format!("https://{}{path}", self.address).parse().unwrap();
        let mut body = b"before ".to_vec();
        let request = Request {
            url: &url,
            headers,
            deadline: Instant::now() + Duration::from_millis(500),
            body_bytes_max: bytes_max,
        };
        match client.get(request, &mut body).await {
            Ok(response) => {
                // Over HTTP/1.1 the head is before it.
                body.drain("before ".len()..response.body_at);
                String::from_utf8(body)
                    .unwrap()
                    .replace(&self.address, "HOST")
            }
            Err(error) => error.to_string().replace(&self.address, "HOST"),
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

const BY_HTTP2: &str = "before HTTP/2.0 GET /metrics HOST Basic dTpw none";

#[tokio::test]
async fn it_is_spoken_with_who_offers_it_on_one_connection() {
    for offered in [&["h2", "http/1.1"][..], &["h2"]] {
        let server = server(offered).await;
        let client = server.client(None);
        for _ in 0..3 {
            let got = server
                .get(&client, "/metrics", &HeaderMap::new(), 1_000)
                .await;
            assert_eq!(got, BY_HTTP2);
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn it_is_not_spoken_with_others_nor_if_it_is_off() {
    for (offered, enable_http2) in [
        (&["h2", "http/1.1"][..], Some(false)),
        (&["http/1.1"], Some(true)),
        (&[], None),
    ] {
        let server = server(offered).await;
        let client = server.client(enable_http2);
        let got = server
            .get(&client, "/metrics", &HeaderMap::new(), 1_000)
            .await;
        assert_eq!(got, BY_HTTP2.replace("HTTP/2.0", "HTTP/1.1"));
    }
}

#[tokio::test]
async fn headers_go_along_and_a_host_takes_the_place_of_that_in_the_url() {
    let server = server(&["h2"]).await;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, "other:1".parse().unwrap());
    headers.insert("x-mine", "m".parse().unwrap());
    let got = server
        .get(&server.client(None), "/metrics", &headers, 1_000)
        .await;
    assert_eq!(got, "before HTTP/2.0 GET /metrics other:1 Basic dTpw m");
}

#[tokio::test]
async fn long_bodies_are_refused() {
    let server = server(&["h2"]).await;
    let client = server.client(None);
    let length = BY_HTTP2.len() - "before ".len() - "HOST".len() + server.address.len();
    let none = HeaderMap::new();
    assert_eq!(
        server.get(&client, "/metrics", &none, length).await,
        BY_HTTP2
    );
    let got = server.get(&client, "/metrics", &none, length - 1).await;
    assert_eq!(got, "body size limit exceeded");
}

#[tokio::test]
async fn who_does_not_answer_is_asked_on_another_connection_then() {
    let server = server(&["h2"]).await;
    let client = server.client(None);
    let none = HeaderMap::new();
    let got = server.get(&client, "/slow", &none, 1_000).await;
    assert_eq!(got, "Get \"https://HOST/slow\": context deadline exceeded");
    assert_eq!(
        server.get(&client, "/metrics", &none, 1_000).await,
        BY_HTTP2
    );
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_replaced() {
    let server = server(&["h2"]).await;
    let client = server.client(None);
    let none = HeaderMap::new();
    for n in 1..=3 {
        let got = server.get(&client, "/last", &none, 1_000).await;
        assert_eq!(got, BY_HTTP2.replace("/metrics", "/last"));
        assert_eq!(server.connections(), n);
    }
}

#[tokio::test]
async fn what_is_no_http2_is_told() {
    // A server whose TLS agrees on HTTP/2 and that then says something else.
    let (tls, pem) = crate::testing::tls("127.0.0.1", &["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap().to_string(),
        pem,
        connections: Arc::default(),
    };
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = tls.accept(stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
            stream.shutdown().await.ok();
        }
    });
    let got = server
        .get(&server.client(None), "/metrics", &HeaderMap::new(), 1_000)
        .await;
    let expected =
        "Get \"https://HOST/metrics\": connection error detected: frame with invalid size";
    assert_eq!(got, expected);
}
