use super::*;
use crate::receiver::testing::HttpSink;
use std::path::Path;
use std::time::Duration;

use ::metrics::Registry;
use model::Labels;
use model::trace::{AttributeValue, KeptSpans, SpanKind};
use net::aws::{Access, Credentials, Identity, Signing, authorization};
use net::environment::Environment;
use net::http_config::{HttpConfig, Secret};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

const OPTIONS: SenderOptions = SenderOptions {
    queue_capacity: 1_000,
    batch_max: 256,
    drains_at_end: true,
};

fn alert(name: &str) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Labels::from_pairs([("summary", "s")]),
        starts_at_ms: 1_772_359_200_123,
        ends_at_ms: Some(1_772_359_500_000),
        generator_url: "http://p/graph".to_owned(),
    }
}

fn alerts(count: usize) -> Vec<Alert> {
    (0..count).map(|i| alert(&format!("A{i}"))).collect()
}

fn link(http: &str, relabel: Option<Relabel>) -> Link {
    let http: HttpConfig = serde_saphyr::from_str(http).unwrap();
    Link::new(http, Path::new(""), model::Duration::from_secs(60), relabel).unwrap()
}

fn url(address: &str) -> String {
    format!("http://{address}/am/api/v2/alerts")
}

/// A sender with one set of these Alertmanagers, and its metrics.
fn sender(options: SenderOptions, urls: &[String]) -> (Sender, Arc<Set>, Registry) {
    let registry = Registry::new();
    let sender = Sender::new(options, &registry);
    let set = sender.set(link("{}", None));
    set.set_urls(urls);
    sender.replace(vec![Arc::clone(&set)]);
    (sender, set, registry)
}

/// Returns the names of the alerts of the next request.
async fn names(sink: &mut HttpSink) -> Vec<String> {
    let posted: serde_json::Value = serde_json::from_str(&sink.next().await.body).unwrap();
    let names = posted.as_array().unwrap().iter();
    let names = names.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned());
    names.collect()
}

