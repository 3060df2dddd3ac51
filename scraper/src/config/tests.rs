//! Sections as people write them, and the errors that they get.

use super::*;
use model::Duration;
use std::path::PathBuf;

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
    let text = "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: p}\n  params: {match: ['{a=\"b\"}']}\n  relabel_configs: [{target_label: x, replacement: ''}]\n  dns_sd_configs: [{names: [x]}]\n";
    let config = &load(text).unwrap()[0];
    let printed = yaml::print(config).unwrap();
    assert!(
        printed.contains("<secret>") && !printed.contains("password: p\n"),
        "{printed}"
    );
    let again: ScrapeConfig = yaml::parse(&printed).unwrap();
    assert_eq!(yaml::print(&again).unwrap(), printed);
    assert_eq!(again.relabel_configs, config.relabel_configs);
    assert_eq!(
        config.unsupported(),
        ["service discovery dns is not built in yet, job \"a\" runs without it"]
    );
}

/// Rows of the conformance table whose outcome other rooms or later issues decide.
const NOT_OURS: &[&str] = &[
    "alert_manager",
    "alert_relabel",
    "am_api",
    "agent_mode",
    "otlp",
    "remote_",
    "rw_config",
    "tracing",
    "tsdb_",
    "storage",
    "rules_",
    "section_key_dup",
    "scrape_config_files",
    "external_labels",
    // Service discoveries that are not built yet, and so not checked.
    "azure",
    "ec2_",
    "eureka",
    "hetzner",
    "http_url",
    "kubernetes",
    "lightsail",
    "marathon",
    "oci_",
    "openstack",
    "outscale",
    "ovhcloud",
    "puppetdb",
    "scaleway",
    "uyuni",
    // A binary key in place of a label name.
    "labelname",
];

fn conformance_dir() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    match std::env::var_os("HEARTH_CONFORMANCE_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("../shared/conformance"),
    }
}

#[test]
fn conformance() {
    let dir = conformance_dir().join("config");
    let Ok(table) = std::fs::read_to_string(dir.join("expected.tsv")) else {
        println!("skipped: no conformance data at {}", dir.display());
        return;
    };
    let mut surprises = Vec::new();
    let mut rows = 0;
    for row in table.lines().skip(1) {
        let [file, mode, stage, expect, parts] = row.split('\t').collect::<Vec<_>>()[..] else {
            continue;
        };
        if mode != "server" || stage != "load" || NOT_OURS.iter().any(|part| file.contains(part)) {
            continue;
        }
        rows += 1;
        let outcome = load(&std::fs::read_to_string(dir.join(file)).unwrap());
        let is_as_expected = match &outcome {
            Ok(_) => expect == "ok",
            Err(error) => {
                let mut parts = parts.split(" && ").map(|part| part.replace("\\\\", "\\"));
                expect == "error" && parts.all(|part| error.contains(&part))
            }
        };
        if !is_as_expected {
            surprises.push(format!(
                "{file}: expected {expect} {parts}, got {:?}",
                outcome.err()
            ));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(40 < rows, "only {rows} rows");
}

#[test]
fn operator_configurations() {
    let dir = conformance_dir().join("operator-config");
    let Ok(files) = std::fs::read_dir(&dir) else {
        println!("skipped: no conformance data at {}", dir.display());
        return;
    };
    let mut surprises = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        let conflicting = ["utf8", "UTF8"]
            .iter()
            .any(|word| path.to_string_lossy().contains(word));
        if path.extension().is_none_or(|extension| extension != "yml") || conflicting {
            continue;
        }
        if let Err(error) = load(&std::fs::read_to_string(&path).unwrap()) {
            surprises.push(format!("{}: {error}", path.display()));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}
