//! A data directory goes from Prometheus to Hearth and back, and every sample is the same in both.
//!
//! A scripted fleet is scraped into a directory that gets imported blocks as well: floats of all kinds with explicit
//! timestamps, late samples, native histograms (of Prometheus; over protobuf), and some of it is deleted. The server is
//! stopped by SIGTERM after the first half and by SIGKILL after the second; of both the directory is kept. Then each is
//! opened by both servers, on copies and with nothing to scrape, and asked for every raw sample at one time; what they
//! print must be the same, text for text. What Hearth leaves behind, and its snapshot, are opened by Prometheus and asked
//! once more. `promtool tsdb list` and `analyze` must say what `hearth tool` says, and `hearth tool tsdb verify` nothing.
//!
//! Prometheus 2.42, as in Debian 12, will do. Where a version lacks something, it is skipped with a word.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use support::http::{self, Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::peers;
use support::process::Process;
use support::protobuf::{Message, put_varint, zigzag};
use support::wait::{PATIENCE, as_seconds, eventually, now_ms};

/// Bodies that the fleet gives in each half.
const SCRAPES: i64 = 6;
/// Times in each body.
const TIMES: i64 = 30;
/// Between two times. All must be within the hour that late samples are taken, as others are of the present.
const STEP_MS: i64 = 8_000;
/// How far back raw samples are asked for; not a multiple of anything, because versions differ about the left edge.
const RANGE: &str = "50399993ms";

#[test]
fn data_directories_go_both_ways() {
    let programs = [peers::PROMETHEUS, peers::PROMTOOL];
    let Some([prometheus, promtool]) = peers::or_skip("interop", programs) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench {
        dir: dir.path().to_owned(),
        histograms: Histograms::of_version(&prometheus),
        prometheus,
        promtool,
    };
    fs::write(dir.path().join("quiet.yml"), QUIET).expect("a writable directory");
    for maker in [Kind::Prometheus, Kind::Hearth] {
        let kept = bench.make(maker);
        for data in kept {
            bench.compare(&data, maker);
        }
    }
}

/// Both take late samples, so that they read what is there of them.
const QUIET: &str =
    "storage: {tsdb: {out_of_order_time_window: 1h}}\nglobal: {scrape_interval: 1h}\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prometheus,
    Hearth,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Prometheus => "prometheus",
            Kind::Hearth => "hearth",
        }
    }
}

/// The programs, and where all happens.
struct Bench {
    dir: PathBuf,
    prometheus: PathBuf,
    promtool: PathBuf,
    histograms: Histograms,
}

/// How native histograms are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Histograms {
    /// All at once, as floats are.
    Ranged,
    /// Each on its own: Prometheus 2.42 repeats one of them for all in an answer.
    OneByOne,
}

impl Histograms {
    fn of_version(prometheus: &Path) -> Self {
        let output = Command::new(prometheus).arg("--version").output();
        let output = output.expect("Prometheus can be run");
        // Older ones say it on standard error.
        let text = [output.stdout, output.stderr].concat();
        if String::from_utf8_lossy(&text).contains("version 2.") {
            Histograms::OneByOne
        } else {
            Histograms::Ranged
        }
    }
}

impl Bench {
    fn start(&self, kind: Kind, data: &str, config: &str) -> Monitor {
        let (config, data) = (
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
        );
        let mut flags = vec![config.as_str(), data.as_str(), "--web.enable-admin-api"];
        match kind {
            Kind::Hearth => Monitor::hearth(&self.dir, &flags),
            Kind::Prometheus => {
                flags.push("--enable-feature=native-histograms");
                let address = free_address();
                Monitor::program("prometheus", &self.prometheus, &address, &self.dir, &flags)
            }
        }
    }

