//! Flags as data: a table row each.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};
use model::Duration;
use model::size::ByteSize;

/// A flag: name without dashes, default as text, what it takes, and a full sentence of help.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Name without the dashes.
    pub(crate) name: &'static str,
    /// What the value is.
    pub(crate) kind: Kind,
    /// The value when it is not given.
    pub(crate) default: &'static str,
    /// Whether it is left out of the help, as Prometheus does with flags that nobody should need.
    pub(crate) hidden: bool,
    /// A sentence.
    pub(crate) help: &'static str,
}

impl Flag {
    /// Returns a flag that the help shows.
    pub(crate) const fn shown(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag {
            name,
            kind,
            default,
            hidden: false,
            help,
        }
    }

    /// Returns a flag that the help leaves out.
    pub(crate) const fn hidden(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag {
            name,
            kind,
            default,
            hidden: true,
            help,
        }
    }
}

/// What a flag takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `--name` and `--no-name`.
    Bool,
    /// Any text.
    Text,
    /// Any text, as often as one likes.
    List,
    /// A duration such as `1h30m`.
    Duration,
    /// A size such as `512MB`; a bare number is bytes.
    Size,
    /// A whole number from 0 on.
    Integer,
    /// A whole number, also a negative one.
    Signed,
    /// A number.
    Float,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Whether the sockets of a systemd unit are listened on.
pub(crate) const SYSTEMD_SOCKET: Flag = Flag::shown(
    "web.systemd-socket",
    Kind::Bool,
    "false",
    "Listen on the TCP sockets that systemd passes (LISTEN_FDS) instead of --web.listen-address.",
);

/// Returns the flags of two tables as one; `N` is how many there are.
pub(crate) const fn joined<const N: usize>(first: &[Flag], second: &[Flag]) -> [Flag; N] {
    assert!(first.len() + second.len() == N);
    let mut all = [first[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() {
            first[at]
        } else {
            second[at - first.len()]
        };
        at += 1;
    }
    all
}

/// From which severity on something is logged.
pub(crate) const LOG_LEVEL: Flag = Flag::shown(
    "log.level",
    Kind::Word(&["debug", "info", "warn", "error"]),
    "info",
    "Log messages of this severity and above.",
);

/// How it is written.
pub(crate) const LOG_FORMAT: Flag = Flag::shown(
    "log.format",
    Kind::Word(&["logfmt", "json"]),
    "logfmt",
    "How log lines are written.",
);

/// Adds the flags of `table` to `command`.
pub(crate) fn add_flags(mut command: Command, table: &'static [Flag]) -> Command {
    for flag in table {
        command = command.arg(argument(flag));
        if matches!(flag.kind, Kind::Bool) {
            let negated = format!("no-{}", flag.name);
            let negation = Arg::new(negated.clone())
                .long(negated)
                .hide(true)
                .action(ArgAction::SetTrue);
            command = command.arg(negation.overrides_with(flag.name));
        }
    }
    command
}

fn argument(flag: &'static Flag) -> Arg {
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .help(flag.help)
        .hide(flag.hidden);
    let arg = match flag.kind {
        Kind::Bool => {
            return arg
                .action(ArgAction::SetTrue)
                .overrides_with(format!("no-{}", flag.name));
        }
        Kind::List => arg.action(ArgAction::Append),
        Kind::Signed => arg
            .action(ArgAction::Set)
            .overrides_with(flag.name)
            .allow_negative_numbers(true),
        // As with Prometheus, giving a flag twice lets the last one win.
        _ => arg.action(ArgAction::Set).overrides_with(flag.name),
    };
    let arg = if flag.default.is_empty() {
        arg
    } else {
        arg.default_value(flag.default)
    };
    let kind = flag.kind;
    arg.value_parser(move |text: &str| check(kind, text).map(|()| text.to_owned()))
}

fn check(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Bool | Kind::Text | Kind::List => Ok(()),
        Kind::Duration => text
            .parse::<Duration>()
            .map(|_| ())
            .map_err(|e| format!("{e} (write it like 15s or 1h30m)")),
        Kind::Size => parse_size(text).map(|_| ()),
        Kind::Integer => text
            .parse::<u64>()
            .map(|_| ())
            .map_err(|_| "not a whole number".to_owned()),
        Kind::Signed => text
            .parse::<i64>()
            .map(|_| ())
            .map_err(|_| "not a whole number".to_owned()),
        Kind::Float => text
            .parse::<f64>()
            .map(|_| ())
            .map_err(|_| "not a number".to_owned()),
        Kind::Word(words) if words.contains(&text) => Ok(()),
        Kind::Word(words) => Err(format!("must be one of {}", words.join(", "))),
    }
}

