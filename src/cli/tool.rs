//! `hearth tool`: promtool's commands and some of amtool's, one row each with their flags.

use clap::{Arg, ArgMatches, Command};

use crate::server::settings::promql_features;

use super::flag::{Flag, Kind, Values, add_flags};

/// A command of `hearth tool` as it was typed; the values have been checked.
pub(crate) struct ToolCall {
    /// Which command.
    pub(crate) tool: Tool,
    /// Its flags.
    pub(crate) flags: Values,
    /// The features that `--enable-feature` names.
    features: Vec<String>,
    /// Its other arguments, those left out with their defaults. One that may be repeated is the last.
    pub(crate) args: Vec<String>,
}

impl ToolCall {
    /// Returns the features of PromQL that are on.
    pub(crate) fn promql_features(&self) -> promql::Features {
        let names: Vec<&str> = self.features.iter().map(String::as_str).collect();
        promql_features(&names)
    }
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `check config`
    CheckConfig,
    /// `check rules`
    CheckRules,
    /// `am check-config`
    AmCheckConfig,
    /// `am config routes show`
    AmRoutesShow,
    /// `am config routes test`
    AmRoutesTest,
    /// `check service-discovery`
    CheckServiceDiscovery,
    /// `check web-config`
    CheckWebConfig,
    /// `tsdb list`
    List,
    /// `tsdb analyze`
    Analyze,
    /// `tsdb dump`
    Dump,
    /// `tsdb dump-openmetrics`
    DumpOpenMetrics,
    /// `tsdb verify`
    Verify,
    /// `tsdb create-blocks-from openmetrics`
    CreateBlocks,
    /// `check metrics`
    CheckMetrics,
    /// `test rules`
    TestRules,
    /// `promql test`
    PromqlTest,
    /// `promql format`
    PromqlFormat,
    /// `promql explain`
    PromqlExplain,
    /// `promql parse`
    PromqlParse,
    /// `promql label-matchers set`
    PromqlSet,
    /// `promql label-matchers delete`
    PromqlDelete,
}

/// A command: its words, what it takes, and a sentence.
pub(crate) struct Row {
    tool: Tool,
    /// The words after `hearth tool`.
    pub(crate) words: &'static [&'static str],
    about: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// Flags with a letter.
    letters: &'static [(&'static str, char)],
    args: &'static [Positional],
}

/// An argument without a name.
struct Positional {
    name: &'static str,
    /// When it is not given; without a default it must be.
    default: Option<&'static str>,
    /// Whether there may be several.
    repeats: bool,
    help: &'static str,
}

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

const LINT_FATAL: Flag = Flag::shown(
    "lint-fatal",
    Kind::Bool,
    "false",
    "Exit with code 3 when linting finds something.",
);

