//! The client against a server that says what it is told to.

use super::*;
use crate::http_config::{
    Authorization, BasicAuth, HeaderValues, OAuth2, Secret, TlsConfig, UrlText,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers each connection with the next of `answers` and then keeps it open; returns the URL of the server and what it
/// was sent.
async fn serve(answers: Vec<String>) -> (Uri, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let (sent, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut kept_open = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            sent.send(String::from_utf8_lossy(&request[..length]).into_owned())
                .ok();
            stream.write_all(answer.as_bytes()).await.unwrap();
            kept_open.push(stream);
        }
        std::future::pending::<()>().await;
    });
    (url, requests)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn get(
    config: &HttpConfig,
    url: &Uri,
    timeout_ms: u64,
) -> (Result<StatusCode, String>, Vec<u8>) {
    let client = Client::new(config, Path::new(".")).unwrap();
    get_with(&client, url, timeout_ms).await
}

async fn get_with(
    client: &Client,
    url: &Uri,
    timeout_ms: u64,
) -> (Result<StatusCode, String>, Vec<u8>) {
    let headers = HeaderMap::new();
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let mut body = Vec::new();
    let request = Request {
        url,
        headers: &headers,
        deadline,
        body_bytes_max: 100,
    };
    let outcome = client.get(request, &mut body).await;
    if let Ok(response) = &outcome {
        body.drain(..response.body_at);
    }
    (
        outcome
            .map(|response| response.status)
            .map_err(|error| error.to_string()),
        body,
    )
}

#[tokio::test]
async fn reads_a_body() {
    let (url, _requests) = serve(vec![ok("up 1\n")]).await;
    let (status, body) = get(&HttpConfig::default(), &url, 5_000).await;
    assert_eq!((status, body), (Ok(StatusCode::OK), b"up 1\n".to_vec()));
}

#[tokio::test]
async fn a_long_body_is_refused() {
    let (url, _requests) = serve(vec![ok(&"x".repeat(101))]).await;
    let (outcome, _) = get(&HttpConfig::default(), &url, 5_000).await;
    assert_eq!(outcome, Err("body size limit exceeded".to_owned()));
}

#[tokio::test]
async fn a_slow_server_meets_the_deadline() {
    let (url, _requests) = serve(vec![
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nup".to_owned(),
    ])
    .await;
    let (outcome, _) = get(&HttpConfig::default(), &url, 50).await;
    assert_eq!(
        outcome,
        Err(format!("Get \"{url}\": context deadline exceeded"))
    );
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let (outcome, _) = get(&HttpConfig::default(), &url, 5_000).await;
    assert_eq!(outcome, Err(format!("Get \"{url}\": connection refused")));
}

#[tokio::test]
async fn credentials_and_headers_are_sent() {
    let basic = BasicAuth {
        username: Some("user".into()),
        password: Some(Secret::new("pass")),
        ..Default::default()
    };
    let header = HeaderValues {
        secrets: vec![Secret::new("hush")],
        ..Default::default()
    };
    let config = HttpConfig {
        basic_auth: Some(basic),
        http_headers: Some([("X-Tenant".to_owned(), header)].into()),
        ..Default::default()
    };
    let (url, mut requests) = serve(vec![ok("")]).await;
    get(&config, &url, 5_000).await.0.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(
        request.contains("authorization: Basic dXNlcjpwYXNz\r\n"),
        "{request}"
    );
    assert!(request.contains("x-tenant: hush\r\n"), "{request}");
}

#[tokio::test]
async fn redirects_do_not_take_credentials_to_another_host() {
    let (elsewhere, mut at_elsewhere) = serve(vec![ok("here")]).await;
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let (url, mut at_first) = serve(vec![moved]).await;
    let credentials = Some(Secret::new("token"));
    let config = HttpConfig {
        authorization: Some(Authorization {
            credentials,
            ..Default::default()
        }),
        ..Default::default()
    };
    let (status, body) = get(&config, &url, 5_000).await;
    assert_eq!((status, body), (Ok(StatusCode::OK), b"here".to_vec()));
    assert!(at_first.recv().await.unwrap().contains("Bearer token"));
    assert!(!at_elsewhere.recv().await.unwrap().contains("Bearer token"));
}

