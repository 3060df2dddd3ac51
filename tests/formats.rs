//! Hearth beside the real Prometheus 3.x, both scraping targets of this test: every format, every kind of histogram, and
//! targets that change, flap, take their time or say a lot.
//!
//! Each server has a count of its own at each target: the n-th scrape of either gets the n-th body, whenever it comes. So after
//! its n-th scrape, a server must show the same series with the same values and the same `scrape_…` reports as the other
//! one after its n-th; what ended must be gone from both. Only how long a scrape took, and when it was, is their own.

mod support;

#[path = "formats/bodies.rs"]
mod bodies;
#[path = "formats/odd.rs"]
mod odd;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use bodies::{Target, targets};
use support::answer::{Answer, Samples};
use support::http::{Response, Server};
use support::monitor::{Monitor, free_address};
use support::peers;
use support::wait::{PATIENCE, as_seconds, eventually, now_ms};

/// What a server shows: series to value.
type State = BTreeMap<String, String>;

/// How many scrapes of each target are compared.
const SCRAPES: usize = 12;

#[test]
fn hearth_and_prometheus_store_the_same_of_every_format() {
    let Some([prometheus]) = peers::or_skip("formats", [peers::PROMETHEUS]) else {
        return;
    };
    if !peers::is_3_or_skip("formats", &prometheus) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut targets = targets(now_ms() / 1_000 * 1_000);
    targets.extend(odd::targets());
    let server = serve(&targets);
    let address = server.address().to_string();
    for scraper in ["hearth", "prometheus"] {
        let config = config(&targets, &address, scraper);
        fs::write(dir.path().join(format!("{scraper}.yml")), config).unwrap();
    }
    let features = "--enable-feature=native-histograms,exemplar-storage,extra-scrape-metrics";
    let hearth = Monitor::hearth(
        dir.path(),
        &[
            "--config.file=hearth.yml",
            "--storage.tsdb.path=hearth-data",
            "--enable-feature=exemplar-storage",
        ],
    );
    let flags = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus-data",
        features,
    ];
    let real = Monitor::program(
        "prometheus",
        &prometheus,
        &free_address(),
        dir.path(),
        &flags,
    );
    let mut differences = Vec::new();
    for target in &targets {
        let own = scrape_times(&hearth, target.job);
        let theirs = scrape_times(&real, target.job);
        let states = |monitor: &Monitor, times: &[i64]| -> Vec<State> {
            let times = times.iter().take(SCRAPES);
            times.map(|&at| state(monitor, target.job, at)).collect()
        };
        let (own, theirs) = (states(&hearth, &own), states(&real, &theirs));
        for n in 0..SCRAPES {
            let before = n.checked_sub(1).map(|before| &theirs[before]);
            let difference = difference(target.job, &own[n], &theirs[n], before);
            differences.extend(difference.map(|found| {
                let body = odd::body_of(target.job, n).unwrap_or_default();
                format!("{}, scrape {}: {found} {body:?}", target.job, n + 1)
            }));
        }
        if target.is_stamped {
            let difference = same_stamped(target, &hearth, &real);
            differences.extend(difference.map(|found| format!("{}: {found}", target.job)));
        }
        differences.extend(same_exemplars(target, &hearth, &real));
    }
    assert!(
        differences.is_empty(),
        "{} differ; Hearth's value first:\n{}",
        differences.len(),
        differences[..differences.len().min(40)].join("\n")
    );
}

/// Serves each target under its own path.
fn serve(targets: &[Target]) -> Server {
    let bodies: BTreeMap<String, bodies::Body> = targets
        .iter()
        .map(|target| (format!("/{}", target.job), Arc::clone(&target.body)))
        .collect();
    let counts: Mutex<BTreeMap<String, usize>> = Mutex::default();
    Server::start(move |request| {
        let Some(body) = bodies.get(&request.path) else {
            return Response::Body(404, "text/plain", Arc::from(*b"no such target"));
        };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{}?{}", request.path, request.query);
        let count = counts.entry(key).or_default();
        *count += 1;
        let n = *count;
        drop(counts);
        body(n)
    })
}

fn config(targets: &[Target], address: &str, scraper: &str) -> String {
    let mut config =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for target in targets {
        let job = target.job;
        config += &format!(
            "- job_name: {job}\n  metrics_path: /{job}\n  params: {{scraper: [{scraper}]}}\n  \
             static_configs: [{{targets: ['{address}'], labels: {{instance: i}}}}]\n"
        );
        for line in target.config {
            config += &format!("  {line}\n");
        }
        if scraper == "hearth" {
            // Prometheus 3.5 has flags for these.
            config += "  scrape_native_histograms: true\n  extra_scrape_metrics: true\n";
        }
    }
    config
}

/// Returns when the scrapes of a job were, as soon as there are enough.
fn scrape_times(monitor: &Monitor, job: &str) -> Vec<i64> {
    let query = format!("up{{job=\"{job}\"}}[5m]");
    eventually(&format!("{job} is scraped"), PATIENCE, || {
        let answer = monitor.query(&query, now_ms())?;
        let times: Vec<i64> = answer
            .series
            .values()
            .flat_map(|samples| samples.keys().copied())
            .collect();
        match times.len() {
            enough if SCRAPES <= enough => Ok(times),
            few => Err(format!("{few} scrapes")),
        }
    })
}