    /// Fills a data directory by a server; returns copies of it, after SIGTERM and after SIGKILL.
    fn make(&self, maker: Kind) -> [String; 2] {
        let data = format!("{}-data", maker.name());
        // In time for the last body to be of the past.
        let base = (now_ms() / STEP_MS - 2 * SCRAPES * TIMES - 8) * STEP_MS + 7;
        let imported_from = base - self.import_age(maker);
        self.import(maker, &data, imported_from);
        let fleet = Fleet::start(base);
        let config = format!("{}.yml", maker.name());
        fs::write(self.dir.join(&config), fleet.config(maker)).expect("a writable directory");

        let mut server = self.start(maker, &data, &config);
        fleet.give_until(SCRAPES);
        self.delete(&server, [imported_from, base]);
        server.process.signal(Signal::TERM);
        server.process.wait(PATIENCE);
        let terminated = self.copy(&data, &format!("{data}-term"));

        let mut server = self.start(maker, &data, &config);
        fleet.give_until(2 * SCRAPES);
        self.delete(
            &server,
            [imported_from, base].map(|t| t + SCRAPES * TIMES * STEP_MS),
        );
        server.process.kill();
        [terminated, self.copy(&data, &format!("{data}-kill"))]
    }

    /// Returns how long before the scraped samples those of the import begin.
    ///
    /// After a gap of hours Prometheus turns late samples into a block at each start, which is of interest as well.
    fn import_age(&self, maker: Kind) -> i64 {
        (if self.has_gap(maker) { 9 * 60 } else { 230 }) * 60_000
    }

    fn has_gap(&self, maker: Kind) -> bool {
        // 2.42 does not tell such a block from others, and loses the rest of its head at the next start.
        maker == Kind::Prometheus && self.histograms == Histograms::Ranged
    }

    /// Imports samples of three hours from `from` on by the tool of the maker.
    fn import(&self, maker: Kind, data: &str, from: i64) {
        let mut text = String::new();
        for index in 0..200 {
            let t = as_seconds(from + index * 60_000);
            for series in 0..5 {
                let value = value(series, index);
                text += &format!("imported{{series=\"{series}\",e=\"é\\\"\"}} {value} {t}\n");
            }
        }
        text += "# EOF\n";
        fs::write(self.dir.join("import.om"), text).expect("a writable directory");
        let words = [
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "import.om",
            data,
        ];
        self.tool(maker, &words);
    }

    /// Deletes half of a series in the blocks and in the head.
    fn delete(&self, server: &Monitor, [imported, scraped]: [i64; 2]) {
        let ranges = [
            ("imported{series=\"1\"}", imported + 100 * 60_000),
            ("float{series=\"1\"}", scraped + 20 * STEP_MS),
        ];
        for (series, from) in ranges {
            let url = server.url(&format!(
                "/api/v1/admin/tsdb/delete_series?match[]={}&start={}&end={}",
                http::escape(series),
                as_seconds(from),
                as_seconds(from + 50 * STEP_MS)
            ));
            let reply = http::post(&url).expect("an answer");
            assert_eq!(reply.status, 204, "{}", reply.text());
        }
    }

    fn copy(&self, from: &str, to: &str) -> String {
        copy_tree(&self.dir.join(from), &self.dir.join(to));
        to.to_owned()
    }

    /// Opens copies of a directory with both servers, and what Hearth made of it with Prometheus.
    fn compare(&self, data: &str, maker: Kind) {
        let at = now_ms();
        self.tools_agree(data);
        let theirs = self.copy(data, &format!("{data}-prometheus"));
        let ours = self.copy(data, &format!("{data}-hearth"));
        let [expected, found] =
            [(Kind::Prometheus, &theirs), (Kind::Hearth, &ours)].map(|(kind, data)| {
                let mut server = self.start(kind, data, "quiet.yml");
                let all = everything(&server, at, self.histograms);
                let snapshot = (kind == Kind::Hearth).then(|| self.snapshot(&server, data));
                server.process.signal(Signal::TERM);
                server.process.wait(PATIENCE);
                (all, snapshot)
            });
        let (expected, (found, snapshot)) = (expected.0, found);
        // 3.5 loses its head as well when it has merged two blocks of late samples, and it may have; Hearth, which opens
        // the same blocks, agrees.
        let may_lose_head = self.has_gap(maker) && data.ends_with("-kill");
        assert_rich(&expected, maker, may_lose_head);
        assert_same(&format!("{data} in Hearth"), &expected, &found);
        let snapshot = snapshot.expect("Hearth was asked for one");
        for (left, what) in [
            (&ours, "left by Hearth"),
            (&snapshot, "a snapshot of Hearth"),
        ] {
            let mut server = self.start(Kind::Prometheus, left, "quiet.yml");
            let again = everything(&server, at, self.histograms);
            assert_same(&format!("{data}, {what}, in Prometheus"), &expected, &again);
            server.process.kill();
            self.tools_agree(left);
        }
        // Prometheus has gone on from there; its head snapshot is of before that.
        let server = self.start(Kind::Hearth, &ours, "quiet.yml");
        let again = everything(&server, at, self.histograms);
        assert_same(&format!("{data}, back in Hearth"), &expected, &again);
    }

