//! Targets of every kind of bad manners beside a good one: each fails alone and says why, and costs no more memory than it may.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use support::http::{Response, Server};
use support::monitor::{Monitor, free_address};
use support::wait::{PATIENCE, eventually, now_ms};

/// A body that is a healthy one in front, and no UTF-8 behind.
const NOT_UTF8: &[u8] = b"answer 42\nother{name=\"\xff\xfe\"} 1\n";

/// What a name of its own for a job may be told to be in trouble for: in lower case, one of these is enough.
const TROUBLES: &[(&str, &[&str])] = &[
    ("slow", &["deadline"]),
    ("loris", &["deadline"]),
    ("endless", &["deadline"]),
    ("toobig", &["size limit"]),
    ("notutf8", &["utf-8"]),
    ("garbage", &["expected a"]),
    ("torn", &["line 2"]),
    ("html", &["content-type"]),
    ("typeless", &["content-type"]),
    ("missing", &["404"]),
    ("circle", &["redirect"]),
    ("elsewhere", &["refused"]),
    ("down", &["refused"]),
    ("nameless", &["nowhere.invalid"]),
    ("expired", &["expired"]),
    ("stranger", &["unknownissuer"]),
    ("plain", &["tls"]),
    ("scheme", &["unsupported protocol scheme"]),
    ("longlabel", &["label_value_length_limit"]),
    ("novalue", &["line 1"]),
];

/// Targets that are odd and yet may be scraped.
const FINE: [&str; 5] = ["healthy", "twice", "hugelabel", "nan", "empty"];

#[test]
fn targets_in_trouble_say_why_and_trouble_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = free_address();
    let elsewhere = format!("http://{nobody}/");
    let targets = Server::start(move |request| match request.path.as_str() {
        "/healthy" => Response::text("answer 42\n"),
        "/slow" => Response::Silence(Duration::from_secs(5)),
        "/loris" => Response::Drip,
        "/endless" | "/toobig" => Response::Endless(&[b'\n'; 4096]),
        "/notutf8" => Response::text(NOT_UTF8),
        "/garbage" => Response::text("<html>It works!</html>\n"),
        "/torn" => Response::text("answer 42\nother{name=\"x"),
        "/html" => Response::Body(200, "text/html", (*b"answer 42\n").into()),
        "/typeless" => Response::Body(200, "", (*b"answer 42\n").into()),
        "/circle" => Response::Redirect("/circle".to_owned()),
        "/elsewhere" => Response::Redirect(elsewhere.clone()),
        "/twice" => Response::text("answer 42\nanswer 43\n"),
        "/hugelabel" | "/longlabel" => {
            Response::text(format!("long{{value=\"{}\"}} 1\n", "x".repeat(1 << 20)))
        }
        "/nan" => Response::text("NaN 1\nnan{Inf=\"NaN\"} NaN\n"),
        "/novalue" => Response::text("answer forty-two\n"),
        "/empty" => Response::text(""),
        _ => Response::Body(404, "text/plain", (*b"no such page\n").into()),
    });
    let address = targets.address().to_string();
    let (expired, stranger) = (tls_server(2020), tls_server(2100));
    let mut config =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    let names = TROUBLES.iter().map(|(name, _)| *name).chain(FINE);
    for name in names {
        let (target, more) = match name {
            "toobig" => (address.clone(), "body_size_limit: 64KB"),
            "longlabel" => (address.clone(), "label_value_length_limit: 1000"),
            "down" => (nobody.clone(), "scheme: http"),
            "nameless" => ("nowhere.invalid:80".to_owned(), "scheme: http"),
            "expired" => {
                fs::write(dir.path().join("ca.crt"), &expired.1).unwrap();
                let more = "scheme: https\n  tls_config: {ca_file: ca.crt}";
                (expired.0.to_string(), more)
            }
            "stranger" => (stranger.0.to_string(), "scheme: https"),
            "plain" => (address.clone(), "scheme: https"),
            "scheme" => (
                address.clone(),
                "relabel_configs: [{target_label: __scheme__, replacement: ftp}]",
            ),
            _ => (address.clone(), "scheme: http"),
        };
        config += &format!(
            "- job_name: {name}\n  metrics_path: /{name}\n  static_configs: [{{targets: ['{target}']}}]\n  {more}\n"
        );
    }
    fs::write(dir.path().join("hearth.yml"), config).unwrap();
    let hearth = Monitor::hearth(dir.path(), &["--config.file=hearth.yml"]);
    for (name, reasons) in TROUBLES {
        eventually(&format!("{name} is down and says why"), PATIENCE, || {
            let (health, error) = hearth.target_state(name)?;
            // The URL says the job's name, which is no reason.
            let lower = error.to_lowercase().replace(&format!("/{name}"), "");
            let told = health == "down" && reasons.iter().any(|reason| lower.contains(reason));
            told.then_some(())
                .ok_or_else(|| format!("{health}, {error:?}"))
        });
        hearth.wait_for_value(&format!("up{{job=\"{name}\"}}"), 0.0);
    }
    for name in FINE {
        hearth.wait_for_value(&format!("up{{job=\"{name}\"}}"), 1.0);
        let state = hearth.target_state(name);
        assert_eq!(state, Ok(("up".to_owned(), String::new())), "{name}");
    }
    // What came before the bad line of a refused body is not stored either.
    let stored = hearth.ask("count by (job) (answer)", now_ms());
    let jobs: Vec<&String> = stored.series.keys().collect();
    assert_eq!(jobs, [r#"{job="healthy"}"#, r#"{job="twice"}"#]);
    // Of a series that is there twice the first sample counts, and the other is counted.
    hearth.wait_for_value(r#"answer{job="twice"}"#, 42.0);
    let counted = hearth.page("/metrics").unwrap();
    let counted = counted
        .lines()
        .find_map(|line| {
            line.strip_prefix("prometheus_target_scrapes_sample_duplicate_timestamp_total ")
        })
        .unwrap();
    assert!(counted.parse::<f64>().unwrap() >= 1.0, "{counted}");
    hearth.wait_for_value(r#"count({job="nan",__name__=~"NaN|nan"})"#, 2.0);

    eventually(
        "the healthy target misses no scrape of ten seconds",
        PATIENCE,
        || {
            let query = r#"sum_over_time(up{job="healthy"}[10s])"#;
            let good = hearth.query(query, now_ms())?.only_value()?;
            (good >= 9.0)
                .then_some(())
                .ok_or_else(|| format!("{good} good scrapes"))
        },
    );
    // A label of a megabyte and bodies without an end went by all the time.
    let resident = hearth.page("/metrics").unwrap();
    let resident = resident
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
        .unwrap();
    let resident: f64 = resident.parse().unwrap();
    assert!(resident < 256e6, "{resident} bytes are resident");
}

/// Starts a server whose certificate, for 127.0.0.1 and signed by itself, ends with `year`. Returns where it is, and the certificate.
fn tls_server(year: i32) -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2010, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 12, 31);
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // An error is the client's refusal.
            let _ = connection.complete_io(&mut stream);
        }
    });
    (address, certificate.pem())
}
