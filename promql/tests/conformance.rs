//! Prometheus' own PromQL scripts, where they are at hand.
//!
//! What does not pass yet is in `known_gaps.txt`, one case per line: id, tab, reason. A case that starts to pass must
//! leave the list. `HEARTH_GAPS=print` prints all failing cases in that form instead of failing.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use promql::script;

const KNOWN_GAPS: &str = include_str!("known_gaps.txt");

fn scripts() -> Option<Vec<PathBuf>> {
    let dir = std::env::var("HEARTH_CONFORMANCE_DIR")
        .unwrap_or_else(|_| "../../shared/conformance".to_owned());
    let entries = fs::read_dir(format!("{dir}/promql")).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut scripts: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "test")
        })
        .collect();
    scripts.sort();
    Some(scripts)
}

#[test]
fn promql_conformance() {
    let Some(scripts) = scripts() else {
        println!("skipped: no conformance data at hand");
        return;
    };
    let mut gaps: BTreeMap<&str, &str> = KNOWN_GAPS
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let print = std::env::var("HEARTH_GAPS").is_ok();
    let mut surprises = Vec::new();
    let (mut passed_all, mut total) = (0, 0);
    for path in scripts {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("the file was listed");
        let outcomes = match script::run(&text, &script::engine()) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                surprises.push(format!("{name}: {error}"));
                continue;
            }
        };
        let passed = outcomes
            .iter()
            .filter(|outcome| outcome.result.is_ok())
            .count();
        println!("{name}: {passed} of {}", outcomes.len());
        (passed_all, total) = (passed_all + passed, total + outcomes.len());
        for outcome in outcomes {
            let id = format!("{name}:{}", outcome.line);
            match (&outcome.result, gaps.remove(id.as_str())) {
                (Ok(()), None) | (Err(_), Some(_)) if !print => (),
                (Ok(()), Some(_)) => {
                    surprises.push(format!("{id}: passes now, drop it from known_gaps.txt"))
                }
                (Err(why), _) => surprises.push(format!("{id}\t{why}\t{}", outcome.query)),
                _ => (),
            }
        }
    }
    println!("{passed_all} of {total}");
    surprises.extend(
        gaps.keys()
            .map(|id| format!("{id}: no such case, drop it from known_gaps.txt")),
    );
    assert!(surprises.is_empty() || print, "{}", surprises.join("\n"));
    if print {
        println!("{}", surprises.join("\n"));
    }
}
