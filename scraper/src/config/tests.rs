//! Sections as people write them, and the errors that they get.

use super::*;
use model::Duration;

#[derive(serde::Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Sections {
    global: Option<GlobalConfig>,
    scrape_configs: Option<Vec<Option<ScrapeConfig>>>,
}

fn load(text: &str) -> Result<Vec<ScrapeConfig>, String> {
    let sections: Option<Sections> = yaml::parse(text).map_err(|error| error.to_string())?;
    let sections = sections.unwrap_or_default();
    let mut global = sections.global.unwrap_or_default();
    global
        .finish(&|_| None)
        .map_err(|error| error.to_string())?;
    let mut finished = Vec::new();
    for config in sections.scrape_configs.unwrap_or_default() {
        let mut config = config.ok_or("empty or null scrape config section")?;
        config.finish(&global).map_err(|error| error.to_string())?;
        finished.push(config);
    }
    Ok(finished)
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = load(text).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_is_not_said_is_inherited() {
    let config = &load(
        "global: {scrape_interval: 15s, sample_limit: 5, scrape_protocols: [PrometheusText0.0.4]}\n\
         scrape_configs: [{job_name: a, static_configs: [{targets: ['x:1']}]}]",
    )
    .unwrap()[0];
    assert_eq!(config.scrape_interval(), Duration::from_secs(15));
    assert_eq!(config.scrape_timeout(), Duration::from_secs(10));
    assert_eq!(config.sample_limit, Some(5));
    assert_eq!(config.protocols(), [ScrapeProtocol::PrometheusText0_0_4]);
    assert_eq!(
        (config.scheme(), config.metrics_path()),
        ("http", "/metrics")
    );
}

#[test]
fn errors_say_where_and_what() {
    check_error(
        "scrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n",
        "line 3",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n",
        "(did you mean scrape_interval?)",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  scrape_interval: 5 seconds\n",
        "line 3, column 20: scrape_interval: not a valid duration string: \"5 seconds\"",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  job_name: b\n",
        "field job_name already set in type",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  relabel_configs: [{regex: '(', target_label: x}]\n",
        "error parsing regexp",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  relabel_configs: [{action: destroy}]\n",
        "unknown relabel action \"destroy\"",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  sample_limit: many\n",
        "line 3, column 17: sample_limit: ",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  sample_limit: many\n",
        "\"many\"",
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - target_label: x\n    regex: 'a(b'\n",
        "line 5, column 12: regex: error parsing regexp",
    );
    check_error("scrape_configs: [{scheme: http}]", "job_name is empty");
    check_error(
        "scrape_configs: [{job_name: a, scrape_timeout: 2m}]",
        "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
    );
    check_error(
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['http://bad']}]}]",
        "\"http://bad\" is not a valid hostname",
    );
    check_error(
        "scrape_configs: [{job_name: a, body_size_limit: 100}]",
        "unknown unit  in 100",
    );
}

#[test]
fn names_and_their_escaping() {
    let schemes = |text: &str| {
        let config = &load(text).unwrap()[0];
        (
            config.metric_name_validation_scheme.unwrap(),
            config.metric_name_escaping_scheme.unwrap().name(),
        )
    };
    assert_eq!(
        schemes("scrape_configs: [{job_name: a}]"),
        (ValidationScheme::Utf8, "allow-utf-8")
    );
    assert_eq!(
        schemes("scrape_configs: [{job_name: a, metric_name_validation_scheme: legacy}]"),
        (ValidationScheme::Legacy, "underscores")
    );
    assert_eq!(
        schemes(
            "global: {metric_name_validation_scheme: legacy, metric_name_escaping_scheme: dots}\nscrape_configs: [{job_name: a}]"
        ),
        (ValidationScheme::Legacy, "dots")
    );
}

#[test]
fn printed_reads_back() {
    let text = "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: p}\n  params: {match: ['{a=\"b\"}']}\n  relabel_configs: [{target_label: x, replacement: ''}]\n";
    let config = &load(text).unwrap()[0];
    let printed = yaml::print(config).unwrap();
    assert!(
        printed.contains("<secret>") && !printed.contains("password: p\n"),
        "{printed}"
    );
    let again: ScrapeConfig = yaml::parse(&printed).unwrap();
    assert_eq!(yaml::print(&again).unwrap(), printed);
    assert_eq!(again.relabel_configs, config.relabel_configs);
}
