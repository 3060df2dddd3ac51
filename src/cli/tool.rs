//! `hearth tool`: promtool's commands and some of amtool's, one row each with their flags.

mod am;
mod check;
mod promql;
mod rules;
mod test;
mod tsdb;

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command};

use crate::server::settings::promql_features;

use super::flag::{Flag, Kind, Values, add_flags};

/// A command of `hearth tool` as it was typed; the values have been checked.
#[derive(Clone)]
pub(crate) struct ToolCall {
    /// Which command.
    pub(crate) tool: Tool,
    /// Its flags.
    pub(crate) flags: Values,
    /// The features that `--enable-feature` names.
    pub(crate) features: Vec<String>,
    /// Its other arguments, those left out with their defaults. One that may be repeated is the last.
    pub(crate) args: Vec<String>,
}

impl ToolCall {
    /// Returns whether it is one of amtool's commands.
    pub(crate) fn is_am(&self) -> bool {
        self.row().words[0] == "am"
    }

    /// Gives a flag a value from elsewhere, unless it is on the command line; a command without the flag stays as it is.
    ///
    /// # Errors
    ///
    /// When the flag takes no such value.
    pub(crate) fn set_default(&mut self, name: &str, value: String) -> Result<(), String> {
        self.flags.set_default(self.row().flags, name, value)
    }

    fn row(&self) -> &'static Row {
        let row = rows().find(|row| row.tool == self.tool);
        row.expect("a call is made of a row")
    }

    /// Returns the features of PromQL that are on.
    pub(crate) fn promql_features(&self) -> ::promql::Features {
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
    /// `am alert query`
    AmAlertQuery,
    /// `am alert add`
    AmAlertAdd,
    /// `am silence query`
    AmSilenceQuery,
    /// `am silence add`
    AmSilenceAdd,
    /// `am silence update`
    AmSilenceUpdate,
    /// `am silence import`
    AmSilenceImport,
    /// `am silence expire`
    AmSilenceExpire,
    /// `am config show`
    AmConfigShow,
    /// `am cluster show`
    AmClusterShow,
    /// `am template render`
    AmTemplateRender,
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
    /// `tsdb create-blocks-from rules`
    CreateBlocksFromRules,
    /// `check metrics`
    CheckMetrics,
    /// `test rules`
    TestRules,
    /// `rules backtest`
    RulesBacktest,
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

const IGNORE_UNKNOWN_FIELDS: Flag = Flag::shown(
    "ignore-unknown-fields",
    Kind::Bool,
    "false",
    "Ignore unknown fields in rule files; the server does not.",
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

/// The commands by their first word.
static FAMILIES: &[&[Row]] = &[
    tsdb::ROWS,
    check::ROWS,
    am::ROWS,
    test::ROWS,
    rules::ROWS,
    promql::ROWS,
];

/// Returns all commands; those that begin with the same word stand together.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().copied().flatten()
}

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

/// Returns the command `name` with all commands of [`rows`] below it.
pub(crate) fn command(name: &'static str) -> Command {
    let command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Works on data directories, files and expressions, as promtool does");
    let command = add_flags(command, COMMON).mut_args(|arg| arg.global(true));
    with_rows(command, &rows().collect::<Vec<_>>(), 0)
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
        "rules" => "Works on rule files",
        "check" => "Checks the resources for validity",
        "am" => {
            "Works on Alertmanager's configuration files and asks a running one, as amtool does"
        }
        "alert" => "Shows alerts and makes them",
        "silence" => "Shows silences, makes, changes and ends them",
        "cluster" => "Looks at the cluster",
        "template" => "Tries templates",
        "config" => "Looks into a configuration file",
        "routes" => "Works on the routing tree",
        "promql" => "Works on PromQL expressions and test scripts",
        "label-matchers" => "Edits the label matchers of a query",
        _ => "Imports samples and makes blocks of them",
    }
}

/// Puts in the last word of a command where it may be left out, as amtool has it: `am alert` is `am alert query`.
///
/// * `from`: where in `args` the words after `hearth tool` begin.
pub(crate) fn insert_default(args: &mut Vec<OsString>, from: usize) {
    let meant = [
        (&["am", "config", "routes"][..], "show"),
        (&["am", "config"], "show"),
        (&["am", "cluster"], "show"),
        (&["am", "alert"], "query"),
        (&["am", "silence"], "query"),
    ];
    let words = args.get(from..).unwrap_or_default();
    let begins = |start: &[&str]| {
        let typed = words.get(..start.len());
        typed.is_some_and(|typed| typed.iter().zip(start).all(|(a, b)| a == b))
    };
    let Some((start, word)) = meant.iter().find(|(start, _)| begins(start)) else {
        return;
    };
    let is_known = words.get(start.len()).is_some_and(|next| {
        let below = rows().filter(|row| row.words.starts_with(start));
        let mut below = below.map(|row| row.words[start.len()]);
        ["help", "--help", "-h"].iter().any(|help| next == help) || below.any(|word| next == word)
    });
    if !is_known {
        args.insert(from + start.len(), word.into());
    }
}

/// Returns what was typed after [`command`].
pub(crate) fn call(matches: &ArgMatches) -> ToolCall {
    let (mut matches, mut words) = (matches, Vec::new());
    while let Some((word, below)) = matches.subcommand() {
        words.push(word);
        matches = below;
    }
    let row = rows().find(|row| row.words == words);
    row.expect("clap requires the words of a row").call(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

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
    fn a_word_that_is_left_out() {
        let meant = |typed: &str| {
            let mut words: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
            insert_default(&mut words, 0);
            words.join(OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(meant("am alert"), "am alert query");
        assert_eq!(meant("am alert a=b -o json"), "am alert query a=b -o json");
        assert_eq!(meant("am alert add x"), "am alert add x");
        assert_eq!(meant("am silence -q"), "am silence query -q");
        assert_eq!(meant("am silence --help"), "am silence --help");
        assert_eq!(meant("am config"), "am config show");
        assert_eq!(meant("am config routes"), "am config routes show");
        assert_eq!(meant("am config routes test"), "am config routes test");
        assert_eq!(meant("am cluster -o json"), "am cluster show -o json");
        assert_eq!(meant("tsdb list"), "tsdb list");
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
        for flag in rows().flat_map(|row| row.flags) {
            assert!(flag.help.ends_with('.'), "{}", flag.name);
        }
    }
}