/// Returns what `/metrics` would say of `prometheus_notifications_<name>`.
fn metric(registry: &Registry, name: &str, url: &str) -> Option<String> {
    let mut text = Vec::new();
    ::metrics::encode::text(&registry.gather(), &mut text);
    let text = String::from_utf8(text).unwrap();
    let start = format!("prometheus_notifications_{name}{{alertmanager=\"{url}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.map(str::to_owned)
}

/// Waits until a metric has a value.
async fn until(registry: &Registry, name: &str, url: &str, expected: Option<&str>) {
    let waits = async {
        while metric(registry, name, url).as_deref() != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .is_err()
    {
        let found = metric(registry, name, url);
        panic!("{name} is {found:?} after 20 s, not {expected:?}");
    }
}

/// Takes connections and never answers.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url(&listener.local_addr().unwrap().to_string());
    (listener, url)
}

#[tokio::test]
async fn alerts_are_posted_in_batches() {
    let mut sink = HttpSink::start(200).await;
    let url = url(&sink.address);
    let (sender, set, registry) = sender(OPTIONS, std::slice::from_ref(&url));
    set.set_link(link("{basic_auth: {username: u, password: p}}", None));
    sender.notify(&alerts(300));
    let first = sink.next().await;
    let head = first.head.to_lowercase();
    assert!(
        head.starts_with("post /am/api/v2/alerts http/1.1"),
        "{head}"
    );
    assert!(head.contains("authorization: basic dtpw"), "{head}");
    let posted: serde_json::Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(posted.as_array().unwrap().len(), 256);
    assert_eq!(
        posted[0],
        serde_json::json!({
            "labels": {"alertname": "A0"}, "annotations": {"summary": "s"}, "startsAt": "2026-03-01T10:00:00.123Z",
            "endsAt": "2026-03-01T10:05:00Z", "generatorURL": "http://p/graph"
        })
    );
    assert_eq!(names(&mut sink).await.len(), 44);
    until(&registry, "sent_total", &url, Some("300")).await;
    until(&registry, "latency_seconds_count", &url, Some("2")).await;
    assert_eq!(metric(&registry, "queue_length", &url).unwrap(), "0");
    assert_eq!(metric(&registry, "queue_capacity", &url).unwrap(), "1000");
    sender.shutdown().await;
}

#[tokio::test]
async fn a_silent_alertmanager_delays_no_other() {
    let mut sink = HttpSink::start(200).await;
    let (_listener, silent) = silent().await;
    let urls = [silent.clone(), url(&sink.address)];
    let options = SenderOptions {
        queue_capacity: 10,
        batch_max: 5,
        drains_at_end: false,
    };
    let (sender, _, registry) = sender(options, &urls);
    sender.notify(&alerts(5));
    assert_eq!(names(&mut sink).await.len(), 5);
    until(&registry, "queue_length", &silent, Some("0")).await;
    // Five are on their way, ten wait, and there is no room for the oldest of more.
    for _ in 0..3 {
        sender.notify(&alerts(5));
        assert_eq!(names(&mut sink).await.len(), 5);
    }
    until(&registry, "dropped_total", &silent, Some("5")).await;
    assert_eq!(metric(&registry, "queue_length", &silent).unwrap(), "10");
    assert_eq!(metric(&registry, "dropped_total", &urls[1]).unwrap(), "0");
    // Nothing is waited for at the end.
    let shutdown = tokio::time::timeout(Duration::from_secs(5), sender.shutdown());
    shutdown.await.unwrap();
}

#[tokio::test]
async fn what_is_refused_is_counted() {
    let mut sink = HttpSink::start(500).await;
    let url = url(&sink.address);
    let (sender, _, registry) = sender(OPTIONS, std::slice::from_ref(&url));
    sender.notify(&alerts(3));
    assert_eq!(names(&mut sink).await.len(), 3);
    for name in ["errors_total", "dropped_total"] {
        until(&registry, name, &url, Some("3")).await;
    }
    assert_eq!(metric(&registry, "sent_total", &url).unwrap(), "0");
    sender.shutdown().await;
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end_if_so_wanted() {
    for (drains_at_end, requests) in [(true, 4), (false, 0)] {
        let mut sink = HttpSink::start(200).await;
        let options = SenderOptions {
            batch_max: 3,
            drains_at_end,
            ..OPTIONS
        };
        let (sender, _, _) = sender(options, &[url(&sink.address)]);
        // The task has had no turn yet: this test has one thread.
        sender.notify(&alerts(10));
        sender.shutdown().await;
        for left in (0..requests).rev() {
            assert_eq!(names(&mut sink).await.len(), if left == 0 { 1 } else { 3 });
        }
        let more = tokio::time::timeout(Duration::from_millis(50), names(&mut sink));
        assert!(more.await.is_err(), "{drains_at_end}");
    }
}

#[tokio::test]
async fn alertmanagers_come_and_go() {
    let (listener, stays) = silent().await;
    let mut goes = HttpSink::start(200).await;
    let mut comes = HttpSink::start(200).await;
    let (gone, come) = (url(&goes.address), url(&comes.address));
    let options = SenderOptions {
        batch_max: 2,
        ..OPTIONS
    };
    let (sender, set, registry) = sender(options, &[stays.clone(), gone.clone()]);
    sender.notify(&alerts(4));
    until(&registry, "queue_length", &stays, Some("2")).await;
    // The one that stays keeps what waits for it, over a change of the link too; a URL counts once.
    set.set_urls(&[come.clone(), stays.clone(), come.clone()]);
    set.set_link(link("{http_headers: {X-New: {values: [link]}}}", None));
    assert_eq!(metric(&registry, "queue_length", &stays).unwrap(), "2");
    // The one that goes is told what was waiting, and then forgotten.
    assert_eq!(names(&mut goes).await, ["A0", "A1"]);
    assert_eq!(names(&mut goes).await, ["A2", "A3"]);
    until(&registry, "sent_total", &gone, None).await;
    sender.notify(&[alert("B")]);
    assert_eq!(names(&mut comes).await, ["B"]);
    // The first request was made over the old link; when it breaks, the next ones go over the new one.
    drop(listener.accept().await.unwrap());
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 512];
    let count = stream.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
    assert!(head.contains("x-new: link"), "{head}");
    until(&registry, "dropped_total", &stays, Some("2")).await;
    // A set that is gone takes its Alertmanagers along.
    sender.replace(Vec::new());
    until(&registry, "sent_total", &come, None).await;
}

#[tokio::test]
async fn what_is_posted_may_be_signed() {
    let mut sink = HttpSink::start(200).await;
    let url = url(&sink.address);
    let (sender, set, _registry) = sender(OPTIONS, std::slice::from_ref(&url));
    let access = Access {
        region: "eu-west-1".to_owned(),
        access_key: "AK".to_owned(),
        secret_key: Secret::new("SK"),
        ..Access::default()
    };
    set.set_link(link("{}", None).signed(Signer {
        identity: Identity::new(access, Environment::of(&[])),
        service: "aps".to_owned(),
    }));
    sender.notify(&alerts(1));
    let request = sink.next().await;
    let head = request.head.to_lowercase();
    let value = |name: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().to_owned()
    };
    let date = value("x-amz-date:").to_uppercase();
    let headers = [
        ("content-type", "application/json"),
        ("host", &sink.address),
        ("x-amz-date", &date),
    ];
    let credentials = Credentials::of_keys("AK", "SK", None);
    let signing = Signing {
        credentials: &credentials,
        region: "eu-west-1",
        service: "aps",
    };
    let path = "/am/api/v2/alerts";
    let expected = authorization(signing, path, &headers, request.body.as_bytes());
    assert_eq!(value("authorization:"), expected.to_lowercase());
}

