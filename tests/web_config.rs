//! Listeners that obey a web configuration: TLS, users, headers, clients' certificates, and files that are replaced.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use support::monitor::{free_address, hearth_binary};
use support::process::Process;
use support::wait::{PATIENCE, eventually};

/// A certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn certify(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }

    /// How a client that believes this authority speaks TLS, with or without a certificate of its own.
    fn client(&self, own: Option<&Identity>) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
                builder
                    .with_client_auth_cert(vec![own.certificate.clone()], key)
                    .unwrap()
            }
        };
        Arc::new(config)
    }
}

/// Gets a path; the user is `name:password`. Returns the whole answer and the server's certificate.
fn get(
    address: &str,
    tls: Option<&Arc<rustls::ClientConfig>>,
    path: &str,
    user: &str,
) -> io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let authorization = match user {
        "" => String::new(),
        user => format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(user)),
    };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: t\r\n{authorization}Connection: close\r\n\r\n");
    let mut answer = Vec::new();
    let mut certificate = Vec::new();
    match tls {
        None => {
            stream.write_all(request.as_bytes())?;
            stream.read_to_end(&mut answer)?;
        }
        Some(config) => {
            let name = "127.0.0.1".try_into().unwrap();
            let connection = rustls::ClientConnection::new(Arc::clone(config), name)
                .map_err(io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(connection, stream);
            stream.write_all(request.as_bytes())?;
            match stream.read_to_end(&mut answer) {
                // The end of the connection without the end of TLS.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                outcome => drop(outcome?),
            }
            let shown = stream.conn.peer_certificates().unwrap_or_default();
            certificate.extend(shown.first().into_iter().flat_map(|der| der.as_ref()));
        }
    }
    Ok((String::from_utf8_lossy(&answer).into_owned(), certificate))
}

/// Starts one of the programs with the web configuration of `dir`.
fn start(program: &str, dir: &Path, address: &str) -> Process {
    let mut args = vec![
        program.to_owned(),
        format!("--web.listen-address={address}"),
        "--web.config.file=web.yml".to_owned(),
    ];
    match program {
        "server" => {
            args.push("--storage.tsdb.path=data".to_owned());
            args.push("--config.file=prometheus.yml".to_owned());
            fs::write(dir.join("prometheus.yml"), "").unwrap();
        }
        "alertmanager" => {
            args.extend(
                [
                    "--config.file=am.yml",
                    "--storage.path=am",
                    "--cluster.listen-address=",
                ]
                .map(str::to_owned),
            );
            fs::write(
                dir.join("am.yml"),
                "route: {receiver: a}\nreceivers: [{name: a}]\n",
            )
            .unwrap();
        }
        _ => {
            args = [
                vec!["exporter".to_owned(), "node".to_owned()],
                args[1..].to_vec(),
            ]
            .concat()
        }
    }
    Process::start(program, &hearth_binary(), &args, dir)
}

fn status(answer: io::Result<(String, Vec<u8>)>) -> Result<u16, String> {
    let (answer, _) = answer.map_err(|error| error.to_string())?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.ok_or(answer)
}

