//! Unit tests.

use super::{IGNORE_UNKNOWN_FIELDS, Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

const TEST_RULES_FLAGS: &[Flag] = &[
    Flag::shown(
        "junit",
        Kind::Text,
        "",
        "File to store the results in as JUnit XML.",
    ),
    Flag::shown(
        "run",
        Kind::List,
        "",
        "Run only test groups whose names match this regular expression; may be repeated.",
    ),
    IGNORE_UNKNOWN_FIELDS,
    Flag::hidden("debug", Kind::Bool, "false", "Accepted."),
    Flag::hidden("diff", Kind::Bool, "false", "Accepted."),
];

pub(super) static ROWS: &[Row] = &[Row {
    tool: Tool::TestRules,
    words: &["test", "rules"],
    about: "Unit tests for rules",
    flags: TEST_RULES_FLAGS,
    letters: &[],
    args: &[Positional {
        name: "test-rule-file",
        default: None,
        repeats: true,
        help: "The unit test files.",
    }],
}];
