//! amtool's commands.

use super::{Positional, Row, Tool};
use crate::cli::flag::{Flag, Kind};

const AM_CONFIG_FILE: Flag = Flag::shown(
    "config.file",
    Kind::Text,
    "",
    "Alertmanager's configuration file.",
);

/// The flags of all commands that ask a running Alertmanager, and those of one command.
macro_rules! online {
    ($($flag:expr),* $(,)?) => {
        &[
            Flag::shown(
                "alertmanager.url",
                Kind::Text,
                "http://localhost:9093/",
                "Alertmanager to talk to.",
            ),
            Flag::shown(
                "output",
                Kind::Word(&["simple", "extended", "json"]),
                "simple",
                "How the answer is shown.",
            ),
            Flag::shown(
                "timeout",
                Kind::Duration,
                "30s",
                "How long the command may wait for an answer.",
            ),
            Flag::shown(
                "http.config.file",
                Kind::Text,
                "",
                "File with how to speak HTTP: credentials, TLS, proxies.",
            ),
            Flag::hidden("version-check", Kind::Bool, "true", "Accepted."),
            $($flag,)*
        ]
    };
}

const OUTPUT: (&str, char) = ("output", 'o');

const ANNOTATION: Flag = Flag::shown(
    "annotation",
    Kind::List,
    "",
    "Annotation, as name=value; may be repeated.",
);

const fn only(name: &'static str, help: &'static str) -> Flag {
    Flag::shown(name, Kind::Bool, "false", help)
}

const fn time(name: &'static str, help: &'static str) -> Flag {
    Flag::shown(name, Kind::Text, "", help)
}

const fn words(name: &'static str, help: &'static str) -> Positional {
    Positional {
        name,
        default: Some(""),
        repeats: true,
        help,
    }
}

pub(super) static ROWS: &[Row] = &[
    Row {
        tool: Tool::AmAlertQuery,
        words: &["am", "alert", "query"],
        about: "Show alerts; without a flag the active ones",
        flags: online![
            only("active", "Show active alerts."),
            only("inhibited", "Show inhibited alerts."),
            only("silenced", "Show silenced alerts."),
            only("unprocessed", "Show unprocessed alerts."),
            Flag::shown(
                "receiver",
                Kind::Text,
                "",
                "Show alerts of receivers whose name matches this regular expression.",
            ),
        ],
        letters: &[
            OUTPUT,
            ("active", 'a'),
            ("inhibited", 'i'),
            ("silenced", 's'),
            ("unprocessed", 'u'),
            ("receiver", 'r'),
        ],
        args: &[words("matchers", "What alerts must match, as name=value.")],
    },
    Row {
        tool: Tool::AmAlertAdd,
        words: &["am", "alert", "add"],
        about: "Make an alert",
        flags: online![
            ANNOTATION,
            Flag::shown(
                "generator-url",
                Kind::Text,
                "",
                "Where its cause can be seen."
            ),
            time("start", "When it starts (RFC3339); now if nothing is said."),
            time(
                "end",
                "When it ends (RFC3339); after resolve_timeout if nothing is said."
            ),
        ],
        letters: &[OUTPUT],
        args: &[words(
            "labels",
            "Labels, as name=value; a first word alone is the alert's name.",
        )],
    },
    Row {
        tool: Tool::AmSilenceQuery,
        words: &["am", "silence", "query"],
        about: "Show silences",
        flags: online![
            only("expired", "Show expired silences instead of the others."),
            only("quiet", "Only show the ids."),
            Flag::shown(
                "created-by",
                Kind::Text,
                "",
                "Show silences of this author."
            ),
            Flag::shown("id", Kind::List, "", "Show this silence; may be repeated."),
        ],
        letters: &[OUTPUT, ("quiet", 'q')],
        args: &[words("matchers", "Matchers that silences must have.")],
    },
    Row {
        tool: Tool::AmSilenceAdd,
        words: &["am", "silence", "add"],
        about: "Make a silence and print its id",
        flags: online![
            Flag::shown(
                "author",
                Kind::Text,
                "",
                "Who makes it; the user if nothing is said."
            ),
            Flag::shown("comment", Kind::Text, "", "Why."),
            Flag::shown(
                "require-comment",
                Kind::Bool,
                "true",
                "Refuse to go without a comment."
            ),
            Flag::shown("duration", Kind::Duration, "1h", "How long it lasts."),
            time("start", "When it starts (RFC3339); now if nothing is said."),
            time("end", "When it ends (RFC3339), in place of its duration."),
            ANNOTATION,
        ],
        letters: &[OUTPUT, ("author", 'a'), ("comment", 'c'), ("duration", 'd')],
        args: &[words(
            "matchers",
            "What alerts must match; a first word alone is the alert's name.",
        )],
    },
    Row {
        tool: Tool::AmSilenceUpdate,
        words: &["am", "silence", "update"],
        about: "Change silences",
        flags: online![
            only("quiet", "Only show the ids."),
            Flag::shown(
                "duration",
                Kind::Duration,
                "",
                "How long they last from their start on."
            ),
            time("start", "When they start (RFC3339)."),
            time("end", "When they end (RFC3339), in place of the duration."),
            Flag::shown("comment", Kind::Text, "", "Why."),
        ],
        letters: &[OUTPUT, ("quiet", 'q'), ("duration", 'd'), ("comment", 'c')],
        args: &[words("update-ids", "The ids of the silences.")],
    },
    Row {
        tool: Tool::AmSilenceImport,
        words: &["am", "silence", "import"],
        about: "Make the silences of a file that `am silence query -o json` wrote, or of standard input",
        flags: online![
            only(
                "force",
                "Make new silences also of those that exist already."
            ),
            Flag::hidden(
                "worker",
                Kind::Integer,
                "8",
                "Accepted; silences are made one after the other."
            ),
        ],
        letters: &[OUTPUT, ("force", 'f'), ("worker", 'w')],
        args: &[Positional {
            name: "input-file",
            default: Some(""),
            repeats: false,
            help: "The file; standard input without one.",
        }],
    },
    Row {
        tool: Tool::AmSilenceExpire,
        words: &["am", "silence", "expire"],
        about: "End silences",
        flags: online![],
        letters: &[OUTPUT],
        args: &[words("silence-ids", "The ids of the silences.")],
    },
    Row {
        tool: Tool::AmClusterShow,
        words: &["am", "cluster", "show"],
        about: "Show the members of the cluster",
        flags: online![],
        letters: &[OUTPUT],
        args: &[],
    },
    Row {
        tool: Tool::AmTemplateRender,
        words: &["am", "template", "render"],
        about: "Render a template; without data of one's own, of two alerts that are made up",
        flags: &[
            Flag::shown(
                "template.glob",
                Kind::List,
                "",
                "Files of templates besides the shipped ones; may be repeated.",
            ),
            Flag::shown("template.text", Kind::Text, "", "The template to render."),
            Flag::shown(
                "template.type",
                Kind::Word(&["text", "html"]),
                "text",
                "Whether markup is escaped.",
            ),
            Flag::shown(
                "template.data",
                Kind::Text,
                "",
                "File with the data of a notification as JSON.",
            ),
        ],
        letters: &[],
        args: &[],
    },
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
        tool: Tool::AmConfigShow,
        words: &["am", "config", "show"],
        about: "Show the configuration in force",
        flags: online![],
        letters: &[OUTPUT],
        args: &[],
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