#[test]
fn tls_users_and_headers_of_all_three() {
    let authority = Authority::new();
    let client = authority.client(None);
    let hash = bcrypt::hash("open sesame", 4).unwrap();
    let web = format!(
        "tls_server_config: {{cert_file: web.crt, key_file: web.key}}\n\
         http_server_config: {{headers: {{X-Frame-Options: deny, Strict-Transport-Security: max-age=31536000}}}}\n\
         basic_auth_users: {{ali: '{hash}'}}\n"
    );
    for (program, path) in [
        ("server", "/api/v1/status/buildinfo"),
        ("alertmanager", "/api/v2/status"),
        ("exporter", "/metrics"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let first = authority.certify("127.0.0.1");
        fs::write(dir.join("web.crt"), &first.pem).unwrap();
        fs::write(dir.join("web.key"), first.key.serialize_pem()).unwrap();
        fs::write(dir.join("web.yml"), &web).unwrap();
        let address = free_address();
        let mut process = start(program, dir, &address);
        let (answer, shown) = eventually("an answer", PATIENCE, || {
            process.assert_running();
            let (answer, shown) = get(&address, Some(&client), path, "ali:open sesame")
                .map_err(|error| error.to_string())?;
            match answer.starts_with("HTTP/1.1 200 ") {
                true => Ok((answer, shown)),
                false => Err(answer),
            }
        });
        let head = answer
            .split("\r\n\r\n")
            .next()
            .unwrap()
            .to_ascii_lowercase();
        assert!(head.contains("\r\nx-frame-options: deny\r\n"), "{head}");
        assert!(
            head.contains("\r\nstrict-transport-security: max-age=31536000"),
            "{head}"
        );
        assert_eq!(shown, first.certificate.as_ref(), "{program}");

        for user in ["", "ali:open barley", "baba:open sesame"] {
            let (answer, _) = get(&address, Some(&client), path, user).unwrap();
            assert!(answer.starts_with("HTTP/1.1 401 "), "{program}: {answer}");
            let lower = answer.to_ascii_lowercase();
            assert!(
                lower.contains("\r\nwww-authenticate: basic\r\n"),
                "{answer}"
            );
            assert!(lower.contains("x-frame-options: deny"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nUnauthorized\n"), "{answer}");
        }
        if path == "/metrics" {
            let (answer, _) = get(&address, Some(&client), path, "ali:open sesame").unwrap();
            assert!(answer.contains("\nhearth_http_unauthorized_total 3\n"));
        }
        // Who speaks no TLS, or believes somebody else, gets nothing.
        let plain = status(get(&address, None, path, "ali:open sesame"));
        assert_ne!(plain, Ok(200), "{program}");
        let other = Authority::new().client(None);
        assert!(get(&address, Some(&other), path, "ali:open sesame").is_err());

        // Another certificate is shown from the next connection on; a broken one is not.
        let second = authority.certify("127.0.0.1");
        fs::write(dir.join("web.key"), second.key.serialize_pem()).unwrap();
        let (_, shown) = get(&address, Some(&client), path, "").unwrap();
        assert_eq!(
            shown,
            first.certificate.as_ref(),
            "half replaced: {program}"
        );
        fs::write(dir.join("web.crt"), &second.pem).unwrap();
        let (_, shown) = get(&address, Some(&client), path, "").unwrap();
        assert_eq!(shown, second.certificate.as_ref(), "{program}");

        // So are users.
        let hash = bcrypt::hash("other", 4).unwrap();
        let changed = format!(
            "tls_server_config: {{cert_file: web.crt, key_file: web.key}}\nbasic_auth_users: {{baba: '{hash}'}}\n"
        );
        fs::write(dir.join("web.yml"), changed).unwrap();
        let ask = |user| status(get(&address, Some(&client), path, user));
        assert_eq!(ask("ali:open sesame"), Ok(401), "{program}");
        assert_eq!(ask("baba:other"), Ok(200), "{program}");
        // What makes no sense changes nothing.
        fs::write(dir.join("web.yml"), "basic_auth_users: {baba: plain}\n").unwrap();
        assert_eq!(ask("baba:other"), Ok(200), "{program}");
        assert_eq!(ask(""), Ok(401), "{program}");
        assert!(
            process.log().contains("makes no sense"),
            "{}",
            process.log()
        );
    }
}

/// Asks over TLS with these protocols on offer; returns the protocol that was agreed on, and status and version of the answer.
async fn negotiate(
    address: &str,
    client: &rustls::ClientConfig,
    offered: &[&[u8]],
) -> (Option<Vec<u8>>, http::StatusCode, http::Version) {
    let mut config = client.clone();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = "127.0.0.1".try_into().unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let request = http::Request::get(format!("https://{address}/"))
        .header("host", address)
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let stream = hyper_util::rt::TokioIo::new(stream);
    let response = if agreed.as_deref() == Some(b"h2") {
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut client, connection) = hyper::client::conn::http2::handshake(executor, stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        client.send_request(request).await.unwrap()
    } else {
        let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        client.send_request(request).await.unwrap()
    };
    (agreed, response.status(), response.version())
}

#[test]
fn http_2_is_spoken_over_tls_unless_it_is_turned_off() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = authority.certify("127.0.0.1");
    fs::write(dir.join("web.crt"), &server.pem).unwrap();
    fs::write(dir.join("web.key"), server.key.serialize_pem()).unwrap();
    let web = "tls_server_config: {cert_file: web.crt, key_file: web.key}\n";
    fs::write(dir.join("web.yml"), web).unwrap();
    let address = free_address();
    let mut process = start("exporter", dir, &address);
    eventually("a listener", PATIENCE, || {
        process.assert_running();
        TcpStream::connect(&address).map_err(|error| error.to_string())
    });
    let client = authority.client(None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |offered: &[&[u8]]| runtime.block_on(negotiate(&address, &client, offered));
    let (ok, h1, h2) = (
        http::StatusCode::OK,
        http::Version::HTTP_11,
        http::Version::HTTP_2,
    );
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    assert_eq!(ask(both), (Some(b"h2".to_vec()), ok, h2));
    assert_eq!(ask(&[b"http/1.1"]), (Some(b"http/1.1".to_vec()), ok, h1));
    assert_eq!(ask(&[]), (None, ok, h1));
    fs::write(
        dir.join("web.yml"),
        format!("{web}http_server_config: {{http2: false}}\n"),
    )
    .unwrap();
    assert_eq!(ask(both), (Some(b"http/1.1".to_vec()), ok, h1));
}

#[test]
fn clients_show_who_they_are() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = authority.certify("127.0.0.1");
    fs::write(dir.join("web.crt"), &server.pem).unwrap();
    fs::write(dir.join("web.key"), server.key.serialize_pem()).unwrap();
    fs::write(dir.join("ca.crt"), &authority.pem).unwrap();
    let known = authority.certify("scraper.local");
    let stranger = Authority::new().certify("scraper.local");
    let misnamed = authority.certify("other.local");
    // What clients without a certificate, with ours, with a stranger's and with one of another name get.
    let cases = [
        ("NoClientCert", "", "", [true, true, true, true]),
        ("RequestClientCert", "", "", [true, true, true, true]),
        ("RequireAnyClientCert", "", "", [false, true, true, true]),
        (
            "VerifyClientCertIfGiven",
            "ca.crt",
            "",
            [true, true, false, true],
        ),
        (
            "RequireAndVerifyClientCert",
            "ca.crt",
            "",
            [false, true, false, true],
        ),
        (
            "RequireAndVerifyClientCert",
            "ca.crt",
            "scraper.local",
            [false, true, false, false],
        ),
    ];
    for (kind, ca, san, expected) in cases {
        let mut web = format!(
            "tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n  client_auth_type: {kind}\n  min_version: TLS13\n"
        );
        if !ca.is_empty() {
            web.push_str(&format!("  client_ca_file: {ca}\n"));
        }
        if !san.is_empty() {
            web.push_str(&format!("  client_allowed_sans: [{san}, 10.0.0.1]\n"));
        }
        fs::write(dir.join("web.yml"), &web).unwrap();
        let address = free_address();
        let mut process = start("exporter", dir, &address);
        eventually("a listener", PATIENCE, || {
            process.assert_running();
            TcpStream::connect(&address).map_err(|error| error.to_string())
        });
        let owns = [None, Some(&known), Some(&stranger), Some(&misnamed)];
        let entered = owns.map(|own| {
            let client = authority.client(own);
            status(get(&address, Some(&client), "/", "")) == Ok(200)
        });
        assert_eq!(entered, expected, "{web}");
    }
}

#[test]
fn what_makes_no_sense_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (web, reason) in [
        (
            "tls_server_config: {cert_file: a.crt}",
            "missing one of key",
        ),
        (
            "tls_server_config: {cert_file: a.crt, key_file: a.key}",
            "a.crt",
        ),
        ("basic_auth_users: {a: b}", "bcrypt"),
        ("nonsense: 1", "nonsense"),
    ] {
        fs::write(dir.join("web.yml"), web).unwrap();
        for program in ["server", "alertmanager", "exporter"] {
            let _ = fs::remove_file(dir.join(format!("{program}.log")));
            let mut process = start(program, dir, &free_address());
            let ended = process.wait(PATIENCE);
            assert!(!ended.status.success(), "{program}: {web}");
            assert!(ended.output.contains(reason), "{program}: {}", ended.output);
            assert!(
                ended.output.contains("web.yml"),
                "{program}: {}",
                ended.output
            );
        }
    }
}