    /// Takes a snapshot and returns its directory.
    fn snapshot(&self, server: &Monitor, data: &str) -> String {
        let reply = http::post(&server.url("/api/v1/admin/tsdb/snapshot")).expect("an answer");
        let answer: Value = serde_json::from_str(&reply.text()).expect("JSON");
        let name = answer["data"]["name"].as_str().expect("a snapshot's name");
        format!("{data}/snapshots/{name}")
    }

    /// Runs promtool or `hearth tool` and returns what it printed.
    #[track_caller]
    fn tool(&self, kind: Kind, words: &[&str]) -> String {
        let mut command = match kind {
            Kind::Prometheus => Command::new(&self.promtool),
            Kind::Hearth => {
                let mut command = Command::new(hearth_binary());
                command.arg("tool");
                command
            }
        };
        let output = command.args(words).current_dir(&self.dir).output();
        let output = output.expect("the tool can be run");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind:?} {words:?}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn tools_agree(&self, data: &str) {
        let both =
            |words: &[&str]| [Kind::Prometheus, Kind::Hearth].map(|kind| self.tool(kind, words));
        let [theirs, ours] = both(&["tsdb", "list", data]);
        assert_eq!(theirs, ours, "list {data}");
        let [theirs, ours] = both(&["tsdb", "list", "-r", data]);
        assert_eq!(theirs, ours, "list -r {data}");
        for line in ours.lines().skip(1) {
            let block = line.split(' ').next().unwrap_or_default();
            let words = ["tsdb", "analyze", "--limit=100000", data, block];
            let [theirs, ours] = both(&words).map(|text| sorted(&text));
            assert_eq!(theirs, ours, "analyze {data} {block}");
            let words = ["tsdb", "analyze", "--extended", "--limit=0", data, block];
            let [theirs, ours] = both(&words);
            // Older ones show something else.
            if theirs.contains("samples per float chunk") {
                assert_eq!(theirs, ours, "analyze --extended {data} {block}");
            }
        }
        if self.dir.join(data).join("wal").exists() {
            // promtool passes over some of the native histograms.
            let words = ["tsdb", "dump", "--match={__name__=~\"[f-mu].+\"}", data];
            let [theirs, ours] = both(&words).map(|text| sorted(&text));
            // … and over a head that a block of late samples covers.
            let known: BTreeSet<&String> = ours.iter().collect();
            let missing: Vec<_> = theirs.iter().filter(|l| !known.contains(l)).collect();
            assert_eq!(missing, <Vec<&String>>::new(), "dump {data}");
            assert!(!theirs.is_empty(), "dump {data}");
            remove_sandboxes(&self.dir.join(data));
        }
        let problems = self.tool(Kind::Hearth, &["tsdb", "verify", data]);
        assert_eq!(problems, "", "verify {data}");
    }
}

