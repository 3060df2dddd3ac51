//! Checks of files.

use super::{IGNORE_UNKNOWN_FIELDS, Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

const LINT_FATAL: Flag = Flag::shown(
    "lint-fatal",
    Kind::Bool,
    "false",
    "Exit with code 3 when linting finds something.",
);

const LOOKBACK: Flag = Flag::shown(
    "query.lookback-delta",
    Kind::Duration,
    "5m",
    "The server's lookback; a longer scrape interval is too long.",
);

const CHECK_CONFIG_FLAGS: &[Flag] = &[
    Flag::shown(
        "syntax-only",
        Kind::Bool,
        "false",
        "Only check the syntax of the file, and look at no other that it names.",
    ),
    Flag::shown(
        "lint",
        Kind::Text,
        "duplicate-rules",
        "What is linted, separated by commas: all, duplicate-rules, none, too-long-scrape-interval.",
    ),
    LINT_FATAL,
    IGNORE_UNKNOWN_FIELDS,
    Flag::shown(
        "agent",
        Kind::Bool,
        "false",
        "Check the file as one of agent mode.",
    ),
    LOOKBACK,
];

const CHECK_RULES_FLAGS: &[Flag] = &[
    Flag::shown(
        "lint",
        Kind::Text,
        "duplicate-rules",
        "What is linted, separated by commas: all, duplicate-rules, none.",
    ),
    LINT_FATAL,
    IGNORE_UNKNOWN_FIELDS,
    LOOKBACK,
];

pub(super) static ROWS: &[Row] = &[
    Row {
        tool: Tool::CheckConfig,
        words: &["check", "config"],
        about: "Check if the config files are valid or not",
        flags: CHECK_CONFIG_FLAGS,
        letters: &[],
        args: &[Positional {
            name: "config-files",
            default: None,
            repeats: true,
            help: "The config files to check.",
        }],
    },
    Row {
        tool: Tool::CheckRules,
        words: &["check", "rules"],
        about: "Check if the rule files are valid or not",
        flags: CHECK_RULES_FLAGS,
        letters: &[],
        args: &[Positional {
            name: "rule-files",
            default: Some(""),
            repeats: true,
            help: "The rule files to check; standard input if there are none.",
        }],
    },
    Row {
        tool: Tool::CheckServiceDiscovery,
        words: &["check", "service-discovery"],
        about: "Perform service discovery for the given job name and report the results, including relabeling",
        flags: &[Flag::shown(
            "timeout",
            Kind::Duration,
            "30s",
            "How long to wait for what is discovered.",
        )],
        letters: &[],
        args: &[
            Positional {
                name: "config-file",
                default: None,
                repeats: false,
                help: "The configuration file.",
            },
            Positional {
                name: "job",
                default: None,
                repeats: false,
                help: "The job whose targets to find.",
            },
        ],
    },
    Row {
        tool: Tool::CheckWebConfig,
        words: &["check", "web-config"],
        about: "Check if the web config files are valid or not",
        flags: &[],
        letters: &[],
        args: &[Positional {
            name: "web-config-files",
            default: None,
            repeats: true,
            help: "The config files to check.",
        }],
    },
    Row {
        tool: Tool::CheckMetrics,
        words: &["check", "metrics"],
        about: "Check metrics in the text format on standard input for consistency and correctness",
        flags: &[
            Flag::shown(
                "extended",
                Kind::Bool,
                "false",
                "Print extended information related to the cardinality of the metrics.",
            ),
            Flag::shown(
                "lint",
                Kind::Word(&["all", "none"]),
                "all",
                "Linting checks to apply; exits with 3 when one of them fails.",
            ),
        ],
        letters: &[],
        args: &[],
    },
];
