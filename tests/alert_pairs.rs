//! Hearth beside the real Prometheus and Alertmanager: one story of targets that fail and come back, told four ways.
//!
//! ```text
//! targets ──┬── Prometheus ──┬── Alertmanager ──► webhooks, mails
//!           │                └── Hearth's     ──► webhooks, mails     the same alerts: everything alike
//!           └── Hearth ──────┬── Alertmanager ──► webhooks, mails
//!                            └── Hearth's     ──► webhooks, mails     the same alerts: everything alike
//! ```
//!
//! Nothing is repeated to the Alertmanagers within the story: what they do with a resolution that comes again depends on the
//! moment. Between the upper and the lower half, times differ by the moment at which each scrapes and evaluates; everything else is
//! alike. amtool silences and ends the silence on all four. `HEARTH_STORY_PACE=3` makes five minutes of it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::http::{Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::peers;
use support::smtp::SmtpSink;
use support::wait::{PATIENCE, eventually, now_ms};

const CONFIG: &str = "
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {site: test}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - static_configs: [{targets: ['ALERTMANAGER', 'HEARTH']}]
scrape_configs:
- job_name: fleet
  static_configs: [{targets: ['FLEET']}]
  relabel_configs:
  - {target_label: instance, replacement: i0}
";

const RULES: &str = r#"
groups:
- name: fleet
  rules:
  - record: job:down:count
    expr: count(up == 0) or vector(0)
  - alert: InstanceDown
    expr: up == 0
    for: 4s
    labels: {severity: page}
    annotations:
      summary: '{{ $labels.instance }} of {{ $labels.job }} is down'
      value: '{{ $value | printf "%.1f" }} <&> {{ humanizeDuration 61 }}'
  - alert: ClusterDown
    expr: job:down:count >= 2
    labels: {severity: critical}
    annotations: {summary: '{{ $value }} are down: {{ range query "up == 0 and up == 0" }}x{{ end }}'}
  - alert: ManyErrors
    expr: demo_errors > 5
    keep_firing_for: 5s
    labels: {severity: warning, team: '{{ $labels.instance | toUpper }}'}
    annotations: {summary: '{{ with query "up" }}{{ . | first | label "job" }}{{ end }}'}
  - alert: Watchdog
    expr: vector(1)
    labels: {severity: none}
"#;

/// Flushes fall between evaluations, so that an alert is clearly before or after one.
const ALERTMANAGER: &str = "
global:
  smtp_smarthost: 'SMTP'
  smtp_from: 'hearth@hearth.test'
  smtp_hello: localhost
  smtp_require_tls: false
route:
  receiver: hooks
  group_by: [alertname]
  group_wait: 2500ms
  group_interval: 4s
  repeat_interval: 1h
  routes:
  - matchers: [severity=page]
    receiver: mails
    continue: true
  - matchers: [severity=none]
    receiver: watch
    repeat_interval: 10s
  - matchers: ['severity=~\"page|critical|warning\"']
inhibit_rules:
- source_matchers: [severity=critical]
  target_matchers: [severity=warning]
  equal: [site]
receivers:
- name: hooks
  webhook_configs: [{url: 'http://WEBHOOK/hooks'}]
- name: watch
  webhook_configs: [{url: 'http://WEBHOOK/watch'}]
- name: mails
  email_configs:
  - to: 'oncall@hearth.test'
    send_resolved: true
    text: '{{ range .Alerts }}{{ .Status }} {{ .Labels.instance }}: {{ .Annotations.summary }}{{ \"\\n\" }}{{ end }}'
";

/// What happens when, seconds after the beginning.
const STORY: &[(i64, Event)] = &[
    (1, Event::Down(0)),
    (14, Event::Down(1)),
    (24, Event::Errors(2, 9)),
    (34, Event::Up(1)),
    (42, Event::Errors(2, 0)),
    (50, Event::Silence),
    (54, Event::Down(3)),
    (66, Event::Unsilence),
    (77, Event::Up(3)),
    (85, Event::Up(0)),
    (97, Event::End),
];

#[derive(Clone, Copy, PartialEq)]
enum Event {
    Down(usize),
    Up(usize),
    Errors(usize, i64),
    Silence,
    Unsilence,
    End,
}

const INSTANCES: usize = 4;

