//! Queries that nobody should ask: each is answered in bounded time, with Prometheus' error or a limit's, and the server
//! is there afterwards, having taken no more than some memory.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::http::{self, Connection};
use support::monitor::{Monitor, is_release};
use support::protobuf::Message;

/// Series of `many`; as many pairs as their square meet in a cartesian join.
const SERIES: u64 = 2_000;
const AT: i64 = 1_600_000_000;
const TOO_DEEP: &str = "parse error: expression is nested deeper than 250 levels";
/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How much the server may grow, in MiB.
const GROWTH_MIB: u64 = 600;

#[test]
fn hostile_queries_are_answered() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let target = Target::start(dir.path());
    let before = target.monitor.process.peak_mib();

    nesting(&target);
    chains(&target);
    selectors(&target);
    times(&target);
    growth(&target);
    bodies(&target);

    let after = target.monitor.process.peak_mib();
    assert!(
        after < before + GROWTH_MIB,
        "{before} MiB, then {after} MiB"
    );
}

/// Expressions in one another.
fn nesting(target: &Target) {
    for depth in [10_000, 100_000] {
        for (open, inner, close) in [
            ("(", "1", ")"),
            ("-", "one", ""),
            ("abs(", "one", ")"),
            ("sum(", "one", ")"),
            ("max_over_time(", "one", "[5m:])"),
            ("one[", "5m", ":]"),
            ("1 + (", "1", ")"),
        ] {
            let text = open.repeat(depth) + inner + &close.repeat(depth);
            target.refuses(
                &text,
                "bad_data",
                if open == "one[" {
                    "parse error"
                } else {
                    TOO_DEEP
                },
            );
        }
    }
    // What is left open is no deeper.
    target.refuses(&"(".repeat(100_000), "bad_data", "parse error");
    target.refuses(&"{".repeat(100_000), "bad_data", "parse error");
    target.refuses(&"one[".repeat(100_000), "bad_data", "parse error");
    // As deep as it goes, without trouble.
    let deepest = "abs(".repeat(100) + "one" + &")".repeat(100);
    target.answers(&deepest);
}

/// Operators in a row: a tree that leans to one side.
fn chains(target: &Target) {
    for terms in [10_000, 100_000] {
        for op in [" + ", " ^ ", " or ", " and on() ", " == bool "] {
            let text = vec!["one"; terms].join(op);
            target.refuses(&text, "bad_data", TOO_DEEP);
        }
    }
    let long = vec!["one"; 200].join(" or ");
    target.answers(&long);
}

/// What selectors can be made to do.
fn selectors(target: &Target) {
    let many: Vec<String> = (0..200_000).map(|n| format!("a{n}!=\"{n}\"")).collect();
    let text = format!("one{{{}}}", many.join(","));
    target.ends(&text);
    // Of a million, each of them as short as it can be.
    let text = format!("one{{{}}}", vec!["a=\"\""; 1_000_000].join(","));
    target.ends(&text);
    for pattern in [
        "(((a{1,100}){1,100}){1,100})",
        "(x+x+)+y",
        "(a|aa)*b",
        "(.*)(.*)(.*)(.*)(.*)z",
        "[^a]{1000}{1000}",
    ] {
        target.ends(&format!("many{{n=~\"{pattern}\"}}"));
        target.ends(&format!(
            "label_replace(many, \"a\", \"$1\", \"n\", \"{pattern}\")"
        ));
    }
    let alternatives: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    target.answers(&format!("count(many{{n=~\"{}\"}})", alternatives.join("|")));
    target.answers("count({__name__!=\"\"})");
    target.answers("count({__name__=~\".+\"})");
    target.refuses(
        "{__name__=~\".*\"}",
        "bad_data",
        "must contain at least one non-empty matcher",
    );
}

/// Times and lengths of time beyond all measure.
fn times(target: &Target) {
    let steps = |seconds: i64| {
        let form = format!("query=one&start={AT}&end={}&step=1", AT + seconds);
        target.send("/api/v1/query_range", &form)
    };
    let answer = steps(11_001);
    check_error(
        &answer,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    );
    assert_eq!(steps(11_000)["status"], "success");

    target.refuses("one[293y]", "bad_data", "parse error");
    target.refuses("one[99999999999999999999s]", "bad_data", "parse error");
    target.ends("one[290y]");
    target.ends("one offset 290y");
    target.ends("one offset -290y");
    target.ends("one @ 9223372036854775");
    target.refuses("one @ 1e300", "bad_data", "parse error");
    target.refuses("count_over_time(vector(1)[100y:1ms])", "execution", "");
    target.refuses("count_over_time(one[100y:1ms])", "execution", "");
    target.refuses(
        "max_over_time(max_over_time(vector(1)[1y:1s])[1y:1s])",
        "execution",
        "",
    );
}

/// Results that are larger than what they come from.
fn growth(target: &Target) {
    let mut text = "one".to_owned();
    for _ in 0..100 {
        text = format!("label_replace({text}, \"a\", \"$1$1\", \"a\", \"(.*)\")");
    }
    target.refuses(&text, "execution", "");
    let mut text = "one".to_owned();
    for _ in 0..100 {
        text = format!("label_join({text}, \"a\", \"--\", \"a\", \"a\")");
    }
    target.refuses(&text, "execution", "");

    target.answers("count_values(\"value\", many)");
    target.answers("count(count_values(\"value\", many * 0.1))");
    target.refuses(
        "many * on() many",
        "execution",
        "found duplicate series for the match group {} on the right hand-side of the operation",
    );
    target.refuses(
        "many * on() group_left() many",
        "execution",
        "found duplicate series",
    );
    target.answers("count(many * on(n) group_left() many)");
    let range = format!(
        "query={}&start={AT}&end={}&step=1",
        http::escape("sum(many) without (n) + on() group_right() many"),
        AT + 10_999
    );
    let answer = target.send("/api/v1/query_range", &range);
    assert!(answer["status"].is_string(), "{answer}");
}

