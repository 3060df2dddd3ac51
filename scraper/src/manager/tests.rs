//! Whole pools against a small server, in real but short times.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use model::time::SystemClock;
use model::trace::{KeptSpans, SpanKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::Health;
use crate::config::yaml;
use crate::testing::MemoryStorage;

/// Serves what the path asks for: `/up`, `/slow`, `/endless`, `/garbage`, `/latin1`, `/gzip`, `/zstd`, `/missing`, ….
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                return;
            };
            request.push(byte);
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap();
        let lines = request.lines();
        let above = lines.filter_map(|line| line.strip_prefix("traceparent: "));
        let above = above.collect::<Vec<_>>().join(",");
        if answer(&mut stream, path, &above).await.is_err() {
            return;
        }
    }
}

/// * `above`: the `traceparent` header.
async fn answer(stream: &mut TcpStream, path: &str, above: &str) -> std::io::Result<()> {
    let body = b"# TYPE m gauge\nm{a=\"b\"} 1\n".to_vec();
    let (headers, body) = match path {
        "/up" => ("content-type: text/plain", body),
        "/traced" => {
            let line = format!("traced{{above=\"{above}\"}} 1\n");
            ("content-type: text/plain", line.into_bytes())
        }
        "/openmetrics" => (
            "content-type: application/openmetrics-text",
            [body, b"# EOF\n".to_vec()].concat(),
        ),
        "/slow" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nm")
                .await?;
            return std::future::pending().await;
        }
        "/endless" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
                .await?;
            loop {
                stream.write_all(&b"m 1\n".repeat(1000)).await?;
            }
        }
        "/garbage" => ("content-type: text/plain", b"\x01\x02{{{\n".to_vec()),
        "/latin1" => ("content-type: text/plain", b"m{a=\"\xe9\"} 1\n".to_vec()),
        "/html" => ("content-type: text/html", b"<html>".to_vec()),
        "/blank" => ("x: y", body),
        "/gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&body)?;
            (
                "content-type: text/plain\r\ncontent-encoding: gzip",
                encoder.finish()?,
            )
        }
        "/zstd" => (
            "content-type: text/plain\r\ncontent-encoding: zstd",
            zstd::encode_all(&body[..], 1)?,
        ),
        "/long" => {
            let lines: Vec<u8> = (0..20_000)
                .flat_map(|i| format!("long{{i=\"{i}\"}} 1\n").into_bytes())
                .collect();
            ("content-type: text/plain", lines)
        }
        _ => {
            return stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.into_bytes(), body].concat()).await
}

struct Fixture {
    manager: ScrapeManager,
    storage: MemoryStorage,
    registry: Registry,
}

impl Fixture {
    fn new(base_dir: &Path) -> Self {
        Self::traced(base_dir, Tracer::default())
    }

    fn traced(base_dir: &Path, tracer: Tracer) -> Self {
        let (storage, registry) = (MemoryStorage::default(), Registry::new());
        let options = ScrapeOptions {
            base_dir: base_dir.to_owned(),
            hostname: "test".to_owned(),
            user_agent: "test".to_owned(),
            timestamp_tolerance: Duration::from_millis(2),
            discovery_reload_interval: Duration::from_millis(10),
            global_url: GlobalUrl {
                scheme: "http".to_owned(),
                host: "me:9090".to_owned(),
                listen_port: 9090,
            },
            starts: StartOptions::default(),
            tracer,
        };
        let clock = Arc::new(SystemClock);
        let manager =
            ScrapeManager::new(Arc::new(storage.clone()), clock, &registry, options).unwrap();
        Fixture {
            manager,
            storage,
            registry,
        }
    }

    fn apply(&self, text: &str) {
        let mut global: GlobalConfig = yaml::parse("{scrape_interval: 100ms}").unwrap();
        global.finish(&|_| None).unwrap();
        let mut configs: Vec<ScrapeConfig> = yaml::parse(text).unwrap();
        configs
            .iter_mut()
            .for_each(|config| config.finish(&global).unwrap());
        self.manager.apply(configs, &global).unwrap();
    }

