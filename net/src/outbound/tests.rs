use std::convert::Infallible;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::*;

/// Returns the URL of a server that answers with the version of HTTP that it was asked in; over TLS it offers `protocols`.
async fn server(protocols: &[&str]) -> String {
    let (acceptor, _) = crate::testing::tls("127.0.0.1", protocols);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let answer = |request: http::Request<hyper::body::Incoming>| async move {
                    let authorization = request.headers().get("authorization");
                    let version = format!("{:?} {authorization:?}", request.version());
                    Ok::<_, Infallible>(http::Response::new(version))
                };
                let service = hyper::service::service_fn(answer);
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn the_version_of_http_is_agreed_on() {
    const BOTH: &[&str] = &["h2", "http/1.1"];
    for (offered, enable_http2, expected) in [
        (BOTH, None, "HTTP/2.0"),
        (BOTH, Some(true), "HTTP/2.0"),
        (BOTH, Some(false), "HTTP/1.1"),
        (&["http/1.1"], None, "HTTP/1.1"),
        (&[], None, "HTTP/1.1"),
    ] {
        let url = server(offered).await;
        let config = HttpConfig {
            enable_http2,
            bearer_token: Some(Secret::new("t")),
            tls_config: Some(crate::http_config::TlsConfig {
                insecure_skip_verify: Some(true),
                ..Default::default()
            }),
            ..HttpConfig::default()
        };
        let client = HttpClient::new(config, Path::new(""), None).unwrap();
        let request = client.post(&url).await.unwrap().body("hello");
        let answer = request.send().await.unwrap().text().await.unwrap();
        assert_eq!(
            answer,
            format!("{expected} Some(\"Bearer t\")"),
            "{offered:?} {enable_http2:?}"
        );
    }
}