#[tokio::test]
async fn a_token_is_had_for_a_signature() {
    let token = r#"{"access_token": "abc", "expires_in": 3600}"#;
    let (token_url, mut at_tokens) = serve(vec![ok(token)]).await;
    let (url, mut requests) = serve(vec![ok("here"), ok("here")]).await;
    let oauth2 = OAuth2 {
        client_id: "me".into(),
        token_url: UrlText::new(token_url.to_string()),
        grant_type: Some("urn:ietf:params:oauth:grant-type:jwt-bearer".into()),
        client_certificate_key: Some(Secret::new(crate::rsa::tests::PKCS8)),
        client_certificate_key_id: Some("k1".into()),
        signature_algorithm: Some("RS384".into()),
        iss: Some("issuer".into()),
        scopes: vec!["a".into(), "b".into()],
        claims: [("tenant".to_owned(), serde_json::json!(["x", 1]))].into(),
        endpoint_params: [("more".to_owned(), "x y".to_owned())].into(),
        ..Default::default()
    };
    let config = HttpConfig {
        oauth2: Some(oauth2),
        ..Default::default()
    };
    let client = Client::new(&config, Path::new("")).unwrap();
    for _ in 0..2 {
        let request = Request {
            url: &url,
            headers: &HeaderMap::new(),
            deadline: Instant::now() + Duration::from_secs(5),
            body_bytes_max: 100,
        };
        client.get(request, &mut Vec::new()).await.unwrap();
        let request = requests.recv().await.unwrap();
        assert!(
            request.contains("authorization: Bearer abc\r\n"),
            "{request}"
        );
    }
    let asked = at_tokens.recv().await.unwrap();
    assert!(
        !asked.to_ascii_lowercase().contains("authorization:"),
        "{asked}"
    );
    let (_, form) = asked.split_once("\r\n\r\n").unwrap();
    let field = |name: &str| {
        let mut fields = form.split('&').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    assert_eq!(
        (field("grant_type"), field("more")),
        (Some(grant), Some("x+y"))
    );
    assert_eq!((field("scope"), field("client_id")), (None, None));
    let parts: Vec<serde_json::Value> = { field("assertion").unwrap().split('.').take(2) }
        .map(|part| {
            use base64::Engine as _;
            let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
            serde_json::from_slice(&json.unwrap()).unwrap()
        })
        .collect();
    assert_eq!(
        parts[0],
        serde_json::json!({"alg": "RS384", "typ": "JWT", "kid": "k1"})
    );
    let mut claims = parts[1].clone();
    let claims = claims.as_object_mut().unwrap();
    let number = |value: Option<serde_json::Value>| value.unwrap().as_u64().unwrap();
    let (iat, exp) = (number(claims.remove("iat")), number(claims.remove("exp")));
    assert_eq!(exp - iat, 3_600);
    assert!(claims.remove("jti").unwrap().as_str().unwrap().len() == 36);
    let expected = serde_json::json!({
        "iss": "issuer", "sub": "me", "aud": token_url.to_string(), "scope": "a b", "tenant": ["x", 1],
    });
    assert_eq!(parts[1].as_object().map(|all| all.len()), Some(8));
    assert_eq!(serde_json::Value::Object(claims.clone()), expected);
}

#[tokio::test]
async fn a_key_that_is_none_is_told() {
    let oauth2 = OAuth2 {
        client_id: "me".into(),
        token_url: UrlText::new("http://127.0.0.1:1/"),
        grant_type: Some("urn:ietf:params:oauth:grant-type:jwt-bearer".into()),
        client_certificate_key: Some(Secret::new("hush")),
        ..Default::default()
    };
    let config = HttpConfig {
        oauth2: Some(oauth2),
        ..Default::default()
    };
    let (outcome, _) = get(&config, &"http://127.0.0.1:1/".parse().unwrap(), 5_000).await;
    let error = outcome.unwrap_err();
    let why = "oauth2: cannot sign for a token: the private key is no PEM block";
    assert!(error.starts_with(why) && !error.contains("hush"), "{error}");
}

#[tokio::test]
async fn a_proxy_is_sent_the_whole_url() {
    let (proxy, mut requests) = serve(vec![ok("up 1\n")]).await;
    let authority = proxy.authority().unwrap();
    let config = HttpConfig {
        proxy_url: Some(UrlText::new(format!("http://user:pass@{authority}"))),
        ..Default::default()
    };
    let url: Uri = "http://nowhere.invalid:9100/metrics?a=b".parse().unwrap();
    let (status, body) = get(&config, &url, 5_000).await;
    assert_eq!((status, body), (Ok(StatusCode::OK), b"up 1\n".to_vec()));
    let request = requests.recv().await.unwrap();
    assert!(
        request.starts_with(
            "GET http://nowhere.invalid:9100/metrics?a=b HTTP/1.1\r\nhost: nowhere.invalid:9100\r\n"
        ),
        "{request}"
    );
    assert!(
        request.contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n"),
        "{request}"
    );
}

/// A proxy that speaks TLS: it answers what it is sent whole, and makes tunnels to `host`.
async fn tls_proxy(
    host: std::net::SocketAddr,
) -> (String, Uri, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (tls, pem) = crate::testing::tls("127.0.0.1", &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://user:pass@{}", listener.local_addr().unwrap());
    let (sent, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, sent) = (tls.clone(), sent.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else {
                    return;
                };
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                sent.send(request.clone()).ok();
                if !request.starts_with("CONNECT ") {
                    stream.write_all(ok("whole").as_bytes()).await.unwrap();
                    stream.shutdown().await.ok();
                    return;
                }
                let mut onward = tokio::net::TcpStream::connect(host).await.unwrap();
                let answer = b"HTTP/1.1 200 OK\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                tokio::io::copy_bidirectional(&mut stream, &mut onward)
                    .await
                    .ok();
            });
        }
    });
    (pem, url.parse().unwrap(), requests)
}