/// Older versions of promtool leave their sandbox behind when they fail; no server wants to see it.
fn remove_sandboxes(dir: &Path) {
    for entry in fs::read_dir(dir).expect("a data directory").flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("tmp_dbro_sandbox")
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns the lines, each with the title that it is under, sorted: ties come in any order. Older versions have another
/// word for series.
fn sorted(text: &str) -> Vec<String> {
    let text = text.replace("\nSeries: ", "\nTotal Series: ");
    let (mut title, mut all) = ("", Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.ends_with(':') {
            title = line;
        }
        all.push(format!("{title} {line}"));
    }
    all.sort_unstable();
    all
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a writable directory");
    for entry in fs::read_dir(from).expect("a data directory") {
        let entry = entry.expect("a name");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// Labels to floats and histograms, as they were printed.
type Everything = BTreeMap<String, Value>;

/// Asks for every raw sample before `at`.
#[track_caller]
fn everything(server: &Monitor, at: i64, how: Histograms) -> Everything {
    let query = format!("{{__name__=~\".+\"}}[{RANGE}]");
    let path = format!(
        "/api/v1/query?query={}&time={}",
        http::escape(&query),
        as_seconds(at)
    );
    let mut data = server.data(&path).expect("an answer");
    let result = data["result"].take();
    let Value::Array(series) = result else {
        panic!("no matrix: {result}");
    };
    let keyed = series.into_iter().map(|mut series| {
        let metric = series["metric"].take();
        if how == Histograms::OneByOne {
            for sample in series["histograms"].as_array_mut().into_iter().flatten() {
                let (name, time) = (&metric["__name__"], &sample[0]);
                let name = name.as_str().expect("a name");
                let path = format!("/api/v1/query?query={name}&time={time}");
                let data = server.data(&path).expect("an answer");
                *sample = data["result"][0]["histogram"].clone();
            }
        }
        (metric.to_string(), series)
    });
    keyed.collect()
}

/// The directory has what it is to show.
#[track_caller]
fn assert_rich(all: &Everything, maker: Kind, may_lose_head: bool) {
    let samples = |part: &str, field: &str| -> usize {
        let of = all.iter().filter(|(labels, _)| labels.contains(part));
        of.map(|(_, series)| series[field].as_array().map_or(0, Vec::len))
            .sum()
    };
    assert!(980 <= samples("\"imported\"", "values"), "imported");
    let scraped = samples("\"float\"", "values");
    assert!(800 <= scraped || may_lose_head, "float: {scraped}");
    assert!(10 < samples("\"late\"", "values"), "late");
    if maker == Kind::Prometheus && !may_lose_head {
        let histograms = samples("\"native", "histograms");
        if histograms == 0 {
            say("interop: this Prometheus stores no native histograms; that part is skipped");
        } else {
            assert!(2 < histograms, "native");
        }
    }
}

/// Says something past the test runner's capture.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[track_caller]
fn assert_same(what: &str, expected: &Everything, found: &Everything) {
    let mut differences = Vec::new();
    for (labels, expected) in expected {
        let Some(found) = found.get(labels) else {
            differences.push(format!("{labels} is missing"));
            continue;
        };
        for field in ["values", "histograms"] {
            let samples = |series: &Value| -> BTreeMap<String, String> {
                let all = series[field].as_array().into_iter().flatten();
                all.map(|pair| (pair[0].to_string(), pair[1].to_string()))
                    .collect()
            };
            let (expected, found) = (samples(expected), samples(found));
            for t in expected.keys().chain(found.keys()) {
                if expected.get(t) != found.get(t) {
                    let (expected, found) = (expected.get(t), found.get(t));
                    differences.push(format!("{labels} at {t}: {expected:?}, found {found:?}"));
                }
            }
        }
    }
    for labels in found
        .keys()
        .filter(|labels| !expected.contains_key(*labels))
    {
        differences.push(format!("{labels} is too much"));
    }
    let shown = &differences[..differences.len().min(20)];
    let count = differences.len();
    assert!(
        differences.is_empty(),
        "{what}: {count} differences\n{}",
        shown.join("\n")
    );
}

/// Targets that give the bodies of a script, one after the other, as far as they are let.
struct Fleet {
    server: Server,
    given: Arc<[AtomicI64; 2]>,
    /// Bodies up to this may be given.
    limit: Arc<AtomicI64>,
}

const PATHS: [&str; 2] = ["/floats", "/native"];

impl Fleet {
    fn start(base: i64) -> Self {
        let given: Arc<[AtomicI64; 2]> = Arc::default();
        let limit = Arc::new(AtomicI64::new(0));
        let (counters, may) = (Arc::clone(&given), Arc::clone(&limit));
        let server = Server::start(move |request| {
            let index = usize::from(request.path == PATHS[1]);
            let number = counters[index].fetch_add(1, Ordering::SeqCst);
            if may.load(Ordering::SeqCst) <= number {
                counters[index].fetch_sub(1, Ordering::SeqCst);
                return Response::text("");
            }
            if index == 0 {
                return Response::text(floats(base, number));
            }
            let body: Arc<[u8]> = Arc::from(native(base, number));
            Response::Body(200, PROTOBUF, body)
        });
        Fleet {
            server,
            given,
            limit,
        }
    }

    /// Lets bodies up to `limit` be taken, and waits until they are, and stored.
    fn give_until(&self, limit: i64) {
        self.limit.store(limit, Ordering::SeqCst);
        eventually("all bodies are taken", PATIENCE, || {
            let floats = self.given[0].load(Ordering::SeqCst);
            let native = self.given[1].load(Ordering::SeqCst);
            // Who does not ask for histograms does not get any.
            let is_done = limit <= floats && (native == 0 || limit <= native);
            is_done
                .then_some(())
                .ok_or_else(|| format!("{floats}, {native} of {limit}"))
        });
        // Time for the last to be stored; what of it is not is missing in both.
        std::thread::sleep(std::time::Duration::from_millis(600));
    }

    fn config(&self, maker: Kind) -> String {
        let address = self.server.address();
        let mut config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             storage: {{tsdb: {{out_of_order_time_window: 1h}}}}\n\
             scrape_configs:\n\
             - {{job_name: floats, metrics_path: {}, static_configs: [{{targets: ['{address}']}}]}}\n",
            PATHS[0]
        );
        if maker == Kind::Prometheus {
            config += &format!(
                "- {{job_name: native, metrics_path: {}, static_configs: [{{targets: ['{address}']}}]}}\n",
                PATHS[1]
            );
        }
        config
    }
}

/// Returns a value for each series and time: counters, and what is special about floats.
fn value(series: i64, index: i64) -> String {
    const SPECIAL: [&str; 10] = [
        "NaN",
        "+Inf",
        "-Inf",
        "-0",
        "5e-324",
        "1.7976931348623157e+308",
        "0.30000000000000004",
        "1e21",
        "123456789.125",
        "-1e-7",
    ];
    match series {
        0 => index.to_string(),
        1 => format!("{}", (index * 7_919 % 1_000) as f64 / 8.0),
        2 => "1".to_owned(),
        3 => SPECIAL[usize::try_from(index % 10).unwrap_or(0)].to_owned(),
        _ => format!("{}", (index as f64).sin()),
    }
}

/// Returns body `number`: several times of each series, ascending, and some that come late.
fn floats(base: i64, number: i64) -> String {
    let mut text = String::new();
    for series in 0..5 {
        for index in number * TIMES..(number + 1) * TIMES {
            let (t, value) = (base + index * STEP_MS, value(series, index));
            text += &format!("float{{series=\"{series}\",e=\"é\\\"\\n\"}} {value} {t}\n");
        }
    }
    // A block's length of time is 32 samples of each series that has late ones.
    let newest = base + (number + 1) * TIMES * STEP_MS;
    text += &format!("late 1.5 {newest}\n");
    for index in 0..TIMES / 2 {
        let t = newest - (index + 1) * 4_001 - number;
        text += &format!("late {}.25 {t}\n", number * TIMES + index);
    }
    text
}

const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Returns body `number` of native histograms: one of integers, whose buckets change and are reset, and one of floats.
fn native(base: i64, number: i64) -> Vec<u8> {
    let t = base + number * TIMES * STEP_MS;
    let (bucket, zero) = (number % 4 + 1, 5);
    let count = 4 * bucket + 2 + zero;
    let mut integer = Message::default();
    integer.varint(1, count.cast_unsigned());
    integer.double(2, count as f64 / 3.0);
    integer.varint(5, zigzag(number % 3));
    integer.double(6, 0.001);
    integer.varint(7, zero.cast_unsigned());
    for (span, delta) in [(12, 13), (9, 10)] {
        integer.message(span, &span_of(number % 2, 2));
        integer.varint(delta, zigzag(bucket));
        integer.varint(delta, zigzag(1));
    }
    let mut float = Message::default();
    float.double(4, count as f64 + 0.5);
    float.double(2, -1.25);
    float.varint(5, zigzag(3));
    float.double(6, 1e-128);
    float.double(8, 0.5);
    float.message(12, &span_of(-3, 1));
    float.double(14, count as f64);
    let families = [("native_integer", 4, integer), ("native_float", 5, float)];
    let mut body = Vec::new();
    for (name, kind, histogram) in families {
        let mut metric = Message::default();
        let mut label = Message::default();
        label.bytes(1, b"zone");
        label.bytes(2, b"eu");
        metric.message(1, &label);
        metric.varint(6, t.cast_unsigned());
        metric.message(7, &histogram);
        let mut family = Message::default();
        family.bytes(1, name.as_bytes());
        family.varint(3, kind);
        family.message(4, &metric);
        put_varint(&mut body, family.0.len() as u64);
        body.extend_from_slice(&family.0);
    }
    body
}

fn span_of(offset: i64, length: u64) -> Message {
    let mut span = Message::default();
    span.varint(1, zigzag(offset));
    span.varint(2, length);
    span
}

/// The blocks of early writers, which the conformance data has, are served.
#[test]
fn early_blocks_are_served() {
    let Some(root) = conformance() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("quiet.yml"), QUIET).expect("a writable directory");
    let data = dir.path().join("data");
    let meta = fs::read_to_string(root.join("index_format_v1/meta.json")).expect("a meta file");
    let meta: Value = serde_json::from_str(&meta).expect("JSON");
    let name = meta["ulid"].as_str().expect("a name");
    copy_tree(&root.join("index_format_v1"), &data.join(name));
    let broken = "01BZJ9WJQPWHGNC2W4J9TA62KC";
    copy_tree(
        &root.join("repair_index_version").join(broken),
        &data.join(broken),
    );
    fs::create_dir_all(data.join(broken).join("chunks")).expect("a writable directory");

    let flags = [
        "--config.file=quiet.yml",
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=100y",
    ];
    let server = Monitor::hearth(dir.path(), &flags);
    let ask = |query: &str| server.ask(query, 1_000).series;
    let bar = ask("{foo=\"bar\"}[1s]");
    let samples: Vec<_> = bar.values().flatten().collect();
    assert_eq!(samples, [(&1, &"2".to_owned())]);
    let all = ask("{foo!~\"^.?$\"}[1s]");
    let samples: Vec<_> = all.values().flatten().collect();
    assert_eq!(samples, [(&1, &"2".to_owned()), (&3, &"4".to_owned())]);
    let repaired = fs::read_to_string(data.join(broken).join("meta.json")).expect("a meta file");
    let repaired: Value = serde_json::from_str(&repaired).expect("JSON");
    assert_eq!(repaired["version"], 1);
    let series = server
        .data("/api/v1/series?match[]=%7Bb=%221%22%7D&start=0&end=9999999999")
        .expect("an answer");
    let expected = serde_json::json!([{"a": "1", "b": "1"}, {"a": "2", "b": "1"}]);
    assert_eq!(series, expected);
    let mut process: Process = server.process;
    process.signal(Signal::TERM);
    process.wait(PATIENCE);
}

/// Returns the blocks of the conformance data, if they are here.
fn conformance() -> Option<PathBuf> {
    let root = match std::env::var_os("HEARTH_CONFORMANCE_DIR") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
    };
    let blocks = root.join("tsdb");
    if blocks.is_dir() {
        return Some(blocks);
    }
    assert!(
        std::env::var_os("HEARTH_CONFORMANCE_DIR").is_none(),
        "{} is not there",
        blocks.display()
    );
    say("SKIPPED: early_blocks_are_served: no conformance data");
    None
}