#[tokio::test]
async fn what_comes_after_the_end_is_counted() {
    let mut sink = HttpSink::start(200).await;
    let url = url(&sink.address);
    let (sender, set, registry) = sender(OPTIONS, std::slice::from_ref(&url));
    // A rule that is at it while the Alertmanager goes.
    let held = set.targets();
    sender.notify(&alerts(1));
    set.set_urls(&[]);
    assert_eq!(names(&mut sink).await, ["A0"]);
    sender.shutdown().await;
    held[0].push(&[Arc::new(alert("B"))]);
    assert_eq!(metric(&registry, "dropped_total", &url).unwrap(), "1");
    assert_eq!(metric(&registry, "queue_length", &url).unwrap(), "0");
}

/// Returns rules that drop alerts of one name and give the others a label.
fn relabel(dropped: &'static str, label: &'static str) -> Relabel {
    Arc::new(move |labels: &mut LabelsBuilder| {
        labels.set(label, "x");
        labels.get("alertname") != Some(dropped)
    })
}

#[tokio::test]
async fn alerts_are_relabelled_for_all_and_for_a_set() {
    let (mut first, mut second) = (HttpSink::start(200).await, HttpSink::start(200).await);
    let (sender, plain, _) = sender(OPTIONS, &[url(&first.address)]);
    let sender = Arc::new(sender);
    let own = sender.set(link("{}", Some(relabel("A1", "own"))));
    own.set_urls(&[url(&second.address)]);
    sender.replace(vec![plain, own]);
    let all = FanOut::new(vec![Arc::clone(&sender) as _]);
    all.set_relabel(Some(relabel("A0", "all")));
    all.notify(&alerts(1));
    all.notify(&alerts(3));
    let first: serde_json::Value = serde_json::from_str(&first.next().await.body).unwrap();
    assert_eq!(
        (&first[0]["labels"], &first[1]["labels"]),
        (
            &serde_json::json!({"alertname": "A1", "all": "x"}),
            &serde_json::json!({"alertname": "A2", "all": "x"})
        )
    );
    let second: serde_json::Value = serde_json::from_str(&second.next().await.body).unwrap();
    let labels = serde_json::json!({"alertname": "A2", "all": "x", "own": "x"});
    assert_eq!(second[0]["labels"], labels);
    assert_eq!(second.as_array().unwrap().len(), 1);
    all.set_relabel(None);
    sender.shutdown().await;
}

#[tokio::test]
async fn what_is_posted_has_a_span_that_the_alertmanager_hears_of() {
    let mut sink = HttpSink::start(500).await;
    let (tracer, kept) = KeptSpans::traced();
    let sender = Sender::new(OPTIONS, &Registry::new());
    let set = sender.set(link("{}", None).traced(tracer));
    set.set_urls(&[url(&sink.address)]);
    sender.replace(vec![set]);
    sender.notify(&alerts(3));
    let head = sink.next().await.head.to_ascii_lowercase();
    sender.shutdown().await;
    let [span] = &kept.taken()[..] else {
        panic!("{:?}", kept.taken());
    };
    assert!(
        head.contains(&format!("traceparent: {}", span.context)),
        "{head}"
    );
    assert_eq!((&*span.name, span.kind), ("HTTP POST", SpanKind::Client));
    let count = ("alerts", AttributeValue::Integer(3));
    assert!(span.attributes.contains(&count), "{span:?}");
    assert_eq!(
        span.error.as_deref(),
        Some("bad response status 500 Internal Server Error")
    );
}
