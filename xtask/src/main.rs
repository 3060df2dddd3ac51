//! Development chores: `cargo xtask WORD`. `cargo xtask help` lists the words.
//!
//! Each word is a function that runs other programs from the root of the repository and fails with the first of them.

mod bench;
mod check;
mod conformance;
mod deps;
mod fuzz;
mod licence;
mod run;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A chore.
struct Word {
    name: &'static str,
    about: &'static str,
    chore: fn() -> Result<()>,
}

const WORDS: &[Word] = &[
    Word {
        name: "check",
        about: "all that review would otherwise say: format, clippy, docs, tests, dependencies",
        chore: check::check,
    },
    Word {
        name: "conformance",
        about: "the tests that read HEARTH_CONFORMANCE_DIR (default ../shared/conformance), none of them skipped",
        chore: conformance::conformance,
    },
    Word {
        name: "deps",
        about: "Cargo.lock and the licences against deny.toml",
        chore: deps::deps,
    },
    Word {
        name: "bench",
        about: "an optimised build, then the ingest benchmark of the folder that HEARTH_BENCH names",
        chore: bench::bench,
    },
    Word {
        name: "fuzz",
        about: "each fuzz target for HEARTH_FUZZ_SECONDS (60), with cargo-fuzz if it is installed",
        chore: fuzz::fuzz,
    },
    Word {
        name: "help",
        about: "this list",
        chore: help,
    },
];

fn main() -> ExitCode {
    match run_word() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_word() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = match arguments.as_slice() {
        [] => "help",
        [word] => word,
        more => bail!("one word at a time, not {more:?}; see `cargo xtask help`"),
    };
    let Some(word) = WORDS.iter().find(|known| known.name == word) else {
        bail!("unknown word `{word}`; see `cargo xtask help`");
    };
    (word.chore)()
}

fn help() -> Result<()> {
    run::say("cargo xtask WORD, where WORD is one of:");
    for word in WORDS {
        run::say(&format!("  {:<12} {}", word.name, word.about));
    }
    Ok(())
}