/// An Alertmanager of either kind, and who hears from it.
struct Side {
    alertmanager: Monitor,
    posts: Arc<Mutex<Vec<(String, i64, Value)>>>,
    mails: SmtpSink,
    _webhook: Server,
}

impl Side {
    fn start(name: &str, program: &Path, words: &[&str], dir: &Path) -> Side {
        let posts = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posts);
        let webhook = Server::start(move |request| {
            let post = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push((request.path.clone(), now_ms(), post));
            Response::text("")
        });
        let mails = SmtpSink::start();
        let config = ALERTMANAGER
            .replace("SMTP", &mails.address().to_string())
            .replace("WEBHOOK", &webhook.address().to_string());
        let file = format!("{name}.yml");
        fs::write(dir.join(&file), config).unwrap();
        let flags = [
            format!("--config.file={file}"),
            format!("--storage.path={name}-data"),
            "--cluster.listen-address=".to_owned(),
            "--web.external-url=http://am.test/am".to_owned(),
            "--web.route-prefix=/".to_owned(),
        ];
        let flags: Vec<&str> = words
            .iter()
            .copied()
            .chain(flags.iter().map(String::as_str))
            .collect();
        Side {
            alertmanager: Monitor::program(name, program, &free_address(), dir, &flags),
            posts,
            mails,
            _webhook: webhook,
        }
    }

    /// Returns the posts to a path, by group, in their order.
    fn posts(&self, path: &str) -> BTreeMap<String, Vec<Value>> {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_group: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (_, _, post) in posts.iter().filter(|(to, _, _)| to == path) {
            let key = post["groupKey"].as_str().unwrap_or_default().to_owned();
            by_group.entry(key).or_default().push(post.clone());
        }
        by_group
    }

    /// Returns when what was told, for a failure's message.
    fn story(&self) -> String {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = posts.iter().map(|(path, at, post)| {
            let reason = &post["notification_reason"];
            format!("{at} {path} {} {reason}\n", post["groupKey"])
        });
        lines.collect()
    }

    /// Returns the headers and texts of the mails.
    fn mails(&self) -> Vec<String> {
        self.mails.mails().iter().map(|mail| plain(mail)).collect()
    }
}

/// Returns a mail's headers, without dates and ids, and its text; the looks of the HTML part are each program's own.
fn plain(mail: &str) -> String {
    let mail = mail.replace("\r\n", "\n");
    let (head, body) = mail.split_once("\n\n").unwrap();
    let boundary = head.split("boundary=").nth(1).unwrap();
    let boundary = boundary
        .split(['\n', ';'])
        .next()
        .unwrap()
        .trim_matches('"');
    let mut headers: Vec<String> = head
        .replace("\n ", " ")
        .replace("\n\t", " ")
        .lines()
        .filter(|line| !line.starts_with("Date:") && !line.starts_with("Message-"))
        .map(|line| {
            line.replace(boundary, "B")
                .replace('"', "")
                .replace("  ", " ")
        })
        .collect();
    headers.sort();
    let boundary = format!("--{boundary}");
    let mut parts = body.split(&boundary);
    let text = parts.find(|part| part.contains("text/plain")).unwrap();
    let (_, text) = text.split_once("\n\n").unwrap();
    let text = text.replace("=\n", "").replace("=3D", "=");
    format!("{}\n\n{}", headers.join("\n"), text.trim_end())
}

/// Returns a post without its times, for sides that were not told at the same moment.
fn timeless(mut post: Value) -> Value {
    for alert in post["alerts"].as_array_mut().into_iter().flatten() {
        alert["startsAt"] = json!("");
        alert["endsAt"] = json!("");
    }
    post
}

fn pace() -> i64 {
    let given = std::env::var("HEARTH_STORY_PACE").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The targets: one server, a path for each instance.
fn fleet(state: &Arc<[AtomicI64; INSTANCES]>) -> Server {
    let state = Arc::clone(state);
    Server::start(move |request| {
        let instance = request
            .path
            .trim_start_matches("/i")
            .trim_end_matches("/metrics");
        let instance: usize = instance.parse().unwrap_or(0);
        match state[instance].load(Ordering::SeqCst) {
            -1 => Response::Body(500, "text/plain", Arc::from(*b"down")),
            errors => Response::text(format!("demo_errors {errors}\n")),
        }
    })
}

fn amtool(amtool: &Path, side: &Side, words: &[&str]) -> String {
    let url = format!("--alertmanager.url=http://{}", side.alertmanager.address);
    let output = Command::new(amtool).arg(url).args(words).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "amtool {words:?}: {text}");
    text
}