/// Requests that are too large before they are queries.
fn bodies(target: &Target) {
    let spaces = 10 << 20;
    let reply = target.post("/api/v1/query", &format!("query=1{}", "+".repeat(spaces)));
    assert_eq!(reply.status, 413, "{}", reply.text());
    let text = " ".repeat(9 << 20);
    let reply = target.post(
        "/api/v1/query",
        &format!("query=one{}", text.replace(' ', "+")),
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = "\"".to_owned() + &"a".repeat(9 << 20) + "\"";
    target.answers(&text);
    let text = "a".repeat(9 << 20);
    target.answers(&text);
    let text = format!("# {}\none", "x".repeat(9 << 20));
    let reply = target.post(
        "/api/v1/query",
        &format!(
            "query={}",
            text.replace(' ', "+")
                .replace('#', "%23")
                .replace('\n', "%0A")
        ),
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// The server, with `one` and `many` series at [`AT`].
struct Target {
    monitor: Monitor,
}

impl Target {
    fn start(dir: &Path) -> Self {
        std::fs::write(dir.join("quiet.yml"), "global: {scrape_interval: 1h}\n")
            .expect("a writable directory");
        let flags = [
            "--config.file=quiet.yml",
            "--storage.tsdb.path=data",
            "--web.enable-remote-write-receiver",
            "--query.timeout=15s",
        ];
        let monitor = Monitor::hearth(dir, &flags);
        let target = Self { monitor };
        let mut request = Message::default();
        for n in 0..=SERIES {
            let number = n.to_string();
            let many = [("__name__", "many"), ("n", number.as_str())];
            let one = [("__name__", "one"), ("a", "aa")];
            let mut series = Message::default();
            for (name, value) in if n < SERIES { many } else { one } {
                let mut label = Message::default();
                label.bytes(1, name.as_bytes());
                label.bytes(2, value.as_bytes());
                series.message(1, &label);
            }
            let mut sample = Message::default();
            sample.double(1, n as f64);
            sample.varint(2, (AT * 1_000).cast_unsigned());
            series.message(2, &sample);
            request.message(1, &series);
        }
        let body = snap::raw::Encoder::new()
            .compress_vec(&request.0)
            .expect("it is short");
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
        let mut connection = target.connection();
        connection
            .post("/api/v1/write", headers, &body)
            .expect("the server listens");
        let reply = connection.receive().expect("an answer");
        assert_eq!(reply.status / 100, 2, "{}", reply.text());
        target
    }

    fn connection(&self) -> Connection {
        Connection::open(&self.monitor.address).expect("the server listens")
    }

    #[track_caller]
    fn post(&self, path: &str, form: &str) -> http::Reply {
        let mut connection = self.connection();
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        // A server that has refused a request need not read all of it.
        let sent = connection.post(path, headers, form.as_bytes());
        let shown = &form[..form.len().min(200)];
        connection
            .receive()
            .unwrap_or_else(|error| panic!("{shown}: {sent:?}, {error}"))
    }

    #[track_caller]
    fn send(&self, path: &str, form: &str) -> Value {
        let started = Instant::now();
        let reply = self.post(path, form);
        let took = started.elapsed();
        let shown = &form[..form.len().min(200)];
        let limit = if is_release() { LIMIT } else { 3 * LIMIT };
        assert!(took < limit, "{shown}: {took:?}");
        let answer = serde_json::from_slice(&reply.body);
        answer.unwrap_or_else(|error| panic!("{shown}: {error}: {}", reply.text()))
    }

    /// Returns the answer, after which another query is answered as well.
    #[track_caller]
    fn ask(&self, text: &str) -> Value {
        let form = |text: &str| format!("query={}&time={AT}", http::escape(text));
        let answer = self.send("/api/v1/query", &form(text));
        let after = self.send("/api/v1/query", &form("one"));
        assert_eq!(
            after["data"]["result"][0]["value"][1],
            SERIES.to_string(),
            "{after}"
        );
        answer
    }

    /// Checks that there is an answer, whatever it is.
    #[track_caller]
    fn ends(&self, text: &str) {
        let answer = self.ask(text);
        assert!(answer["status"].is_string(), "{answer}");
    }

    #[track_caller]
    fn answers(&self, text: &str) {
        let answer = self.ask(text);
        let shown = &text[..text.len().min(200)];
        assert_eq!(answer["status"], "success", "{shown}: {}", answer["error"]);
    }

    #[track_caller]
    fn refuses(&self, text: &str, class: &str, message: &str) {
        let answer = self.ask(text);
        let shown = &text[..text.len().min(200)];
        assert_eq!(answer["errorType"], class, "{shown}: {}", answer["error"]);
        check_error(&answer, class, message);
    }
}

#[track_caller]
fn check_error(answer: &Value, class: &str, message: &str) {
    assert_eq!(answer["errorType"], class, "{answer}");
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(error.contains(message), "{error}, not {message}");
    assert!(error.len() < 10_000, "an error of {} bytes", error.len());
}