/// Returns what a server shows of a job at the time of a scrape: series to value.
fn state(monitor: &Monitor, job: &str, at: i64) -> State {
    let others = "scrape_duration_seconds|stamped.*";
    let selector = format!("{{job=\"{job}\",__name__!~\"{others}\"}}");
    only_values(&monitor.ask(&selector, at))
}

/// Compares the samples that say their time, as far as both have them.
fn same_stamped(target: &Target, hearth: &Monitor, real: &Monitor) -> Option<String> {
    let selector = format!("{{job=\"{}\",__name__=~\"stamped.*\"}}[10m]", target.job);
    let (own, theirs) = (
        hearth.ask(&selector, now_ms()),
        real.ask(&selector, now_ms()),
    );
    let names = |answer: &Answer| -> Vec<String> { answer.series.keys().cloned().collect() };
    if names(&own) != names(&theirs) {
        return Some(format!("{:?} and {:?}", names(&own), names(&theirs)));
    }
    for (series, theirs) in &theirs.series {
        let own = &own.series[series];
        // One of them may have had a scrape more.
        let last = own.keys().next_back().min(theirs.keys().next_back());
        let until = |samples: &Samples| -> Vec<(i64, String)> {
            let samples = samples.iter().filter(|(at, _)| Some(*at) <= last);
            samples.map(|(&at, value)| (at, value.clone())).collect()
        };
        if until(own) != until(theirs) {
            return Some(format!("{series}: {own:?} and {theirs:?}"));
        }
    }
    None
}

fn only_values(answer: &Answer) -> State {
    let series = answer.series.iter();
    series
        .map(|(labels, samples)| {
            let values: Vec<&str> = samples.values().map(String::as_str).collect();
            (labels.clone(), values.join(" "))
        })
        .collect()
}

/// Returns the first difference that is not a known one. Of a scrape that failed when its body was read,
///
/// * Prometheus marks the series that it had read until then as ended at the next scrape, and Hearth at this one;
/// * Prometheus reports the samples until the first wrong line, and Hearth may find a wrong comment only at the end;
/// * Prometheus reports the new series among these as added, although none is stored, and Hearth reports them when they are.
///
/// Nor does Prometheus report a series as added whose sample the storage refused, which the scrape does not know; Hearth does.
fn difference(job: &str, own: &State, theirs: &State, before: Option<&State>) -> Option<String> {
    assert!(!theirs.is_empty(), "nothing to compare");
    let failed = is_down(own) && is_down(theirs);
    let is_known = |series: &str| {
        let lingers = own.get(series).is_none()
            && before.is_some_and(|before| before.get(series) == theirs.get(series));
        let is_added = series.contains("scrape_series_added");
        let is_report = is_added || odd::is_job(job) && series.contains("scrape_samples");
        failed && (lingers || is_report) || is_added && (job == OUT_OF_ORDER || odd::is_job(job))
    };
    let mut differing = own
        .keys()
        .chain(theirs.keys())
        .filter(|series| own.get(*series) != theirs.get(*series) && !is_known(series));
    let series = differing.next()?;
    let (own, theirs) = (own.get(series), theirs.get(series));
    Some(format!("{series}: {own:?} and {theirs:?}"))
}

fn is_down(state: &State) -> bool {
    let mut up = state
        .iter()
        .filter(|(series, _)| series.contains("__name__=\"up\""));
    up.any(|(_, value)| value == "0")
}

/// The job whose samples are out of order.
const OUT_OF_ORDER: &str = "tracked";

/// Compares the exemplars that say their time, as far as both have them.
fn same_exemplars(target: &Target, hearth: &Monitor, real: &Monitor) -> Option<String> {
    let exemplars = target.exemplars?;
    let path = format!(
        "/api/v1/query_exemplars?query={}&start={}&end={}",
        support::http::escape(exemplars),
        as_seconds(now_ms() - 600_000),
        as_seconds(now_ms() + 600_000)
    );
    let read = |monitor: &Monitor| -> BTreeMap<String, Vec<String>> {
        let data = monitor.data(&path).expect("exemplars are answered");
        let series = data.as_array().expect("a list of series").iter();
        series
            .map(|series| {
                let exemplars = series["exemplars"].as_array().expect("a list of exemplars");
                let printed = exemplars.iter().map(ToString::to_string);
                (series["seriesLabels"].to_string(), printed.collect())
            })
            .collect()
    };
    let (own, theirs) = (read(hearth), read(real));
    assert!(!theirs.is_empty(), "no exemplars of {exemplars}");
    for (series, theirs) in &theirs {
        let none = Vec::new();
        let own = own.get(series).unwrap_or(&none);
        let common = own.len().min(theirs.len());
        if own[..common] != theirs[..common] || common < 3 {
            return Some(format!("exemplars of {series}: {own:?} and {theirs:?}"));
        }
    }
    let surplus = own.keys().find(|series| !theirs.contains_key(*series));
    surplus.map(|series| format!("exemplars: only Hearth has {series}: {:?}", own[series]))
}
