//! Commands on rule files.

use super::{Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

pub(super) static ROWS: &[Row] = &[Row {
    tool: Tool::RulesBacktest,
    words: &["rules", "backtest"],
    about: "Show when the alerts of a rule file would have fired; nothing is written",
    flags: &[
        Flag::shown(
            "url",
            Kind::Text,
            "",
            "Hearth server to ask, such as http://localhost:9090; this or --data.",
        ),
        Flag::shown(
            "data",
            Kind::Text,
            "",
            "Data directory to read; nothing in it changes.",
        ),
        Flag::shown(
            "start",
            Kind::Text,
            "",
            "First evaluation of each group (RFC3339 or Unix timestamp).",
        ),
        Flag::shown(
            "end",
            Kind::Text,
            "",
            "No evaluation is after it (RFC3339 or Unix timestamp).",
        ),
        Flag::shown(
            "interval",
            Kind::Duration,
            "0s",
            "Time between evaluations of groups that do not say; with 0s that of the server, or a minute.",
        ),
        Flag::shown(
            "group",
            Kind::List,
            "",
            "Group to evaluate, all if none is named; may be repeated.",
        ),
        Flag::shown(
            "output",
            Kind::Word(&["table", "json"]),
            "table",
            "What is printed: a table for people, or the answer of the API.",
        ),
    ],
    letters: &[],
    args: &[Positional {
        name: "rule-file",
        default: None,
        repeats: false,
        help: "The rule file.",
    }],
}];
