//! Spans of a server that scrapes itself, and of its Alertmanager, as a collector gets them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use model::protobuf::{Fields, Value};

use support::monitor::{Monitor, free_address};
use support::wait::{PATIENCE, eventually};

/// What a collector got of one span.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    name: String,
    service: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
}

/// A collector that speaks HTTP, and takes webhooks besides.
struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let log = Arc::clone(&spans);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, log) = (stream.unwrap(), Arc::clone(&log));
                thread::spawn(move || serve(stream, &log));
            }
        });
        Collector { address, spans }
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Span>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        if head.starts_with("post /v1/traces ") {
            let is_packed = head.contains("content-encoding: gzip");
            log.lock()
                .unwrap()
                .extend(decode(&unpacked(body, is_packed)));
        } else {
            assert!(head.starts_with("post /hook "), "{head}");
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).unwrap();
    }
}

fn unpacked(body: Vec<u8>, is_packed: bool) -> Vec<u8> {
    if !is_packed {
        return body;
    }
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&body[..]);
    decoder.read_to_end(&mut plain).unwrap();
    plain
}

/// Returns the messages and texts in a field.
fn inner(message: &[u8], field: u32) -> Vec<Vec<u8>> {
    let (mut fields, mut found) = (Fields::of(message), Vec::new());
    while let Some((number, value)) = fields.read().unwrap() {
        if let Value::Bytes(bytes) = value
            && number == field
        {
            found.push(bytes.to_vec());
        }
    }
    found
}

fn decode(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in inner(request, 1) {
        // The service's name is the first attribute.
        let attribute = inner(&inner(&of_resource, 1)[0], 1).swap_remove(0);
        let service = inner(&inner(&attribute, 2)[0], 1).concat();
        for of_scope in inner(&of_resource, 2) {
            spans.extend(inner(&of_scope, 2).iter().map(|span| Span {
                name: String::from_utf8(inner(span, 5).concat()).unwrap(),
                service: String::from_utf8(service.clone()).unwrap(),
                trace: inner(span, 1).concat(),
                id: inner(span, 2).concat(),
                parent: inner(span, 4).concat(),
            }));
        }
    }
    spans
}

#[test]
fn a_server_that_scrapes_itself_is_on_both_sides_of_a_trace() {
    let collector = Collector::start();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let address = free_address();
    let config = |fraction: &str| {
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: self, static_configs: [{{targets: ['{address}']}}]}}]\n\
             tracing: {{client_type: http, endpoint: '{}', insecure: true, compression: gzip, sampling_fraction: {fraction}}}\n",
            collector.address
        )
    };
    let rules =
        "groups: [{name: g, rules: [{record: r, expr: vector(1)}, {alert: A, expr: vector(1)}]}]\n";
    fs::write(dir.join("rules.yml"), rules).unwrap();
    let am = format!(
        "route: {{receiver: a, group_wait: 1ms}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/hook'}}]}}]\n\
         tracing: {{client_type: http, endpoint: '{}', insecure: true, sampling_fraction: 1}}\n",
        collector.address, collector.address
    );
    fs::write(dir.join("am.yml"), am).unwrap();
    fs::write(dir.join("prometheus.yml"), config("1")).unwrap();
    let flags = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--alertmanager.config.file=am.yml",
        "--web.enable-lifecycle",
    ];
    let mut monitor = Monitor::hearth_at(&address, dir, &flags);
    eventually("a scrape with both of its sides", PATIENCE, || {
        monitor.process.assert_running();
        let spans = collector.spans();
        let client = spans.iter().find(|span| {
            let is_below = |below: &&Span| below.parent == span.id && below.trace == span.trace;
            let mut answers = spans.iter().filter(|below| below.name == "GET /metrics");
            span.name == "HTTP GET" && answers.any(|below| is_below(&below))
        });
        client.map(|_| ()).ok_or_else(|| format!("{spans:?}"))
    });
    eventually(
        "rules with their queries, and notifications",
        PATIENCE,
        || {
            let spans = collector.spans();
            let is_of = |above: &&Span, name: &str| {
                let mut below = spans.iter().filter(|span| span.name == name);
                below.any(|span| span.parent == above.id)
            };
            let has = |service: &str, name: &str, below: &str| {
                let named = spans
                    .iter()
                    .filter(|span| span.name == name && span.service == service);
                named.into_iter().any(|span| is_of(&span, below))
            };
            match has("prometheus", "rule", "promqlExec")
                && has("alertmanager", "notification", "HTTP POST")
            {
                true => Ok(()),
                false => Err(format!("{spans:?}")),
            }
        },
    );
    // A share of nothing: what others sample is still recorded, and nothing else.
    fs::write(dir.join("prometheus.yml"), config("0")).unwrap();
    let reload = support::http::post(&monitor.url("/-/reload")).unwrap();
    assert_eq!(reload.status, 200);
    let metric = |name: &str| {
        let page = monitor.page("/metrics").unwrap();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(metric("hearth_trace_spans_dropped_total"), 0.0);
    assert_eq!(metric("hearth_trace_spans_failed_total"), 0.0);
    eventually("spans of scrapes end", PATIENCE, || {
        let count = || {
            collector
                .spans()
                .iter()
                .filter(|span| span.name == "HTTP GET")
                .count()
        };
        let before = count();
        // Longer than a batch is waited for.
        thread::sleep(std::time::Duration::from_secs(7));
        match count() == before {
            true => Ok(()),
            false => Err(format!("{before}, then {}", count())),
        }
    });
}
