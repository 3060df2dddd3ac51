//! From labels to targets.

use super::*;
use crate::config::{GlobalConfig, yaml};

fn job(text: &str) -> ScrapeConfig {
    let mut job: ScrapeConfig = yaml::parse(text).unwrap();
    let mut global = GlobalConfig::default();
    global.finish(&|_| None).unwrap();
    job.finish(&global).unwrap();
    job
}

fn populate(job: &ScrapeConfig, pairs: &[(&str, &str)]) -> Result<Populated, TargetError> {
    let mut labels = LabelsBuilder::new();
    for (name, value) in pairs {
        labels.set(name, value);
    }
    Target::populate(job, labels)
}

#[track_caller]
fn check(text: &str, pairs: &[(&str, &str)], url: &str, labels: &str) {
    match populate(&job(text), pairs).unwrap() {
        Populated::Active(target) => {
            assert_eq!(target.url.to_string(), url);
            assert_eq!(target.labels.to_string(), labels);
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_error(text: &str, pairs: &[(&str, &str)], expected: &str) {
    assert_eq!(populate(&job(text), pairs).unwrap_err().reason, expected);
}

#[test]
fn urls_and_labels() {
    let address = [(ADDRESS, "host:9100")];
    check(
        "{job_name: j}",
        &address,
        "http://host:9100/metrics",
        "{instance=\"host:9100\", job=\"j\"}",
    );
    check(
        "{job_name: j, scheme: https, metrics_path: 'a b?', params: {'match[]': ['{x=\"y z\"}', '2'], a: ['1']}}",
        &address,
        "https://host:9100/a%20b%3F?a=1&match%5B%5D=%7Bx%3D%22y+z%22%7D&match%5B%5D=2",
        "{instance=\"host:9100\", job=\"j\"}",
    );
    check(
        "{job_name: j, relabel_configs: [{source_labels: [__address__], target_label: __param_target}, {target_label: __address__, replacement: 'probe:1'}, {source_labels: [__param_target], target_label: instance}]}",
        &[(ADDRESS, "site"), ("__meta_x", "y")],
        "http://probe:1/metrics?target=site",
        "{instance=\"site\", job=\"j\"}",
    );
}

#[test]
fn urls_that_cannot_be_scraped_are_targets_still() {
    let broken = |rule: &str| {
        let job = job(&format!("{{job_name: j, relabel_configs: [{rule}]}}"));
        match populate(&job, &[(ADDRESS, "h:1")]).unwrap() {
            Populated::Active(target) => (target.url.to_string(), target.url.uri().unwrap_err()),
            other => panic!("{other:?}"),
        }
    };
    let (url, error) = broken("{target_label: __scheme__, replacement: ftp}");
    assert_eq!(url, "ftp://h:1/metrics");
    assert_eq!(
        error,
        "\"ftp://h:1/metrics\" cannot be scraped: unsupported protocol scheme \"ftp\"; it must be http:// or https:// and a host"
    );
    let (url, _) = broken("{target_label: __scheme__, replacement: ''}");
    assert_eq!(url, "//h:1/metrics");
    let (url, _) = broken("{target_label: __address__, replacement: 'a b'}");
    assert_eq!(url, "http://a%20b/metrics");
    check(
        "{job_name: j, relabel_configs: [{target_label: __metrics_path__, replacement: ''}]}",
        &[(ADDRESS, "h:1")],
        "http://h:1",
        "{instance=\"h:1\", job=\"j\"}",
    );
}

#[test]
fn what_is_left_over_tells_targets_apart() {
    let job = job("{job_name: j}");
    let key = |pairs: &[(&str, &str)]| match populate(&job, pairs).unwrap() {
        Populated::Active(target) => target.key(),
        other => panic!("{other:?}"),
    };
    let plain = key(&[(ADDRESS, "h:1")]);
    assert_eq!(plain, key(&[(ADDRESS, "h:1"), ("__meta_x", "1")]));
    assert_ne!(plain, key(&[(ADDRESS, "h:1"), ("__tmp", "1")]));
    assert_ne!(plain, key(&[(ADDRESS, "h:1"), ("a", "1")]));
}

#[test]
fn histograms_are_as_relabelling_says() {
    let of_job = HistogramOptions {
        native: true,
        always_classic: false,
        convert: true,
    };
    let found = |labels: &[(&str, &str)]| {
        let labels = [&[(ADDRESS, "h:1")], labels].concat();
        match populate(&job("{job_name: j}"), &labels).unwrap() {
            Populated::Active(target) => target.histograms.over(of_job),
            Populated::Dropped(_) => panic!("dropped"),
        }
    };
    assert_eq!(found(&[]), of_job);
    assert_eq!(found(&[(NATIVE_HISTOGRAMS, "")]), of_job);
    let other = HistogramOptions {
        native: false,
        always_classic: true,
        convert: false,
    };
    let labels = [
        (NATIVE_HISTOGRAMS, "0"),
        (CLASSIC_HISTOGRAMS, "TRUE"),
        (CONVERT_HISTOGRAMS, "f"),
    ];
    assert_eq!(found(&labels), other);
}

#[test]
fn targets_that_cannot_be() {
    let address = [(ADDRESS, "h:1")];
    check_error("{job_name: j}", &[], "no address");
    check_error(
        "{job_name: j}",
        &[(ADDRESS, "a/b")],
        "\"a/b\" is not a valid hostname",
    );
    check_error(
        "{job_name: j, relabel_configs: [{target_label: __scrape_interval__, replacement: '0s'}]}",
        &address,
        "scrape interval cannot be 0",
    );
    check_error(
        "{job_name: j, relabel_configs: [{target_label: __scrape_timeout__, replacement: 2m}]}",
        &address,
        "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
    );
    check_error(
        "{job_name: j, relabel_configs: [{target_label: __scrape_native_histograms__, replacement: maybe}]}",
        &address,
        "error parsing __scrape_native_histograms__: \"maybe\" is neither true nor false",
    );
    let dropped = populate(
        &job("{job_name: j, relabel_configs: [{action: drop, regex: ''}]}"),
        &address,
    );
    assert!(
        matches!(dropped, Ok(Populated::Dropped(labels)) if labels.value("__scheme__") == "http")
    );
}

#[test]
fn offsets_are_stable_and_spread() {
    let job = job("{job_name: j}");
    let offsets: Vec<i64> = (0..100)
        .map(
            |i| match populate(&job, &[(ADDRESS, &format!("host{i}:1"))]).unwrap() {
                Populated::Active(target) => {
                    assert_eq!(target.offset_ms(7), target.offset_ms(7));
                    assert_ne!(target.offset_ms(7), target.offset_ms(8));
                    target.offset_ms(7)
                }
                other => panic!("{other:?}"),
            },
        )
        .collect();
    assert!(offsets.iter().all(|offset| (0..60_000).contains(offset)));
    let early = offsets.iter().filter(|&&offset| offset < 30_000).count();
    assert!(
        (25..75).contains(&early),
        "{early} of 100 in the first half"
    );
}
