//! The command line: which program is meant, and its flags.
//!
//! Each flag is declared once, as a row of a table with type, default and help; the help text, the checks, the reference
//! page `docs/flags.md` and `/api/v1/status/flags` come out of that. Names and meanings are those of Prometheus and
//! node_exporter where they have the flag.

pub(crate) mod alertmanager;
pub(crate) mod cluster;
pub(crate) mod exporter;
pub(crate) mod flag;
pub(crate) mod server;
pub(crate) mod tool;

use std::ffi::OsString;
use std::path::Path;

use clap::Command;

use flag::Values;
use tool::ToolCall;

/// What is to run.
pub(crate) enum Invocation {
    /// Go on until told to stop, with these flags.
    Program(Program, Values),
    /// Do one thing and end.
    Tool(ToolCall),
}

/// What goes on until it is told to stop.
pub(crate) enum Program {
    /// Scrape, store, query, alert.
    Server,
    /// Only group, silence and route alerts that others send.
    Alertmanager,
    /// Only export this node's metrics, with these collectors switched on or off.
    NodeExporter(Vec<(String, bool)>),
}

/// Reads the command line. A link named `prometheus`, `alertmanager`, `amtool`, `node_exporter` or `promtool` behaves as that program; no
/// command at all is `server`.
///
/// # Errors
///
/// Help and version are errors too, as clap has it: print and exit with its code (2 for wrong usage).
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let called_as = args
        .first()
        .map(Path::new)
        .and_then(Path::file_stem)
        .and_then(|stem| stem.to_str());
    match called_as {
        Some("prometheus") => {
            return server_invocation(server::command("prometheus").try_get_matches_from(args)?);
        }
        Some("alertmanager" | "prometheus-alertmanager") => {
            let matches = alertmanager::command("alertmanager").try_get_matches_from(args)?;
            return Ok(alertmanager_invocation(&matches));
        }
        Some("node_exporter" | "prometheus-node-exporter") => {
            return exporter_invocation(
                exporter::command("node_exporter").try_get_matches_from(args)?,
            );
        }
        Some("amtool") => {
            args.insert(1, "am".into());
            tool::insert_default(&mut args, 1);
            let matches = tool::command("amtool").try_get_matches_from(args)?;
            return Ok(Invocation::Tool(tool::call(&matches)));
        }
        Some("promtool") => {
            let matches = tool::command("promtool").try_get_matches_from(args)?;
            return Ok(Invocation::Tool(tool::call(&matches)));
        }
        _ => {}
    }
    // `hearth --flag` and `hearth` alone mean the server.
    let asks_for_all = |arg: &OsString| {
        ["-h", "--help", "-V", "--version", "help"]
            .iter()
            .any(|word| arg == word)
    };
    let bare = args.get(1).is_none_or(|first| {
        first.to_str().is_some_and(|f| f.starts_with('-')) && !asks_for_all(first)
    });
    if bare {
        args.insert(1.min(args.len()), "server".into());
    }
    if args.get(1).is_some_and(|word| word == "tool") {
        tool::insert_default(&mut args, 2);
    }
    let matches = hearth().try_get_matches_from(args)?;
    match matches.subcommand() {
        Some(("exporter", exporter)) => match exporter.subcommand() {
            Some((_, node)) => exporter_invocation(node.clone()),
            None => unreachable!("clap requires a subcommand"),
        },
        Some(("alertmanager", matches)) => Ok(alertmanager_invocation(matches)),
        Some(("tool", matches)) => Ok(Invocation::Tool(tool::call(matches))),
        Some((_, server)) => server_invocation(server.clone()),
        None => unreachable!("clap requires a subcommand"),
    }
}

fn server_invocation(matches: clap::ArgMatches) -> Result<Invocation, clap::Error> {
    let values = Values::of(server::FLAGS, &matches);
    Ok(Invocation::Program(Program::Server, values))
}

fn alertmanager_invocation(matches: &clap::ArgMatches) -> Invocation {
    let values = Values::of(alertmanager::FLAGS, matches);
    Invocation::Program(Program::Alertmanager, values)
}

fn exporter_invocation(matches: clap::ArgMatches) -> Result<Invocation, clap::Error> {
    let program = Program::NodeExporter(exporter::collector_switches(&matches));
    let values = Values::of(exporter::FLAGS, &matches);
    Ok(Invocation::Program(program, values))
}

fn hearth() -> Command {
    let exporter = Command::new("exporter")
        .about("Exports metrics of this machine, without storing them")
        .subcommand_required(true)
        .subcommand(exporter::command("node"));
    Command::new("hearth")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Prometheus-compatible monitoring stack: scraper, TSDB, PromQL, alerting and exporters in one binary")
        .subcommand_required(true)
        .subcommand(server::command("server"))
        .subcommand(alertmanager::command("alertmanager"))
        .subcommand(exporter)
        .subcommand(tool::command("tool"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Invocation, clap::Error> {
        parse(words.iter().map(OsString::from))
    }

    #[track_caller]
    fn check_server(words: &[&str], flag: &str, expected: &str) {
        match parse_words(words).unwrap() {
            Invocation::Program(Program::Server, values) => {
                assert_eq!(values.printed()[flag], expected)
            }
            _ => panic!("not the server"),
        }
    }

    #[test]
    fn prometheus_command_lines_are_taken() {
        check_server(&["hearth"], "storage.tsdb.path", "data/");
        check_server(&["hearth", "--config.file=x.yml"], "config.file", "x.yml");
        check_server(
            &["hearth", "server", "--query.timeout", "30s"],
            "query.timeout",
            "30s",
        );
        check_server(
            &["/usr/bin/prometheus", "--web.enable-lifecycle"],
            "web.enable-lifecycle",
            "true",
        );
        check_server(
            &[
                "prometheus",
                "--web.enable-lifecycle",
                "--no-web.enable-lifecycle",
            ],
            "web.enable-lifecycle",
            "false",
        );
        check_server(
            &[
                "prometheus",
                "--web.listen-address=:1",
                "--web.listen-address=:2",
            ],
            "web.listen-address",
            ":1,:2",
        );
        assert!(matches!(
            parse_words(&["node_exporter", "--no-collector.hwmon"]),
            Ok(Invocation::Program(Program::NodeExporter(_), _))
        ));
        assert!(matches!(
            parse_words(&["hearth", "exporter", "node"]),
            Ok(Invocation::Program(Program::NodeExporter(_), _))
        ));
        for words in [&["alertmanager"][..], &["hearth", "alertmanager"]] {
            assert!(matches!(
                parse_words(words),
                Ok(Invocation::Program(Program::Alertmanager, _))
            ));
        }
        for words in [
            &["promtool", "tsdb", "list"][..],
            &["hearth", "tool", "tsdb", "list"],
        ] {
            assert!(matches!(parse_words(words), Ok(Invocation::Tool(_))));
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for words in [
            &["hearth", "--nonsense"][..],
            &["hearth", "--query.timeout=soon"],
            &["hearth", "--web.enable-lifecycle=true"],
            &["hearth", "--log.level=loud"],
            &["hearth", "exporter"],
        ] {
            let error = parse_words(words).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
        let error = parse_words(&["hearth", "--query.timeout=soon"])
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("--query.timeout") && error.contains("not a valid duration string"),
            "{error}"
        );
    }
}
