use super::*;
use std::path::Path;

use scraper::config::yaml;

fn alertmanagers(dir: &Path, registry: &Registry) -> Alertmanagers {
    let sender = SenderOptions {
        queue_capacity: 100,
        batch_max: 10,
        drains_at_end: false,
    };
    let options = Options {
        base_dir: dir.to_owned(),
        sender,
        pause: Duration::from_millis(10),
        tracer: Tracer::default(),
    };
    Alertmanagers::new(options, registry)
}

fn apply(alertmanagers: &Alertmanagers, text: &str) {
    let config = yaml::parse::<AlertingConfig>(text).unwrap();
    alertmanagers.apply(alertmanagers.prepare(&config).unwrap());
}

/// Returns the sections' names with the addresses of the sets behind them.
fn sections(alertmanagers: &Alertmanagers) -> Vec<(String, *const Set)> {
    let sections = alertmanagers.sections.lock();
    let sections = sections.iter();
    sections
        .map(|section| (section.name.clone(), Arc::as_ptr(&section.set)))
        .collect()
}

fn exposition(registry: &Registry) -> String {
    let mut text = Vec::new();
    metrics::encode::text(&registry.gather(), &mut text);
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("am.json");
    std::fs::write(
        &file,
        r#"[{"targets": ["a:1", "b:1"], "labels": {"dc": "x"}}]"#,
    )
    .unwrap();
    let registry = Registry::new();
    let alertmanagers = alertmanagers(dir.path(), &registry);
    let text = "alertmanagers: [{file_sd_configs: [{files: [am.json], refresh_interval: 1s}], \
        relabel_configs: [{source_labels: [__address__], regex: 'b.*', action: drop}]}]";
    apply(&alertmanagers, text);
    // Files are read at once.
    let url = |name: &str| format!("http://{name}:1/api/v2/alerts");
    let expected = Urls {
        active: vec![url("a")],
        dropped: vec![url("b")],
    };
    assert_eq!(alertmanagers.urls(), expected);
    let shown = exposition(&registry);
    for line in [
        "prometheus_notifications_alertmanagers_discovered 1\n",
        "prometheus_sd_discovered_targets{config=\"config-0\",name=\"notify\"} 2\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    std::fs::write(&file, r#"[{"targets": ["c:1"]}]"#).unwrap();
    let followed = async {
        while alertmanagers.urls().active != [url("c")] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(20), followed);
    within.await.unwrap();
    assert!(alertmanagers.urls().dropped.is_empty());
    apply(&alertmanagers, "{}");
    assert_eq!(alertmanagers.urls(), Urls::default());
    let shown = exposition(&registry);
    assert!(shown.contains("prometheus_notifications_alertmanagers_discovered 0\n"));
    assert!(!shown.contains("config-0"), "{shown}");
    alertmanagers.shutdown().await;
}

#[tokio::test]
async fn what_is_the_same_goes_on() {
    let registry = Registry::new();
    let alertmanagers = alertmanagers(Path::new(""), &registry);
    let set =
        |name: &str, rest: &str| format!("{{static_configs: [{{targets: ['{name}:1']}}]{rest}}}");
    let (a, b) = (set("a", ""), set("b", ""));
    apply(&alertmanagers, &format!("alertmanagers: [{a}, {b}]"));
    let before = sections(&alertmanagers);
    // The same items in another order, with one between them that is new.
    let new = set("n", "");
    apply(&alertmanagers, &format!("alertmanagers: [{b}, {new}, {a}]"));
    let after = sections(&alertmanagers);
    assert_eq!((&after[0], &after[2]), (&before[1], &before[0]));
    assert_eq!(after[1].0, "config-2");
    let active = alertmanagers.urls().active;
    assert_eq!(
        active,
        ["b", "n", "a"].map(|name| format!("http://{name}:1/api/v2/alerts"))
    );
    // One that changed is the same set still, so that its queues stay.
    let changed = set("b", ", timeout: 1s");
    apply(&alertmanagers, &format!("alertmanagers: [{changed}]"));
    assert_eq!(sections(&alertmanagers), before[1..]);
    // What cannot be made changes nothing.
    let text = format!(
        "alertmanagers: [{}]",
        set("b", ", tls_config: {ca_file: nowhere.pem}")
    );
    let config = yaml::parse::<AlertingConfig>(&text).unwrap();
    let error = alertmanagers.prepare(&config).err().unwrap();
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
    alertmanagers.shutdown().await;
}

#[tokio::test]
async fn a_discovery_that_could_not_be_started_is_tried_again() {
    let list = r#"[{"targets": ["a:1"]}]"#;
    let answer = ([("content-type", "application/json")], list);
    let router = axum::Router::new().fallback(move || async move { answer });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let alertmanagers = alertmanagers(dir.path(), &registry);
    let text = format!(
        "alertmanagers: [{{http_sd_configs: [{{url: 'http://{address}/', tls_config: {{ca_file: ca.pem}}}}]}}]"
    );
    let failed = |count: u32| {
        let line = format!("prometheus_sd_failed_configs{{name=\"notify\"}} {count}\n");
        let shown = exposition(&registry);
        assert!(shown.contains(&line), "{shown}");
    };
    failed(0);
    apply(&alertmanagers, &text);
    failed(1);
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    std::fs::write(dir.path().join("ca.pem"), ca).unwrap();
    // The section is the same, and goes on.
    let before = sections(&alertmanagers);
    apply(&alertmanagers, &text);
    failed(0);
    assert_eq!(sections(&alertmanagers), before);
    let found = async {
        while alertmanagers.urls().active.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(20), found);
    within.await.unwrap();
    alertmanagers.shutdown().await;
}
