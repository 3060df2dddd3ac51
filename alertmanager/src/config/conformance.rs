//! Configuration files against what Alertmanager made of them (`alertmanager/` of the conformance data).

use serde_json::Value;

use super::AlertmanagerConfig;
use crate::rule::testing::conformance;

/// Files with another outcome or message, with the reason. A file that agrees must leave this list.
const KNOWN_GAPS: &[(&str, &str)] = &[
    (
        "inline/TestRouteLabelsInvalidLabelName-1.yml",
        "routes have labels since 0.34: another error",
    ),
    (
        "inline/TestRouteLabelsValidLabelName-1.yml",
        "routes have labels since 0.34: it loads",
    ),
    (
        "upstream/example-route_labels.yml",
        "routes have labels since 0.34: it loads",
    ),
    (
        "upstream/cli-conf.bad.yml",
        "what is no YAML mapping is said in the words of our YAML library",
    ),
];

#[test]
fn files_load_or_fail_as_in_alertmanager() {
    let Some(directory) = conformance("alertmanager") else {
        return;
    };
    let expected = std::fs::read_to_string(directory.join("expected.tsv")).unwrap();
    let mut surprises = Vec::new();
    for line in expected.lines().skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let text = std::fs::read_to_string(directory.join(columns[0])).unwrap();
        let is_gap = KNOWN_GAPS.iter().any(|(file, _)| *file == columns[0]);
        let outcome = match (AlertmanagerConfig::parse(&text), columns[1]) {
            (Ok(_), "ok") => Ok(()),
            (Ok(_), _) => Err(format!("loads, not {}", columns[5])),
            (Err(error), "error") if error.message.starts_with(columns[5]) => Ok(()),
            (Err(error), _) => Err(format!("{error}, not {}", columns[5])),
        };
        match (outcome, is_gap) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => surprises.push(format!("{}: drop it from KNOWN_GAPS", columns[0])),
            (Err(why), false) => surprises.push(format!("{}: {why}", columns[0])),
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// Files that are printed otherwise, with the reason.
const PRINT_GAPS: &[(&str, &str)] = &[(
    "upstream/conf.smtp-password-global-and-local.yml",
    "an auth_secret of one's own leaves no place for the global auth_secret_file",
)];

#[test]
fn files_are_printed_as_in_alertmanager() {
    let Some(directory) = conformance("alertmanager") else {
        return;
    };
    let expected = std::fs::read_to_string(directory.join("expected.tsv")).unwrap();
    let mut surprises = Vec::new();
    let mut compared = 0;
    for line in expected.lines().skip(1) {
        let file = line.split('\t').next().unwrap();
        let Ok(normalized) = std::fs::read_to_string(directory.join("normalized").join(file))
        else {
            continue;
        };
        compared += 1;
        let text = std::fs::read_to_string(directory.join(file)).unwrap();
        let value = |text: &str| crate::yaml::from_str::<Value>(text).unwrap();
        let is_gap = PRINT_GAPS.iter().any(|(gap, _)| *gap == file);
        let Ok(config) = AlertmanagerConfig::parse(&text) else {
            surprises.push(format!("{file}: does not load"));
            continue;
        };
        let (found, expected) = (value(&config.original), value(&normalized));
        if (found == expected) == is_gap {
            surprises.push(format!("{file}: {}", difference(&found, &expected, "")));
        }
    }
    assert!(100 < compared, "{compared}");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// Says where two values first differ.
fn difference(found: &Value, expected: &Value, at: &str) -> String {
    match (found, expected) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            for key in keys {
                let (x, y) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                if x != y {
                    return difference(x, y, &format!("{at}.{key}"));
                }
            }
            "equal".to_owned()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs
                .find(|(_, (x, y))| x != y)
                .map_or_else(String::new, |(i, (x, y))| {
                    difference(x, y, &format!("{at}[{i}]"))
                })
        }
        _ => format!("{at}: {found}, not {expected}"),
    }
}
