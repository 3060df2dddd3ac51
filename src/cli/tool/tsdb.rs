//! Commands on data directories.

use super::{Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

const DB: Positional = Positional {
    name: "db path",
    default: Some("data/"),
    repeats: false,
    help: "Database path.",
};

const HUMAN_READABLE: Flag = Flag::shown(
    "human-readable",
    Kind::Bool,
    "false",
    "Print human readable values.",
);

const DUMP_FLAGS: &[Flag] = &[
    MIN_TIME,
    MAX_TIME,
    MATCH,
    SANDBOX_DIR_ROOT,
    Flag::shown(
        "format",
        Kind::Word(&["prom", "seriesjson"]),
        "prom",
        "What is printed: samples, or the labels of each series as JSON.",
    ),
];

const DUMP_OPEN_METRICS_FLAGS: &[Flag] = &[MIN_TIME, MAX_TIME, MATCH, SANDBOX_DIR_ROOT];

const MIN_TIME: Flag = Flag::shown(
    "min-time",
    Kind::Signed,
    "-9223372036854775808",
    "Minimum timestamp to dump, in milliseconds since the Unix epoch.",
);

const MAX_TIME: Flag = Flag::shown(
    "max-time",
    Kind::Signed,
    "9223372036854775807",
    "Maximum timestamp to dump, in milliseconds since the Unix epoch.",
);

const MATCH: Flag = Flag::shown(
    "match",
    Kind::List,
    "{__name__=~'(?s:.*)'}",
    "Series selector; may be repeated, and a series is taken that passes one of them.",
);

const SANDBOX_DIR_ROOT: Flag = Flag::hidden(
    "sandbox-dir-root",
    Kind::Text,
    "",
    "Accepted; what the replay of the log writes stays in memory.",
);

pub(super) static ROWS: &[Row] = &[
    Row {
        tool: Tool::List,
        words: &["tsdb", "list"],
        about: "List TSDB blocks",
        flags: &[HUMAN_READABLE],
        letters: &[("human-readable", 'r')],
        args: &[DB],
    },
    Row {
        tool: Tool::Analyze,
        words: &["tsdb", "analyze"],
        about: "Analyze churn, label pair cardinality and compaction efficiency of a block",
        flags: &[
            Flag::shown(
                "limit",
                Kind::Integer,
                "20",
                "How many items to show in each list.",
            ),
            Flag::shown("extended", Kind::Bool, "false", "Run extended analysis."),
            Flag::shown(
                "match",
                Kind::Text,
                "",
                "Series selector to analyze; one only.",
            ),
        ],
        letters: &[],
        args: &[
            DB,
            Positional {
                name: "block id",
                default: Some(""),
                repeats: false,
                help: "Block to analyze [default: the newest].",
            },
        ],
    },
    Row {
        tool: Tool::Dump,
        words: &["tsdb", "dump"],
        about: "Dump samples of blocks and head; nothing in the directory changes",
        flags: DUMP_FLAGS,
        letters: &[],
        args: &[DB],
    },
    Row {
        tool: Tool::DumpOpenMetrics,
        words: &["tsdb", "dump-openmetrics"],
        about: "Dump samples as OpenMetrics text, without native histograms, which it cannot hold",
        flags: DUMP_OPEN_METRICS_FLAGS,
        letters: &[],
        args: &[DB],
    },
    Row {
        tool: Tool::Verify,
        words: &["tsdb", "verify"],
        about: "Verify every checksum and invariant; exits with 1 when something is wrong. Nothing changes",
        flags: &[],
        letters: &[],
        args: &[DB],
    },
    Row {
        tool: Tool::CreateBlocks,
        words: &["tsdb", "create-blocks-from", "openmetrics"],
        about: "Import samples from OpenMetrics text as blocks",
        flags: &[
            HUMAN_READABLE,
            Flag::shown("quiet", Kind::Bool, "false", "Do not print created blocks."),
            Flag::shown(
                "label",
                Kind::List,
                "",
                "Label to attach to all series, as name=value; may be repeated.",
            ),
            Flag::hidden(
                "max-block-duration",
                Kind::Duration,
                "2h",
                "Longest time that a block covers; the largest of 2h, 6h, 18h, 54h, ... that is not longer is used.",
            ),
        ],
        letters: &[("human-readable", 'r'), ("quiet", 'q')],
        args: &[
            Positional {
                name: "input file",
                default: None,
                repeats: false,
                help: "OpenMetrics file to read samples from.",
            },
            Positional {
                name: "output directory",
                default: Some("data/"),
                repeats: false,
                help: "Output directory for generated blocks.",
            },
        ],
    },
    Row {
        tool: Tool::CreateBlocksFromRules,
        words: &["tsdb", "create-blocks-from", "rules"],
        about: "Make blocks of what recording rules would have recorded",
        flags: &[
            Flag::shown(
                "http.config.file",
                Kind::Text,
                "",
                "HTTP client configuration file for the connection to the server.",
            ),
            Flag::shown(
                "url",
                Kind::Text,
                "http://localhost:9090",
                "The URL of the server that has the data.",
            ),
            Flag::shown(
                "start",
                Kind::Text,
                "",
                "The time to start from (RFC3339 or Unix timestamp); required.",
            ),
            Flag::shown(
                "end",
                Kind::Text,
                "",
                "The time to end at (RFC3339 or Unix timestamp); 3 hours ago if nothing is said.",
            ),
            Flag::shown(
                "output-dir",
                Kind::Text,
                "data/",
                "Output directory for generated blocks.",
            ),
            Flag::shown(
                "eval-interval",
                Kind::Duration,
                "60s",
                "How frequently rules are evaluated where the rule files do not say.",
            ),
        ],
        letters: &[],
        args: &[Positional {
            name: "rule-files",
            default: None,
            repeats: true,
            help: "Files with recording rules; alerting rules in them are not evaluated.",
        }],
    },
];
