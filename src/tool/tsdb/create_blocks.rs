//! `tsdb create-blocks-from openmetrics`: text of samples with timestamps becomes blocks.
//!
//! The file is mapped and read once for the times, then once for each block that gets samples, so that no more than one
//! block's samples are in memory, encoded. Blocks are aligned to multiples of their longest duration. A sample that is
//! not newer than the one before it in its series is left out, as promtool does; here it is said how many there were.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use model::{Duration, Labels};
use scraper::exposition::{Event, Expected, Format, Parser, SeriesLine, labels};
use tsdb::backfill::BlockBuilder;
use tsdb::block::chunks::SEGMENT_BYTES;
use tsdb::block::meta::{BlockMeta, block_dir};
use tsdb::block::write::WriteBlockOptions;
use tsdb::files::{Disk, Files, tree_bytes};
use tsdb::ulid::Ulid;

use super::list::{Style, print_blocks};
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, UsageError, complain};

/// The span of a block unless a longer one is asked for.
const BLOCK_MS: i64 = 2 * 3_600_000;
/// How many spans there are, each three times the one before.
const SPANS: u32 = 10;

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let input = Path::new(&call.args[0]);
    let text = Disk
        .map(input)
        .with_context(|| format!("read {}", input.display()))?;
    let import = Import {
        text: &text,
        added: added_labels(call.flags.list("label"))?,
        span_ms: block_span(call.flags.duration("max-block-duration")),
        dir: PathBuf::from(&call.args[1]),
    };
    std::fs::create_dir_all(&import.dir).context("create output dir")?;
    let mut style = Style {
        has_header: true,
        is_human_readable: call.flags.is_on("human-readable"),
    };
    let mut next = import
        .first_time()
        .context("getting min and max timestamp")?;
    let mut left_out = 0;
    while let Some(t) = next {
        let window = import.import_window(t).context("block creation")?;
        left_out += window.left_out;
        if let Some(meta) = window.meta
            && !call.flags.is_on("quiet")
        {
            let bytes = tree_bytes(&Disk, &block_dir(&import.dir, meta.ulid));
            print_blocks(out, &[(&meta, bytes)], style)?;
            out.flush()?;
            style.has_header = false;
        }
        next = window.next;
    }
    if 0 < left_out {
        complain(&format!(
            "{left_out} samples left out: not newer than the sample before in their series"
        ));
    }
    Ok(Outcome::Done)
}

/// Reads labels given as `name=value`.
fn added_labels(texts: &[String]) -> Result<Vec<(String, String)>, UsageError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(UsageError(format!("expected name=value, got {text:?}"))),
    };
    texts.iter().map(pair).collect()
}

/// Returns the largest of 2 h, 6 h, 18 h, ... that is not longer than `longest`; 2 h at least.
fn block_span(longest: Duration) -> i64 {
    let spans = (0..SPANS).map(|power| BLOCK_MS * 3_i64.pow(power));
    let fitting = spans.take_while(|&span| span <= longest.as_ms());
    fitting.last().unwrap_or(BLOCK_MS)
}

struct Import<'a> {
    text: &'a [u8],
    added: Vec<(String, String)>,
    span_ms: i64,
    dir: PathBuf,
}

/// What became of the samples of one block's time.
struct Window {
    meta: Option<BlockMeta>,
    left_out: u64,
    /// The oldest sample after it.
    next: Option<i64>,
}

impl<'a> Import<'a> {
    /// Calls `visit` with each sample line and its type's parser.
    fn for_each(
        &self,
        mut visit: impl FnMut(SeriesLine<'a>, i64, &mut Parser<'a>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut parser = Parser::new(self.text, Format::OpenMetrics)?;
        while let Some(event) = parser.next(Expected::NOTHING)? {
            let Event::Series(line) = event else { continue };
            let Some(t) = line.timestamp_ms else {
                bail!("expected timestamp for series {}, got none", line.series);
            };
            visit(line, t, &mut parser)?;
        }
        Ok(())
    }

    /// Reads the whole text and returns the oldest sample's time.
    fn first_time(&self) -> anyhow::Result<Option<i64>> {
        let mut first = None;
        self.for_each(|_, t, _| {
            first = Some(first.map_or(t, |first: i64| first.min(t)));
            Ok(())
        })?;
        Ok(first)
    }

    /// Makes a block of the samples of the aligned time that `t` is in.
    fn import_window(&self, t: i64) -> anyhow::Result<Window> {
        let from = t.div_euclid(self.span_ms).saturating_mul(self.span_ms);
        let end = from.saturating_add(self.span_ms);
        let mut builder = BlockBuilder::default();
        // Series as written and the type above it, because that decides how bounds are written.
        let mut known = HashMap::new();
        let (mut left_out, mut next) = (0, None);
        self.for_each(|line, t, parser| {
            if t < from {
                return Ok(());
            }
            if end <= t {
                next = Some(next.map_or(t, |next: i64| next.min(t)));
                return Ok(());
            }
            let kind = parser.kind();
            let series = match known.get(&(line.series, kind)) {
                Some(&series) => series,
                None => {
                    let mut pairs = Vec::new();
                    labels::decode(line.series, kind, &mut pairs);
                    let series = builder.series(self.labels_of(&pairs)?);
                    known.insert((line.series, kind), series);
                    series
                }
            };
            // As promtool's writer, which takes a block to be twice as long.
            let taken = builder.append(series, t, line.value, 2 * self.span_ms);
            left_out += u64::from(!taken);
            Ok(())
        })?;
        let options = WriteBlockOptions {
            segment_bytes: SEGMENT_BYTES,
        };
        let meta = builder.write(&Disk, &self.dir, Ulid::now(), options)?;
        Ok(Window {
            meta,
            left_out,
            next,
        })
    }

    fn labels_of(&self, pairs: &[labels::Pair<'_>]) -> anyhow::Result<Labels> {
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(other, _)| other == name) {
                bail!("add sample: label name {name:?} is not unique: invalid sample");
            }
        }
        let added = self.added.iter().map(|(name, value)| (&**name, &**value));
        let own = pairs.iter().map(|(name, value)| (&**name, &**value));
        let labels = Labels::from_pairs(own.chain(added));
        if labels.is_empty() {
            bail!("add sample: empty labelset: invalid sample");
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_powers_of_three() {
        let hours = |text: &str| block_span(text.parse().unwrap()) / 3_600_000;
        for (longest, expected) in [
            ("1h", 2),
            ("2h", 2),
            ("5h", 2),
            ("6h", 6),
            ("50h", 18),
            ("24d", 486),
        ] {
            assert_eq!(hours(longest), expected, "{longest}");
        }
        assert_eq!(hours("100y"), 2 * 3_i64.pow(9));
    }

    #[test]
    fn labels_are_pairs() {
        let parse = |text: &str| added_labels(&[text.to_owned()]).map(|mut all| all.remove(0));
        assert_eq!(parse("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(parse("a").is_err() && parse("=a").is_err());
    }
}