    /// Waits until `is_so` says yes.
    async fn wait_until(&self, what: &str, is_so: impl Fn(&Fixture) -> bool) {
        let started = std::time::Instant::now();
        while !is_so(self) {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{what}: {:?}",
                self.manager.targets()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn health(&self, path: &str) -> (Health, String) {
        let targets = self.manager.targets().active;
        let target = targets
            .iter()
            .find(|target| target.labels.value("job") == path);
        target
            .map(|target| (target.health, target.last_error.clone()))
            .unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapes_have_spans_and_targets_hear_of_them() {
    let address = server().await;
    let (tracer, kept) = KeptSpans::traced();
    let fixture = Fixture::traced(Path::new(""), tracer.clone());
    let target = format!("static_configs: [{{targets: ['{address}']}}]");
    let traced = format!("[{{job_name: traced, metrics_path: /traced, {target}}}]");
    fixture.apply(&traced);
    fixture
        .wait_until("a span", |_| !kept.taken().is_empty())
        .await;
    let span = kept.taken().swap_remove(0);
    assert_eq!(span.name, "HTTP GET");
    assert_eq!((span.kind, span.error), (SpanKind::Client, None));
    let above = span.context.to_string();
    let has_it = |f: &Fixture| {
        f.storage
            .series()
            .iter()
            .any(|series| series.contains(&above))
    };
    fixture.wait_until("the header", has_it).await;
    // Nothing is passed on when nobody looks.
    tracer.set(None);
    let is_bare = |series: &String| series.starts_with("traced{") && !series.contains("above");
    let has_none = |f: &Fixture| f.storage.series().iter().any(is_bare);
    fixture.wait_until("no header", has_none).await;
    let (tracer, kept) = KeptSpans::traced();
    let fixture = Fixture::traced(Path::new(""), tracer);
    fixture.apply(&format!(
        "[{{job_name: missing, metrics_path: /missing, {target}}}]"
    ));
    fixture
        .wait_until("a failure", |_| !kept.taken().is_empty())
        .await;
    let error = kept.taken().swap_remove(0).error;
    assert_eq!(error.as_deref(), Some("404 Not Found"));
}

/// Each kind of target in one configuration: every one gets what it deserves, and nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_targets_cost_their_own_scrape_only() {
    let address = server().await;
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let fixture = Fixture::new(Path::new("."));
    let expected = [
        ("up", ""),
        ("openmetrics", ""),
        ("gzip", ""),
        ("zstd", ""),
        ("slow", "context deadline exceeded"),
        ("endless", "body size limit exceeded"),
        ("garbage", "line 1: expected a valid start token"),
        ("latin1", "line 1: invalid UTF-8"),
        ("html", "received unsupported Content-Type \"text/html\""),
        ("blank", "sending blank Content-Type"),
        ("missing", "server returned HTTP status 404 Not Found"),
    ];
    let mut configs = format!("- {{job_name: gone, static_configs: [{{targets: ['{gone}']}}]}}\n");
    for (path, _) in expected {
        configs.push_str(&format!(
            "- {{job_name: {path}, metrics_path: /{path}, body_size_limit: 1MB, static_configs: [{{targets: ['{address}']}}]}}\n"
        ));
    }
    fixture.apply(&configs);
    for (path, error) in expected.into_iter().chain([("gone", "connection refused")]) {
        fixture
            .wait_until(path, |fixture| fixture.health(path).0 != Health::Unknown)
            .await;
        let (health, last_error) = fixture.health(path);
        assert_eq!(
            health == Health::Up,
            error.is_empty(),
            "{path}: {last_error}"
        );
        assert!(last_error.contains(error), "{path}: {last_error}");
    }
    let series: Vec<_> = ["gzip", "openmetrics", "up", "zstd"]
        .iter()
        .map(|job| format!("m{{a=\"b\", instance=\"{address}\", job=\"{job}\"}}"))
        .collect();
    assert_eq!(fixture.storage.series(), series);
    let metadata = fixture.manager.metadata();
    assert!(
        metadata
            .iter()
            .any(|of| of.pool == "up" && &*of.families[0].name == "m")
    );
    assert_eq!(fixture.manager.scrape_pools().len(), 12);
    fixture.manager.shutdown().await;
    // Nothing ended: the next start goes on.
    assert!(
        !fixture
            .storage
            .samples(&series[2])
            .iter()
            .any(|sample| sample.starts_with("stale"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_keep_what_stays_and_end_what_goes() {
    let address = server().await;
    let fixture = Fixture::new(Path::new("."));
    let config = |extra: &str| {
        format!(
            "- {{job_name: j, metrics_path: /up, scrape_interval: 500ms, {extra} static_configs: [{{targets: ['{address}']}}]}}"
        )
    };
    fixture.apply(&config(""));
    fixture
        .wait_until("scraped", |fixture| !fixture.storage.values("m").is_empty())
        .await;
    for round in 0..10 {
        fixture.apply(&config(&format!("sample_limit: {},", 100 + round)));
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let times = fixture.storage.times("up");
    let gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Ten reloads within three ticks: no tick was skipped or doubled. Slow machines may be late.
    assert!(2 <= gaps.len());
    assert!(gaps.iter().all(|gap| (250..950).contains(gap)), "{gaps:?}");
    fixture.apply("[]");
    assert_eq!(fixture.manager.scrape_pools(), Vec::<String>::new());
    let is_ended = |fixture: &Fixture| {
        fixture
            .storage
            .values("m")
            .last()
            .is_some_and(|&value| model::is_stale(value))
    };
    fixture.wait_until("ended", is_ended).await;
    let mentions_job = |fixture: &Fixture| {
        let mut text = Vec::new();
        ::metrics::encode::encode(
            ::metrics::encode::Format::Text,
            &fixture.registry.gather(),
            &mut text,
        );
        String::from_utf8(text).unwrap().contains("\"j\"")
    };
    fixture
        .wait_until("forgotten", |fixture| !mentions_job(fixture))
        .await;
    assert!(
        fixture
            .storage
            .values("up")
            .last()
            .is_some_and(|&value| model::is_stale(value))
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_discovered_and_watched() {
    let address = server().await;
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(dir.path());
    fixture.apply("- {job_name: j, metrics_path: /up, file_sd_configs: [{files: ['*.yml']}], relabel_configs: [{source_labels: [drop], regex: me, action: drop}]}");
    std::fs::write(
        dir.path().join("a.yml"),
        format!("- targets: ['{address}']\n- targets: ['x:1']\n  labels: {{drop: me}}\n"),
    )
    .unwrap();
    fixture
        .wait_until("found", |fixture| fixture.health("j").0 == Health::Up)
        .await;
    let targets = fixture.manager.targets();
    assert_eq!(
        (targets.dropped.len(), &targets.dropped_counts),
        (1, &vec![("j".to_owned(), 1)])
    );
    assert!(
        targets.active[0]
            .discovered_labels
            .get("__meta_filepath")
            .is_some()
    );
    std::fs::remove_file(dir.path().join("a.yml")).unwrap();
    fixture
        .wait_until("gone", |fixture| {
            fixture.manager.targets().active.is_empty()
        })
        .await;
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_targets_are_not_scraped() {
    let address = server().await;
    let fixture = Fixture::new(Path::new("."));
    fixture.apply(&format!(
        "- {{job_name: j, metrics_path: /up, target_limit: 1, static_configs: [{{targets: ['{address}', 'x:1']}}]}}"
    ));
    fixture
        .wait_until("refused", |fixture| fixture.health("j").0 == Health::Down)
        .await;
    assert_eq!(
        fixture.health("j").1,
        "target_limit exceeded (number of targets: 2, limit: 1)"
    );
    assert!(fixture.storage.series().is_empty());
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_bodies_are_read_on_their_own_thread() {
    let address = server().await;
    let fixture = Fixture::new(Path::new("."));
    fixture.apply(&format!(
        "- {{job_name: j, metrics_path: /long, scrape_interval: 1s, static_configs: [{{targets: ['{address}']}}]}}"
    ));
    fixture
        .wait_until("scraped twice", |fixture| {
            fixture.storage.values("up").len() == 2
        })
        .await;
    assert_eq!(
        fixture.storage.values("scrape_samples_scraped"),
        [20_000.0, 20_000.0]
    );
    assert_eq!(
        fixture.storage.values("scrape_series_added"),
        [20_000.0, 0.0]
    );
    let gathered = fixture.registry.gather();
    assert!(
        gathered
            .iter()
            .any(|family| family.name == "prometheus_target_interval_length_seconds")
    );
    fixture.manager.shutdown().await;
}

#[tokio::test]
async fn two_jobs_of_one_name_change_nothing() {
    let fixture = Fixture::new(Path::new("."));
    fixture.apply("- {job_name: a}");
    let mut twice: Vec<ScrapeConfig> = yaml::parse("[{job_name: b}, {job_name: b}]").unwrap();
    let global = GlobalConfig::default();
    twice
        .iter_mut()
        .for_each(|config| config.finish(&global).unwrap());
    let error = fixture.manager.apply(twice, &global).unwrap_err();
    assert_eq!(
        error.to_string(),
        "found multiple scrape configs with job name \"b\""
    );
    assert_eq!(fixture.manager.scrape_pools(), ["a"]);
    fixture.manager.shutdown().await;
}

#[tokio::test]
async fn failed_scrapes_are_logged() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(dir.path());
    let config = "- {job_name: j, scrape_failure_log_file: fail.log, static_configs: [{targets: ['127.0.0.1:1']}]}";
    fixture.apply(config);
    let text = || std::fs::read_to_string(dir.path().join("fail.log")).unwrap_or_default();
    fixture
        .wait_until("logged", |_| text().ends_with('\n'))
        .await;
    let line = text().lines().next().unwrap().to_owned();
    assert!(
        line.contains(r#""msg":"Get \"http://127.0.0.1:1/metrics\": connection refused","job_name":"j","target":"http://127.0.0.1:1/metrics"}"#),
        "{line}"
    );
    // A reload opens the file anew, though nothing else changed.
    std::fs::remove_file(dir.path().join("fail.log")).unwrap();
    fixture.apply(config);
    fixture
        .wait_until("logged again", |_| text().ends_with('\n'))
        .await;
}