#[tokio::test]
async fn a_proxy_may_speak_tls() {
    // What is at the other end of the tunnel is such a proxy too, and answers what it is asked.
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let (host_pem, host, mut at_host) = tls_proxy(nowhere).await;
    let address = host
        .authority()
        .unwrap()
        .as_str()
        .rsplit('@')
        .next()
        .unwrap()
        .to_owned();
    let (pem, proxy, mut at_proxy) = tls_proxy(address.parse().unwrap()).await;
    let config = |ca: &str| HttpConfig {
        proxy_url: Some(UrlText::new(proxy.to_string())),
        tls_config: Some(TlsConfig {
            ca: Some(ca.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let both = config(&format!("{pem}{host_pem}"));
    let url: Uri = "http://nowhere.invalid:9100/metrics".parse().unwrap();
    let (status, body) = get(&both, &url, 5_000).await;
    assert_eq!((status, body), (Ok(StatusCode::OK), b"whole".to_vec()));
    let request = at_proxy.recv().await.unwrap();
    assert!(
        request.starts_with("GET http://nowhere.invalid:9100/metrics HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n"),
        "{request}"
    );
    let url: Uri = format!("https://{address}/metrics").parse().unwrap();
    let (status, body) = get(&both, &url, 5_000).await;
    assert_eq!((status, body), (Ok(StatusCode::OK), b"whole".to_vec()));
    let request = at_proxy.recv().await.unwrap();
    assert!(
        request.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")),
        "{request}"
    );
    assert!(
        at_host
            .recv()
            .await
            .unwrap()
            .starts_with("GET /metrics HTTP/1.1\r\n")
    );
    // A proxy that is not believed is told nothing.
    let (outcome, _) = get(
        &config(&host_pem),
        &"http://nowhere.invalid/".parse().unwrap(),
        5_000,
    )
    .await;
    assert!(outcome.is_err());
    assert!(at_proxy.try_recv().is_err());
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_owned();
    let (proxy, mut requests) = serve(vec![refusal]).await;
    let headers = [("X-Team".to_owned(), vec![Secret::new("hush")])];
    let config = HttpConfig {
        proxy_url: Some(UrlText::new(format!(
            "http://{}",
            proxy.authority().unwrap()
        ))),
        proxy_connect_header: Some(headers.into()),
        ..Default::default()
    };
    let url: Uri = "https://nowhere.invalid:9100/metrics".parse().unwrap();
    let (outcome, _) = get(&config, &url, 5_000).await;
    let error = outcome.unwrap_err();
    assert!(error.contains("proxy authorization required"), "{error}");
    let request = requests.recv().await.unwrap();
    assert!(
        request.starts_with("CONNECT nowhere.invalid:9100 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("x-team: hush\r\n"), "{request}");
}

fn by_token(token_url: &Uri) -> HttpConfig {
    let oauth2 = OAuth2 {
        client_id: "me&you".into(),
        client_secret: Some(Secret::new("hush")),
        scopes: vec!["a".into(), "b".into()],
        endpoint_params: [("audience".to_owned(), "x y".to_owned())].into(),
        token_url: UrlText::new(token_url.to_string()),
        ..Default::default()
    };
    HttpConfig {
        oauth2: Some(oauth2),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_and_sent() {
    let token = r#"{"access_token": "abc", "token_type": "bearer", "expires_in": 3600}"#;
    let (token_url, mut at_tokens) = serve(vec![ok(token)]).await;
    let (url, mut at_target) = serve(vec![ok("1"), ok("2")]).await;
    let client = Client::new(&by_token(&token_url), Path::new(".")).unwrap();
    for _ in 0..2 {
        get_with(&client, &url, 5_000).await.0.unwrap();
        let request = at_target.recv().await.unwrap();
        assert!(
            request.contains("authorization: Bearer abc\r\n"),
            "{request}"
        );
    }
    let asked = at_tokens.recv().await.unwrap();
    assert!(asked.starts_with("POST /metrics HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b&audience=x+y"),
        "{asked}"
    );
    // Both halves are escaped before they are joined.
    let pair = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "me%26you:hush");
    assert!(
        asked.contains(&format!("authorization: Basic {pair}\r\n")),
        "{asked}"
    );
}

#[tokio::test]
async fn credentials_go_in_the_body_where_the_header_is_refused() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let token = r#"{"access_token": "abc"}"#;
    let (token_url, mut at_tokens) = serve(vec![refusal.to_owned(), ok(token)]).await;
    let (url, _at_target) = serve(vec![ok("1")]).await;
    get(&by_token(&token_url), &url, 5_000).await.0.unwrap();
    at_tokens.recv().await.unwrap();
    let asked = at_tokens.recv().await.unwrap();
    assert!(
        asked.ends_with("&client_id=me%26you&client_secret=hush"),
        "{asked}"
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let (token_url, _at_tokens) = serve(vec![ok("{}")]).await;
    let (outcome, _) = get(
        &by_token(&token_url),
        &"http://127.0.0.1:1/".parse().unwrap(),
        5_000,
    )
    .await;
    let error = outcome.unwrap_err();
    assert!(error.contains("oauth2: cannot fetch token"), "{error}");
}

const KEPT_ALIVE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nup 1\n";

/// Serves any number of requests on each of any number of connections; says for each request on which connection it came.
/// A connection is closed after `requests` of them, without a word.
async fn serve_kept_alive(requests: usize) -> (Uri, tokio::sync::mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let (seen, on) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                for _ in 0..requests {
                    let mut request = [0; 1_024];
                    if stream.read(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                    seen.send(number).unwrap();
                    stream.write_all(KEPT_ALIVE.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url.parse().unwrap(), on)
}

#[tokio::test]
async fn connections_are_used_again_until_somebody_closes_them() {
    for (requests, expected) in [
        (usize::MAX, [0, 0, 0, 0]),
        (2, [0, 0, 1, 1]),
        (1, [0, 1, 2, 3]),
    ] {
        let (url, mut on) = serve_kept_alive(requests).await;
        let client = Client::new(&HttpConfig::default(), Path::new("")).unwrap();
        for connection in expected {
            let (status, body) = get_with(&client, &url, 5_000).await;
            assert_eq!((status, body), (Ok(StatusCode::OK), b"up 1\n".to_vec()));
            assert_eq!(
                on.recv().await,
                Some(connection),
                "{requests} requests each"
            );
        }
    }
}

/// Answers the requests of one connection, one after the other, with bodies in parts: some of so many bytes, and a pause after
/// each.
async fn answer_in_parts(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    bodies: Vec<Vec<usize>>,
) {
    for parts in bodies {
        let mut request = vec![0; 4096];
        assert_ne!(stream.read(&mut request).await.unwrap(), 0);
        let length: usize = parts.iter().sum();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for part in parts {
            stream.write_all(&vec![b'x'; part]).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
}

/// What is waited for on a connection goes by the response before: none of them may have to be like it.
#[tokio::test]
async fn responses_may_be_of_any_length_after_another() {
    let bodies: Vec<Vec<usize>> = vec![
        vec![200_000],
        vec![200_000],
        vec![195_000, 5_000],
        vec![10],
        vec![200_000],
        vec![50_000, 50_000, 50_000],
        vec![0],
        vec![900_000],
        vec![100_000, 800_000],
    ];
    for is_https in [false, true] {
        let (tls, pem) = crate::testing::tls("127.0.0.1", &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if is_https { "https" } else { "http" };
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let url: Uri = url.parse().unwrap();
        let answers = bodies.clone();
        let serving = tokio::spawn(async move {
            // There is one connection for all.
            let (stream, _) = listener.accept().await.unwrap();
            drop(listener);
            match is_https {
                true => answer_in_parts(tls.accept(stream).await.unwrap(), answers).await,
                false => answer_in_parts(stream, answers).await,
            }
        });
        let config = HttpConfig {
            tls_config: Some(TlsConfig {
                ca: Some(pem),
                ..Default::default()
            }),
            ..Default::default()
        };
        let client = Client::new(&config, Path::new(".")).unwrap();
        for parts in &bodies {
            let mut body = Vec::new();
            let request = Request {
                url: &url,
                headers: &HeaderMap::new(),
                deadline: Instant::now() + Duration::from_secs(5),
                body_bytes_max: 1_000_000,
            };
            let got = client.get(request, &mut body).await;
            let got = got.map(|response| (response.status.as_u16(), body.len() - response.body_at));
            let expected = (200, parts.iter().sum());
            assert_eq!(
                got.map_err(|error| error.to_string()),
                Ok(expected),
                "{parts:?}"
            );
        }
        serving.await.unwrap();
    }
}
