//! Our own scripts, in `tests/scripts`.

use std::fs;

use promql::script;

#[test]
fn all_pass() {
    let mut failures = Vec::new();
    let mut passed = 0;
    for entry in fs::read_dir("tests/scripts").expect("the directory is part of the crate") {
        let path = entry.expect("the directory can be listed").path();
        let text = fs::read_to_string(&path).expect("the file was listed");
        let outcomes = script::run(&text, &script::engine())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for outcome in outcomes {
            match outcome.result {
                Ok(()) => passed += 1,
                Err(why) => failures.push(format!(
                    "{}:{}: {why}: {}",
                    path.display(),
                    outcome.line,
                    outcome.query
                )),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(0 < passed);
}