/// Compares what two sides were told; `known` may be one post longer at the end of a group that repeats itself.
fn compare(
    what: &str,
    own: &BTreeMap<String, Vec<Value>>,
    known: &BTreeMap<String, Vec<Value>>,
    repeats: bool,
) {
    let keys =
        |posts: &BTreeMap<String, Vec<Value>>| posts.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(own), keys(known), "{what}: groups");
    for (group, own) in own {
        let known = &known[group];
        let shared = own.len().min(known.len());
        for (at, (own, known)) in own.iter().zip(known).enumerate() {
            assert_eq!(own, known, "{what}: post {at} of {group}");
        }
        let is_short = own.len() != known.len();
        let at_end = repeats && own.len().abs_diff(known.len()) <= 1 && 2 <= shared;
        assert!(!is_short || at_end, "{what}: {group}: {own:#?}\n{known:#?}");
    }
}

/// Returns the episodes of each alert by labels and state: when each began and ended, milliseconds since the epoch.
fn episodes(monitor: &Monitor, start: i64, end: i64) -> BTreeMap<String, Vec<(i64, i64)>> {
    let path = format!(
        "/api/v1/query_range?query=ALERTS&start={}&end={}&step=0.25",
        start as f64 / 1e3,
        end as f64 / 1e3
    );
    let data = monitor.data(&path).unwrap();
    let mut episodes = BTreeMap::new();
    for series in data["result"].as_array().unwrap() {
        let mut found: Vec<(i64, i64)> = Vec::new();
        for sample in series["values"].as_array().unwrap() {
            let at = sample[0].as_f64().unwrap() * 4.0;
            let at = 250 * at.round().to_string().parse::<i64>().unwrap();
            match found.last_mut() {
                Some((_, last)) if at - *last <= 250 => *last = at,
                _ => found.push((at, at)),
            }
        }
        episodes.insert(series["metric"].to_string(), found);
    }
    episodes
}