const IGNORE_UNKNOWN_FIELDS: Flag = Flag::shown(
    "ignore-unknown-fields",
    Kind::Bool,
    "false",
    "Ignore unknown fields in rule files; the server does not.",
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

const QUERY: Positional = Positional {
    name: "query",
    default: None,
    repeats: false,
    help: "PromQL query.",
};

const AM_CONFIG_FILE: Flag = Flag::shown(
    "config.file",
    Kind::Text,
    "",
    "Alertmanager's configuration file.",
);

/// Flags that promtool takes with every command.
const COMMON: &[Flag] = &[
    Flag::hidden(
        "experimental",
        Kind::Bool,
        "false",
        "Accepted; no command needs it.",
    ),
    Flag::hidden(
        "enable-feature",
        Kind::List,
        "",
        "What of PromQL rule files may use besides what is stable, separated by commas; everywhere else all of it is on.",
    ),
];

/// All commands; those that begin with the same word stand together.
pub(crate) static ROWS: &[Row] = &[
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
    Row {
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
    },
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

impl Row {
    fn command(&self, name: &'static str) -> Command {
        let mut command = add_flags(Command::new(name).about(self.about), self.flags);
        for &(flag, letter) in self.letters {
            command = command.mut_arg(flag, |arg| arg.short(letter));
        }
        for (index, positional) in (1..).zip(self.args) {
            let arg = Arg::new(positional.name)
                .help(positional.help)
                .index(index)
                .num_args(1..=if positional.repeats { usize::MAX } else { 1 })
                .required(positional.default.is_none());
            command = command.arg(match positional.default {
                Some(default) if !default.is_empty() => arg.default_value(default),
                _ => arg,
            });
        }
        command
    }

    fn call(&self, matches: &ArgMatches) -> ToolCall {
        let arg = |positional: &Positional| -> Vec<String> {
            match matches.get_many::<String>(positional.name) {
                Some(given) => given.cloned().collect(),
                None if positional.repeats => Vec::new(),
                None => vec![String::new()],
            }
        };
        ToolCall {
            tool: self.tool,
            flags: Values::of(self.flags, matches),
            features: Values::of(COMMON, matches)
                .list("enable-feature")
                .iter()
                .flat_map(|names| names.split(','))
                .map(str::to_owned)
                .collect(),
            args: self.args.iter().flat_map(arg).collect(),
        }
    }
}

/// Returns the command `name` with all commands of [`ROWS`] below it.
pub(crate) fn command(name: &'static str) -> Command {
    let command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Works on data directories, files and expressions, as promtool does");
    let command = add_flags(command, COMMON).mut_args(|arg| arg.global(true));
    with_rows(command, &ROWS.iter().collect::<Vec<_>>(), 0)
}

/// Adds `rows`, which agree in their first `depth` words.
fn with_rows(command: Command, rows: &[&Row], depth: usize) -> Command {
    let mut command = command.subcommand_required(true);
    for group in rows.chunk_by(|a, b| a.words[depth] == b.words[depth]) {
        let name = group[0].words[depth];
        let is_leaf = group.len() == 1 && group[0].words.len() == depth + 1;
        command = command.subcommand(if is_leaf {
            group[0].command(name)
        } else {
            with_rows(Command::new(name).about(about(name)), group, depth + 1)
        });
    }
    command
}

fn about(word: &str) -> &'static str {
    match word {
        "tsdb" => "Works on data directories",
        "test" => "Runs unit tests",
        "check" => "Checks the resources for validity",
        "am" => "Works on Alertmanager's configuration files, as amtool does",
        "config" => "Looks into a configuration file",
        "routes" => "Works on the routing tree",
        "promql" => "Works on PromQL expressions and test scripts",
        "label-matchers" => "Edits the label matchers of a query",
        _ => "Imports samples and makes blocks of them",
    }
}

/// Returns what was typed after [`command`].
pub(crate) fn call(matches: &ArgMatches) -> ToolCall {
    let (mut matches, mut words) = (matches, Vec::new());
    while let Some((word, below)) = matches.subcommand() {
        words.push(word);
        matches = below;
    }
    let row = ROWS.iter().find(|row| row.words == words);
    row.expect("clap requires the words of a row").call(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<ToolCall, clap::Error> {
        let matches = command("tool").try_get_matches_from([&["tool", "tsdb"], words].concat())?;
        Ok(call(&matches))
    }

    #[test]
    fn promtool_command_lines_are_taken() {
        let list = parse(&["list", "-r"]).unwrap();
        assert_eq!((list.tool, &*list.args[0]), (Tool::List, "data/"));
        assert!(list.flags.is_on("human-readable"));
        let analyze = parse(&["analyze", "--limit=3", "--extended", "d", "X"]).unwrap();
        assert_eq!(analyze.args, ["d", "X"]);
        assert_eq!(analyze.flags.integer("limit"), 3);
        let dump = parse(&["dump", "--min-time=-5", "--max-time", "-1", "d"]).unwrap();
        assert_eq!(dump.flags.signed("min-time"), -5);
        assert_eq!(dump.flags.signed("max-time"), -1);
        assert_eq!(dump.flags.list("match"), ["{__name__=~'(?s:.*)'}"]);
        let words = [
            "create-blocks-from",
            "openmetrics",
            "-q",
            "--label",
            "a=b",
            "in",
        ];
        let create = parse(&words).unwrap();
        assert_eq!(create.args, ["in", "data/"]);
        assert_eq!(create.flags.list("label"), ["a=b"]);
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for words in [
            &[][..],
            &["list", "--bad"],
            &["dump", "--min-time=x"],
            &["dump", "--format=xml"],
            &["create-blocks-from", "openmetrics"],
            &["create-blocks-from", "rules"],
        ] {
            assert_eq!(parse(words).err().unwrap().exit_code(), 2, "{words:?}");
        }
    }

    #[test]
    fn every_flag_has_a_sentence() {
        for flag in ROWS.iter().flat_map(|row| row.flags) {
            assert!(flag.help.ends_with('.'), "{}", flag.name);
        }
    }
}
