//! Commands on expressions and test scripts.

use super::{Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

const QUERY: Positional = Positional {
    name: "query",
    default: None,
    repeats: false,
    help: "PromQL query.",
};

pub(super) static ROWS: &[Row] = &[
    Row {
        tool: Tool::PromqlTest,
        words: &["promql", "test"],
        about: "Run PromQL test scripts; exits with 1 when something failed",
        flags: &[Flag::shown(
            "verbose",
            Kind::Bool,
            "false",
            "Show each failure: where, what is expected, and what came.",
        )],
        letters: &[],
        args: &[Positional {
            name: "path",
            default: None,
            repeats: true,
            help: "Script, or directory whose files with the ending .test are run.",
        }],
    },
    Row {
        tool: Tool::PromqlFormat,
        words: &["promql", "format"],
        about: "Format PromQL query to pretty printed form",
        flags: &[],
        letters: &[],
        args: &[QUERY],
    },
    Row {
        tool: Tool::PromqlExplain,
        words: &["promql", "explain"],
        about: "Run a query on a server and show its plan, with what each operator did",
        flags: &[
            Flag::shown(
                "time",
                Kind::Text,
                "",
                "Evaluation time of an instant query (RFC3339 or Unix timestamp); now if nothing is said.",
            ),
            Flag::shown(
                "start",
                Kind::Text,
                "",
                "Start of a range query (RFC3339 or Unix timestamp).",
            ),
            Flag::shown(
                "end",
                Kind::Text,
                "",
                "End of a range query (RFC3339 or Unix timestamp).",
            ),
            Flag::shown("step", Kind::Text, "", "Step of a range query (duration)."),
        ],
        letters: &[],
        args: &[
            Positional {
                name: "server",
                default: None,
                repeats: false,
                help: "Hearth server to query, such as http://localhost:9090.",
            },
            QUERY,
        ],
    },
    Row {
        tool: Tool::PromqlParse,
        words: &["promql", "parse"],
        about: "Print the tree of a PromQL query as JSON, as /api/v1/parse_query does",
        flags: &[],
        letters: &[],
        args: &[QUERY],
    },
    Row {
        tool: Tool::PromqlSet,
        words: &["promql", "label-matchers", "set"],
        about: "Set a label matcher in the query",
        flags: &[Flag::shown(
            "type",
            Kind::Word(&["=", "!=", "=~", "!~"]),
            "=",
            "Type of the label matcher to set.",
        )],
        letters: &[("type", 't')],
        args: &[
            QUERY,
            Positional {
                name: "name",
                default: None,
                repeats: false,
                help: "Name of the label matcher to set.",
            },
            Positional {
                name: "value",
                default: None,
                repeats: false,
                help: "Value of the label matcher to set.",
            },
        ],
    },
    Row {
        tool: Tool::PromqlDelete,
        words: &["promql", "label-matchers", "delete"],
        about: "Delete a label from the query",
        flags: &[],
        letters: &[],
        args: &[
            QUERY,
            Positional {
                name: "name",
                default: None,
                repeats: false,
                help: "Name of the label to delete.",
            },
        ],
    },
];
