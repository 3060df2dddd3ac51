//! Configuration files with their known outcome: Prometheus' own tests, and what the Prometheus Operator generates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use scraper::config::{EscapingScheme, StaticConfig, ValidationScheme};

use super::*;

/// Returns a folder of the conformance data; says so where it is not there.
fn folder(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = match std::env::var_os("HEARTH_CONFORMANCE_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("../shared/conformance"),
    };
    let dir = dir.join(name);
    if !dir.join("expected.tsv").exists() {
        println!("skipped: no conformance data at {}", dir.display());
        return None;
    }
    Some(dir)
}

/// A file whose printed form has dollars that would be expanded once more, as in Prometheus.
const EXPANDED: &str = "external_labels.good.yml";

/// Files of the Operator that we see otherwise than the Prometheus that the table was made with, and why.
const KNOWN_GAPS: &[(&str, &str)] = &[(
    "testdata_NameValidationScheme_legacy.yml",
    "Prometheus 3.5 refuses legacy names without an escaping; later ones infer it, as scrape_config_local_infer_escaping.yml asks for",
)];

/// Does one row's stage.
fn outcome(dir: &Path, file: &str, mode: &str, stage: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    let mode = match mode {
        "agent" => Mode::Agent,
        _ => Mode::Server,
    };
    if stage == "target_group" {
        let group = yaml::parse::<StaticConfig>(&text);
        return group.map(|_| ()).map_err(|error| error.to_string());
    }
    let config = Config::parse(&text, file, mode).map_err(|error| error.to_string())?;
    if stage == "scrape_config_files" {
        let files = config.read_scrape_config_files(dir, file);
        files.map_err(|error| error.to_string())?;
    }
    if file == EXPANDED {
        return Ok(());
    }
    // What was understood is printed so that it is understood again, secrets apart.
    let printed = yaml::print(&config).unwrap();
    let again = Config::parse(&printed, "printed", mode)
        .map_err(|error| panic!("{file}: printed: {error}\n{printed}"))
        .unwrap();
    assert_eq!(yaml::print(&again).unwrap(), printed, "{file}");
    Ok(())
}

/// Returns what is wrong with the outcome, if something is.
fn surprise(outcome: &Result<(), String>, expect: &str, parts: &str) -> Option<String> {
    let is_as_expected = match outcome {
        Ok(()) => expect == "ok",
        Err(error) => {
            let mut parts = parts.split(" && ").map(|part| part.replace("\\\\", "\\"));
            expect == "error" && parts.all(|part| error.contains(&part))
        }
    };
    (!is_as_expected).then(|| format!("expected {expect} {parts}, got {outcome:?}"))
}

#[test]
fn files_of_prometheus() {
    let Some(dir) = folder("config") else { return };
    let table = std::fs::read_to_string(dir.join("expected.tsv")).unwrap();
    let mut surprises = Vec::new();
    let mut rows = 0;
    for row in table.lines().skip(1) {
        let [file, mode, stage, expect, parts] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("a row with other columns: {row:?}");
        };
        rows += 1;
        let outcome = outcome(&dir, file, mode, stage);
        surprises.extend(surprise(&outcome, expect, parts).map(|what| format!("{file}: {what}")));
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(140 < rows, "only {rows} rows");
}

#[test]
fn files_of_the_operator() {
    let Some(dir) = folder("operator-config") else {
        return;
    };
    let table = std::fs::read_to_string(dir.join("expected.tsv")).unwrap();
    let mut surprises = Vec::new();
    for row in table.lines().skip(1) {
        let columns: Vec<_> = row.split('\t').collect();
        let (file, expect) = (columns[0], columns[1]);
        let parts = if expect == "error" { columns[2] } else { "" };
        let outcome = outcome(&dir, file, "server", "load");
        let is_gap = KNOWN_GAPS.iter().any(|(gap, _)| *gap == file);
        match surprise(&outcome, expect, parts) {
            Some(what) if !is_gap => surprises.push(format!("{file}: {what}")),
            None if is_gap => surprises.push(format!("{file}: holds now, drop it from KNOWN_GAPS")),
            _ => (),
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(200 < table.lines().count());
}

fn parsed(dir: &Path, file: &str) -> Config {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    Config::parse(&text, file, Mode::Server).unwrap()
}

#[test]
fn what_is_printed_is_what_was_read() {
    let Some(dir) = folder("config") else { return };
    let config = parsed(&dir, "roundtrip.good.yml");
    let printed = yaml::print(&config).unwrap();
    let again = Config::parse(&printed, "printed", Mode::Server).unwrap();
    assert_eq!(again, config);
}

#[test]
fn no_secret_is_printed() {
    let Some(dir) = folder("config") else { return };
    let printed = yaml::print(&parsed(&dir, "conf.good.yml")).unwrap();
    for secret in [
        "mysecret",
        "testAppSecret",
        "\"456\"",
        "abcdef",
        "11111111-1111-1111-1111-111111111111\n  - role",
        "hole",
    ] {
        let lines = printed.lines().filter(|line| line.contains(secret));
        let shown: Vec<_> = lines.filter(|line| !line.contains("username")).collect();
        assert!(shown.is_empty(), "{secret}: {shown:?}");
    }
    assert!(20 < printed.matches("<secret>").count());
}

#[test]
fn names_are_validated_and_escaped_as_inherited() {
    let Some(dir) = folder("config") else { return };
    use {EscapingScheme as E, ValidationScheme as V};
    for (file, validation, escaping) in [
        ("default_validation_mode", V::Utf8, E::AllowUtf8),
        ("global_validation_mode", V::Legacy, E::Dots),
        ("local_validation_mode", V::Legacy, E::Values),
        ("local_global_validation_mode", V::Utf8, E::Dots),
        ("local_infer_escaping", V::Legacy, E::Underscores),
    ] {
        let job = &parsed(&dir, &format!("scrape_config_{file}.yml")).scrape_configs[0];
        assert_eq!(
            job.metric_name_validation_scheme,
            Some(validation),
            "{file}"
        );
        assert_eq!(job.metric_name_escaping_scheme, Some(escaping), "{file}");
    }
}

#[test]
fn external_labels_are_expanded() {
    let Some(dir) = folder("config") else { return };
    let text = std::fs::read_to_string(dir.join("external_labels.good.yml")).unwrap();
    for value in ["", "TestValue"] {
        let mut config: Config = yaml::parse(&text).unwrap();
        let env = |name: &str| (name == "TEST").then(|| value.to_owned());
        config.global.finish(&env).unwrap();
        let expected: BTreeMap<String, String> = [
            ("bar", "foo".to_owned()),
            ("baz", format!("foo{value}bar")),
            ("foo", value.to_owned()),
            ("qux", "foo${TEST}".to_owned()),
            ("xyz", "foo$bar".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        assert_eq!(config.global.external_labels, expected);
    }
}
