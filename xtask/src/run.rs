//! Running other programs from the root of the repository.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask/ is a folder of the root")
}

/// Returns the command for a program, to run at the root.
///
/// `cargo` is the one that runs this chore, of the same toolchain.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let program = if program == "cargo" { &cargo } else { program };
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end, and says what and how long.
///
/// # Errors
///
/// If it does not start, or does not succeed.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let shown = show(&command);
    say(&format!("+ {shown}"));
    let started = Instant::now();
    let status = command.status().with_context(|| shown.clone())?;
    ensure!(status.success(), "{shown}: {status}");
    say(&format!("+ took {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Runs a command like [`run`], and returns its standard output too, line by line as it came.
///
/// # Errors
///
/// If it does not start, does not succeed, or writes something other than UTF-8.
pub(crate) fn run_and_read(mut command: Command) -> Result<Vec<String>> {
    let shown = show(&command);
    say(&format!("+ {shown}"));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| shown.clone())?;
    let stdout = child.stdout.take().context("the output is a pipe")?;
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.with_context(|| shown.clone())?;
        say(&line);
        lines.push(line);
    }
    let status = child.wait().with_context(|| shown.clone())?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(lines)
}

/// Returns whether `cargo WORD` is there.
pub(crate) fn has_cargo_word(word: &str) -> bool {
    let mut command = command("cargo", &[word, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Writes a line for the developer.
#[expect(clippy::print_stdout, reason = "what a chore says is its output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Writes a line about what went wrong.
#[expect(clippy::print_stderr, reason = "why a chore failed")]
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