fn parse_size(text: &str) -> Result<ByteSize, String> {
    let plain = text.parse::<u64>().map(ByteSize).ok();
    plain.map_or_else(
        || text.parse::<ByteSize>().map_err(|error| error.to_string()),
        Ok,
    )
}

/// The values of all flags of a table, given or not; they have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    values: BTreeMap<&'static str, Vec<String>>,
    given: Vec<&'static str>,
}

impl Values {
    /// Takes the values of `table` out of `matches`.
    pub(crate) fn of(table: &'static [Flag], matches: &ArgMatches) -> Self {
        let (mut values, mut given) = (BTreeMap::new(), Vec::new());
        for flag in table {
            if matches.value_source(flag.name) == Some(clap::parser::ValueSource::CommandLine) {
                given.push(flag.name);
            }
            let value = match flag.kind {
                Kind::Bool => vec![bool_value(flag, matches).to_string()],
                _ => matches
                    .get_many::<String>(flag.name)
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect(),
            };
            values.insert(flag.name, value);
        }
        Values { values, given }
    }

    /// Gives a flag a value from elsewhere, unless it is on the command line. A table without the flag stays as it is.
    ///
    /// # Errors
    ///
    /// When the flag takes no such value.
    pub(crate) fn set_default(
        &mut self,
        table: &'static [Flag],
        name: &str,
        value: String,
    ) -> Result<(), String> {
        let Some(flag) = table.iter().find(|flag| flag.name == name) else {
            return Ok(());
        };
        check(flag.kind, &value)?;
        if matches!(flag.kind, Kind::Bool) && !matches!(value.as_str(), "true" | "false") {
            return Err("must be true or false".to_owned());
        }
        if !self.is_given(name) {
            self.values.insert(flag.name, vec![value]);
        }
        Ok(())
    }

    /// Gives a flag that may be repeated values from elsewhere, whatever the command line says.
    pub(crate) fn set_list(&mut self, name: &'static str, values: Vec<String>) {
        self.values.insert(name, values);
    }

    /// Whether the flag was on the command line.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// Returns all values of a flag that may be repeated.
    ///
    /// # Panics
    ///
    /// This and the other accessors: when the table has no such flag, or of another kind.
    pub(crate) fn list(&self, name: &str) -> &[String] {
        self.values.get(name).expect("the flag is in the table")
    }

    /// Returns a text; empty when it was not given and has no default.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.list(name)
            .last()
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// Returns whether a boolean flag is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Returns a duration; zero when it was not given and has no default.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        self.text(name).parse().unwrap_or_default()
    }

    /// Returns a whole number; zero when it was not given and has no default.
    pub(crate) fn integer(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or_default()
    }

    /// Returns a whole number, also a negative one; zero when it was not given and has no default.
    pub(crate) fn signed(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// Returns a size; zero when it was not given and has no default.
    pub(crate) fn size(&self, name: &str) -> ByteSize {
        parse_size(self.text(name)).unwrap_or_default()
    }

    /// Returns all flags with their values as text, as `/api/v1/status/flags` shows them.
    pub(crate) fn printed(&self) -> BTreeMap<String, String> {
        self.values
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.join(",")))
            .collect()
    }
}

/// `--name` and `--no-name` override each other: the last one counts.
fn bool_value(flag: &Flag, matches: &ArgMatches) -> bool {
    match (
        matches.get_flag(flag.name),
        matches.get_flag(&format!("no-{}", flag.name)),
    ) {
        (true, _) => true,
        (_, true) => false,
        _ => flag.default == "true",
    }
}

/// Returns the reference of a table as Markdown.
#[cfg(test)]
pub(crate) fn reference(table: &[Flag]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("| flag | default | meaning |\n|---|---|---|\n");
    for flag in table {
        let hidden = if flag.hidden { " (hidden)" } else { "" };
        writeln!(
            out,
            "| `--{}`{hidden} | {} | {} |",
            flag.name, flag.default, flag.help
        )
        .expect("a String takes it all");
    }
    out
}
