//! `tsdb dump` and `tsdb dump-openmetrics`: the samples of blocks and head, one a line.
//!
//! Series come in order of their labels, each with all of its samples in order of time. promtool leaves out the first
//! one or two native histograms of a series, and what follows a change between floats and histograms; here they are.

use std::io::{self, Write};
use std::path::Path;

use model::float::format_general;
use model::{Labels, Matcher};
use tsdb::chunk::{self, ChunkSample};
use tsdb::compact::source::SeriesSource as _;
use tsdb::read_only::ReadOnlyDb;

use super::selectors;
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain, go};

/// Prints the samples of one series.
type Format = fn(&mut dyn Write, &Labels, &mut dyn Iterator<Item = ChunkSample>) -> io::Result<()>;

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let format: Format = match call.flags.text("format") {
        "seriesjson" => series_json,
        _ => prom,
    };
    dump(call, out, format)
}

pub(in crate::tool) fn run_open_metrics(
    call: &ToolCall,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let outcome = dump(call, out, open_metrics)?;
    writeln!(out, "# EOF")?;
    Ok(outcome)
}

fn dump(call: &ToolCall, out: &mut dyn Write, format: Format) -> anyhow::Result<Outcome> {
    let (mint, maxt) = (call.flags.signed("min-time"), call.flags.signed("max-time"));
    let selectors = selectors(call.flags.list("match"))?;
    let (db, report) = ReadOnlyDb::open(Path::new(&call.args[0]))?;
    for damage in report.replay.damages.iter().chain(&report.block_damages) {
        complain(&format!("damaged, what can be read is dumped: {damage}"));
    }
    let mut series = db.series(mint, maxt)?;
    while series.advance()? {
        if !selectors
            .iter()
            .any(|all| is_selected(series.labels(), all))
        {
            continue;
        }
        let mut damage = None;
        let chunks = (0..series.chunk_count()).map(|index| series.chunk(index));
        let in_range = chunks.filter(|chunk| chunk.mint <= maxt && mint <= chunk.maxt);
        let samples = in_range.flat_map(|chunk| chunk::samples(chunk.encoding, chunk.bytes));
        let samples = samples.map_while(|sample| match sample {
            Ok(sample) => Some(sample),
            Err(error) => {
                damage = Some(error);
                None
            }
        });
        let mut samples = samples
            .filter(|sample| mint <= sample.t() && sample.t() <= maxt)
            .peekable();
        if samples.peek().is_some() {
            format(out, series.labels(), &mut samples)?;
        }
        drop(samples);
        if let Some(error) = damage {
            return Err(anyhow::Error::new(error).context(format!("series {}", series.labels())));
        }
    }
    // A block that cannot be opened would be silently missing.
    for (path, error) in &report.failed_blocks {
        complain(&format!("block {} left out: {error}", path.display()));
    }
    Ok(match report.failed_blocks.is_empty() {
        true => Outcome::Done,
        false => Outcome::FoundProblems,
    })
}

fn is_selected(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.matches(labels.value(matcher.name())))
}

fn prom(
    out: &mut dyn Write,
    labels: &Labels,
    samples: &mut dyn Iterator<Item = ChunkSample>,
) -> io::Result<()> {
    let labels = go::label_set(labels);
    for sample in samples {
        let value = match &sample {
            ChunkSample::Float(_, value) => format_general(*value),
            ChunkSample::Histogram(_, histogram) => go::histogram(histogram),
            ChunkSample::FloatHistogram(_, histogram) => go::float_histogram(histogram),
        };
        writeln!(out, "{labels} {value} {}", sample.t())?;
    }
    Ok(())
}

fn open_metrics(
    out: &mut dyn Write,
    labels: &Labels,
    samples: &mut dyn Iterator<Item = ChunkSample>,
) -> io::Result<()> {
    let others = labels.iter().filter(|(name, _)| *name != "__name__");
    let series = format!("{}{}", labels.metric_name(), go::labels(others, ","));
    for sample in samples {
        if let ChunkSample::Float(t, value) = sample
            && !model::is_stale(value)
        {
            let (value, seconds) = (format_general(value), t as f64 / 1_000.0);
            writeln!(out, "{series} {value} {seconds:.3}")?;
        }
    }
    Ok(())
}

fn series_json(
    out: &mut dyn Write,
    labels: &Labels,
    _: &mut dyn Iterator<Item = ChunkSample>,
) -> io::Result<()> {
    let labels: std::collections::BTreeMap<&str, &str> = labels.iter().collect();
    serde_json::to_writer(&mut *out, &labels)?;
    writeln!(out)
}
