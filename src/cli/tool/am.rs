//! amtool's commands.

use super::{Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

const AM_CONFIG_FILE: Flag = Flag::shown(
    "config.file",
    Kind::Text,
    "",
    "Alertmanager's configuration file.",
);

pub(super) static ROWS: &[Row] = &[
    Row {
        tool: Tool::AmCheckConfig,
        words: &["am", "check-config"],
        about: "Validate alertmanager config files",
        flags: &[],
        letters: &[],
        args: &[Positional {
            name: "check-files",
            default: None,
            repeats: true,
            help: "Files to be validated.",
        }],
    },
    Row {
        tool: Tool::AmRoutesShow,
        words: &["am", "config", "routes", "show"],
        about: "Print the routing tree",
        flags: &[AM_CONFIG_FILE],
        letters: &[],
        args: &[],
    },
    Row {
        tool: Tool::AmRoutesTest,
        words: &["am", "config", "routes", "test"],
        about: "Print the receivers of an alert; exits with 1 when they are not those of --verify.receivers",
        flags: &[
            AM_CONFIG_FILE,
            Flag::shown(
                "verify.receivers",
                Kind::Text,
                "",
                "The receivers that are right, in order, separated by commas.",
            ),
            Flag::shown(
                "tree",
                Kind::Bool,
                "false",
                "Print the matching routes as a tree.",
            ),
        ],
        letters: &[],
        args: &[Positional {
            name: "labels",
            default: Some(""),
            repeats: true,
            help: "Labels of the alert, as name=value.",
        }],
    },
];
