use super::*;

#[track_caller]
fn check_error(text: &str, parts: &[&str]) {
    let error = Loaded::from_text(text, "prometheus.yml", Path::new(""))
        .unwrap_err()
        .to_string();
    for part in parts.iter().chain(&["prometheus.yml"]) {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn the_built_in_configuration_is_good() {
    let loaded = Loaded::built_in(9090, "here");
    assert_eq!(loaded.config.scrape_configs.len(), 2);
    assert!(loaded.printed.contains("localhost:9090"));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn empty_configurations_are_good() {
    for text in ["", "global:\n", "# nothing\n", "scrape_configs: []\n"] {
        let loaded = Loaded::from_text(text, "x", Path::new("")).unwrap();
        assert_eq!(
            loaded.config.global.scrape_interval(),
            Duration::from_secs(60),
            "{text:?}"
        );
    }
}

#[test]
fn errors_name_file_line_key_and_value() {
    check_error(
        "global:\n  scrape_intervall: 15s\n",
        &["line 2", "scrape_intervall", "not found"],
    );
    check_error(
        "global:\n  scrape_interval: 15s\n  scrape_interval: 1m\n",
        &["line 3", "scrape_interval"],
    );
    check_error(
        "global:\n  scrape_interval: soon\n",
        &["line 2", "soon", "not a valid duration"],
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - regex: 'a('\n    target_label: x\n",
        &["line 4", "a("],
    );
    check_error(
        "scrape_configs:\n- job_name: a\n- job_name: a\n",
        &["multiple scrape configs", "\"a\"", "line 2"],
    );
    check_error(
        "scrape_configs:\n- job_name: b\n  scrape_interval: 5s\n  scrape_timeout: 10s\n",
        &["line 2", "\"b\""],
    );
    check_error("rule_files: ['*/x.yml']\n", &["rule_files", "*/x.yml"]);
}

#[test]
fn what_is_not_built_yet_is_named() {
    let text = "remote_write:\n- url: http://x/\n";
    let loaded = Loaded::from_text(text, "x", Path::new("")).unwrap();
    assert!(
        loaded.warnings.iter().any(|w| w.contains("remote_write")),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn printed_configurations_read_back() {
    let text = "global:\n  external_labels: {a: b}\nscrape_configs:\n- job_name: j\n  static_configs:\n  - targets: [x:1]\n";
    let loaded = Loaded::from_text(text, "x", Path::new("")).unwrap();
    let again = Loaded::from_text(&loaded.printed, "x", Path::new("")).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn alerting_reads_back_and_is_checked() {
    let text = "alerting:\n  alertmanagers:\n  - scheme: https\n    timeout: 5s\n    basic_auth: {username: u}\n    \
                static_configs: [{targets: ['a:9093']}]\n    dns_sd_configs: [{names: [am]}]\n";
    let loaded = Loaded::from_text(text, "x", Path::new("")).unwrap();
    let again = Loaded::from_text(&loaded.printed, "x", Path::new("")).unwrap();
    assert_eq!(again.config, loaded.config);
    assert_eq!(again.config.alerting.alertmanagers.len(), 1);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let secret = text.replace("username: u", "password: pass");
    let printed = Loaded::from_text(&secret, "x", Path::new("")).unwrap();
    assert!(printed.printed.contains("password: <secret>"));
    check_error(
        "alerting:\n  alertmanagers:\n  - nonsense: 1\n",
        &["line 3", "nonsense", "not found"],
    );
    check_error(
        "alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['http://a']}]\n",
        &["not a valid hostname"],
    );
}

#[test]
fn retention_of_the_configuration_wins() {
    let loaded = |text: &str| Loaded::from_text(text, "x", Path::new("")).unwrap();
    let kept = |text: &str, time: i64, bytes: u64| {
        let flags = tsdb::Retention {
            time: Duration::from_secs(time),
            bytes,
            disk_percentage: 0.0,
        };
        let retention = loaded(text).retention(flags);
        (retention.time, retention.bytes)
    };
    assert_eq!(kept("", 0, 0), (DEFAULT_RETENTION, 0));
    assert_eq!(kept("", 60, 0), (Duration::from_secs(60), 0));
    assert_eq!(kept("", 0, 5), (Duration::ZERO, 5));
    let text = "storage: {tsdb: {retention: {time: 1h, size: 1KB}}}\n";
    assert_eq!(kept(text, 60, 5), (Duration::from_secs(3_600), 1_024));
    let text = "storage: {tsdb: {retention: {percentage: 12.5}}}\n";
    assert_eq!(kept(text, 0, 0), (Duration::ZERO, 0));
    let retention = loaded(text).retention(tsdb::Retention::default());
    assert_eq!(retention.disk_percentage, 12.5);
    assert_eq!(loaded(text).warnings, Vec::<String>::new());
}

#[test]
fn files_that_a_configuration_names() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "main.yml",
        "rule_files: ['*.rules']\nscrape_config_files: [more.yml]\n",
    );
    write("a.rules", "groups: []\n");
    write("more.yml", "scrape_configs:\n- job_name: more\n");
    let loaded = Loaded::from_file(&dir.path().join("main.yml"), Features::default()).unwrap();
    assert_eq!(loaded.rules.len(), 1);
    assert_eq!(loaded.config.scrape_configs[0].job_name, "more");
    write("more.yml", "scrape_configs:\n- job_nam: more\n");
    let error = Loaded::from_file(&dir.path().join("main.yml"), Features::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("more.yml") && error.contains("line 2"),
        "{error}"
    );
    write(
        "main.yml",
        "scrape_config_files: [missing.yml]\nrule_files: ['*.rules', a.rules]\n",
    );
    let loaded = Loaded::from_file(&dir.path().join("main.yml"), Features::default()).unwrap();
    assert_eq!(
        loaded.rules.len(),
        1,
        "a file that two globs name is there once"
    );
}

mod conformance;
