//! What is linted.

use std::io::{self, Write};

use model::Duration;
use promql::ParseOptions;

use crate::cli::tool::ToolCall;

/// Which lints are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Lints {
    /// Rules that record or alert the same.
    pub(super) duplicate_rules: bool,
    /// Scrape intervals after which a sample is stale.
    pub(super) scrape_interval: bool,
    /// Whether finding something is an error.
    pub(super) are_fatal: bool,
    /// Whether unknown fields of rule files are let pass.
    pub(super) ignores_unknown_fields: bool,
    /// The longest scrape interval that is not too long.
    pub(super) lookback: Duration,
    /// What of PromQL rules may use.
    pub(super) syntax: ParseOptions,
}

impl Lints {
    /// Returns what the flags of a command say; says which names of lints are none.
    pub(super) fn of(call: &ToolCall, out: &mut dyn Write) -> io::Result<Self> {
        let flags = &call.flags;
        let mut lints = Lints {
            duplicate_rules: false,
            scrape_interval: false,
            are_fatal: flags.is_on("lint-fatal"),
            ignores_unknown_fields: flags.is_on("ignore-unknown-fields"),
            lookback: flags.duration("query.lookback-delta"),
            syntax: call.promql_features().syntax,
        };
        lints.turn_on(flags.text("lint"), out)?;
        Ok(lints)
    }

    /// Turns on what `names` lists, separated by commas; says which of them is none.
    fn turn_on(&mut self, names: &str, out: &mut dyn Write) -> io::Result<()> {
        for name in names.split(',') {
            match name {
                "all" => (self.duplicate_rules, self.scrape_interval) = (true, true),
                "duplicate-rules" => self.duplicate_rules = true,
                "too-long-scrape-interval" => self.scrape_interval = true,
                "none" => (self.duplicate_rules, self.scrape_interval) = (false, false),
                other => writeln!(out, "WARNING: unknown lint option: {other:?}")?,
            }
        }
        Ok(())
    }
}