#[test]
fn one_story_told_four_ways() {
    let test = "one_story_told_four_ways";
    let programs = [peers::PROMETHEUS, peers::ALERTMANAGER, peers::AMTOOL];
    let Some([prometheus, alertmanager, tool]) = peers::or_skip(test, programs) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let state: Arc<[AtomicI64; INSTANCES]> = Arc::default();
    let fleet = fleet(&state);
    let real = |name: &str| Side::start(name, &alertmanager, &[], dir.path());
    let own = |name: &str| Side::start(name, &hearth_binary(), &["alertmanager"], dir.path());
    let (upper_real, upper_own) = (real("upper-real"), own("upper-own"));
    let (lower_real, lower_own) = (real("lower-real"), own("lower-own"));
    let sides = [&upper_real, &upper_own, &lower_real, &lower_own];
    let monitor = |name: &str, program: &PathBuf, words: &[&str], real: &Side, own: &Side| {
        let home = dir.path().join(name);
        fs::create_dir(&home).unwrap();
        fs::write(home.join("rules.yml"), RULES).unwrap();
        let jobs: String = (1..INSTANCES)
            .map(|i| format!("- job_name: fleet{i}\n  metrics_path: /i{i}/metrics\n  static_configs: [{{targets: ['FLEET']}}]\n  relabel_configs:\n  - {{target_label: instance, replacement: i{i}}}\n  - {{target_label: job, replacement: fleet}}\n"))
            .collect();
        let config = (CONFIG.to_owned() + &jobs)
            .replace("ALERTMANAGER", &real.alertmanager.address)
            .replace("HEARTH", &own.alertmanager.address)
            .replace("FLEET", &fleet.address().to_string());
        fs::write(home.join("config.yml"), config).unwrap();
        let flags: Vec<&str> = words
            .iter()
            .copied()
            .chain([
                "--config.file=config.yml",
                "--storage.tsdb.path=data",
                "--web.external-url=http://prom.test",
                "--rules.alert.resend-delay=10m",
            ])
            .collect();
        Monitor::program(name, program, &free_address(), &home, &flags)
    };
    let upper = monitor("prometheus", &prometheus, &[], &upper_real, &upper_own);
    let lower = monitor(
        "hearth",
        &hearth_binary(),
        &["server"],
        &lower_real,
        &lower_own,
    );
    for monitor in [&upper, &lower] {
        eventually("all targets are up", PATIENCE, || {
            let value = monitor.query("sum(up)", now_ms())?.only_value()?;
            (value == 4.0)
                .then_some(())
                .ok_or_else(|| format!("{value} are up"))
        });
    }

    let (begin, start_ms) = (Instant::now(), now_ms());
    let mut silences = Vec::new();
    for &(at, event) in STORY {
        let due = Duration::from_secs(u64::try_from(at * pace()).unwrap());
        thread::sleep(due.saturating_sub(begin.elapsed()));
        match event {
            Event::Down(instance) => state[instance].store(-1, Ordering::SeqCst),
            Event::Up(instance) => state[instance].store(0, Ordering::SeqCst),
            Event::Errors(instance, errors) => state[instance].store(errors, Ordering::SeqCst),
            Event::Silence => {
                let words = [
                    "silence",
                    "add",
                    "-a",
                    "me",
                    "-c",
                    "why",
                    "-d",
                    "1h",
                    "instance=i3",
                ];
                silences = sides
                    .iter()
                    .map(|side| amtool(&tool, side, &words))
                    .collect();
            }
            Event::Unsilence => {
                for (side, id) in sides.iter().zip(&silences) {
                    let active = amtool(&tool, side, &["silence", "query", "-q"]);
                    assert_eq!(active.trim(), id.trim());
                    amtool(&tool, side, &["silence", "expire", id.trim()]);
                    assert_eq!(amtool(&tool, side, &["silence", "query", "-q"]).trim(), "");
                }
            }
            Event::End => {}
        }
    }
    let end_ms = now_ms();

    // The same alerts: each state of each alert begins and ends within two evaluations and a scrape of the other's.
    let (theirs, ours) = (
        episodes(&upper, start_ms, end_ms),
        episodes(&lower, start_ms, end_ms),
    );
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.keys().collect::<Vec<_>>()
    );
    for (alert, ours) in &ours {
        let theirs = &theirs[alert];
        assert_eq!(ours.len(), theirs.len(), "{alert}: {ours:?} {theirs:?}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            let far = (ours.0 - theirs.0).abs().max((ours.1 - theirs.1).abs());
            assert!(far <= 2_500, "{alert}: {ours:?} {theirs:?}");
        }
    }

    // The same notifications.
    for (what, own, known) in [
        ("Prometheus' alerts", &upper_own, &upper_real),
        ("Hearth's alerts", &lower_own, &lower_real),
    ] {
        let what = &format!("{what}\n{}\n{}", own.story(), known.story());
        compare(what, &own.posts("/hooks"), &known.posts("/hooks"), false);
        compare(what, &own.posts("/watch"), &known.posts("/watch"), true);
        assert_eq!(own.mails(), known.mails(), "{what}: mails");
    }
    let without_times = |side: &Side| {
        let posts = side.posts("/hooks").into_iter();
        let posts = posts.map(|(group, posts)| (group, posts.into_iter().map(timeless).collect()));
        posts.collect::<BTreeMap<String, Vec<Value>>>()
    };
    let (ours, theirs) = (without_times(&lower_own), without_times(&upper_real));
    compare("both together", &ours, &theirs, false);
    assert_eq!(
        lower_own.mails(),
        upper_real.mails(),
        "both together: mails"
    );

    // And the story was told: three down, one of them silenced at first; the cluster; errors that were inhibited at first.
    let told: Vec<(String, String)> = ours
        .values()
        .flatten()
        .map(|post| {
            (
                post["groupLabels"]["alertname"].to_string(),
                post["notification_reason"].to_string(),
            )
        })
        .collect();
    for name in ["\"InstanceDown\"", "\"ClusterDown\"", "\"ManyErrors\""] {
        let of = told.iter().filter(|(alert, _)| alert == name);
        assert!(2 <= of.count(), "{name}: {told:?}");
    }
    let watch: usize = lower_own.posts("/watch").values().map(Vec::len).sum();
    assert!(4 <= watch, "the watchdog was told {watch} times");
    assert!(4 <= lower_own.mails().len(), "{:?}", lower_own.mails());
}
