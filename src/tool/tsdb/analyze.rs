//! `tsdb analyze`: what makes a block large: churn, cardinality, and how full its chunks are.
//!
//! The lists are promtool's; items of the same count come in order of their names, while there they come in any.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use model::Matcher;
use model::storage::ReadError;
use tsdb::block::Block;
use tsdb::block::index::SeriesRef;
use tsdb::block::index::read::SeriesEntry;
use tsdb::block::select::select;
use tsdb::chunk::{self, ChunkSample};

use super::{all_blocks, selectors};
use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, go};

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (dir, wanted) = (Path::new(&call.args[0]), call.args[1].as_str());
    let text = call.flags.text("match");
    let matchers = match text {
        "" => None,
        text => selectors(&[text.to_owned()])?.pop(),
    };
    let block = open_block(dir, wanted)?;
    let series = match &matchers {
        Some(matchers) => select(block.index(), matchers)?,
        None => block.index().all_series()?,
    };
    let meta = block.meta();
    writeln!(out, "Block ID: {}", meta.ulid)?;
    let covered = meta.max_time.saturating_sub(meta.min_time);
    writeln!(out, "Duration: {}", go::duration(covered))?;
    writeln!(out, "Total Series: {}", meta.stats.num_series)?;
    if matchers.is_some() {
        writeln!(out, "Matcher: {text}")?;
    }
    let found = Found::read(&block, &series, matchers.as_deref())?;
    writeln!(out, "Label names: {}", found.names.len())?;
    if matchers.is_some() {
        writeln!(out, "Matched series: {}", series.len())?;
    }
    let pairs = found.names.values().map(|name| name.values.len());
    writeln!(
        out,
        "Postings (unique label pairs): {}",
        pairs.sum::<usize>()
    )?;
    writeln!(
        out,
        "Postings entries (total label pairs): {}",
        found.entries
    )?;
    print_lists(out, &found, covered, call.flags.integer("limit"))?;
    if call.flags.is_on("extended") {
        print_chunks(out, &block, &series)?;
    }
    Ok(Outcome::Done)
}

/// Opens the block of a name, or the one that was made last.
fn open_block(dir: &Path, wanted: &str) -> anyhow::Result<Arc<Block>> {
    let found = all_blocks(dir)?;
    if wanted.is_empty() {
        let newest = found
            .blocks
            .into_iter()
            .max_by_key(|block| block.meta().ulid);
        return newest.context("no blocks found");
    }
    if wanted.parse::<tsdb::ulid::Ulid>().is_err() {
        bail!("invalid block ID {wanted}");
    }
    let mut blocks = found.blocks.into_iter();
    let block = blocks.find(|block| block.meta().ulid.to_string() == wanted);
    block.with_context(|| format!("block {wanted} not found"))
}

/// What was counted in a block.
#[derive(Default)]
struct Found {
    names: BTreeMap<String, Name>,
    /// Labels of all series.
    entries: u64,
}

/// What was counted of a label.
#[derive(Default)]
struct Name {
    /// Milliseconds of the block that its series do not cover, summed.
    uncovered: u64,
    values: BTreeMap<String, Value>,
}

/// The same of a label with a value.
#[derive(Default)]
struct Value {
    series: u64,
    uncovered: u64,
}

impl Found {
    /// Counts the labels of `series`; without matchers, those that the index has besides count as well, for nothing.
    fn read(
        block: &Block,
        series: &[SeriesRef],
        matchers: Option<&[Matcher]>,
    ) -> Result<Self, ReadError> {
        let (index, meta) = (block.index(), block.meta());
        let mut found = Found::default();
        let mut entry = SeriesEntry::default();
        let covered = meta.max_time.wrapping_sub(meta.min_time).cast_unsigned();
        for &series in series {
            index.series(series, &mut entry)?;
            let span = match (entry.chunks.first(), entry.chunks.last()) {
                (Some(first), Some(last)) => last.maxt.wrapping_sub(first.mint).cast_unsigned(),
                _ => 0,
            };
            let uncovered = covered.wrapping_sub(span);
            for &(name, value) in &entry.labels {
                found.add(index.symbol(name)?, index.symbol(value)?, uncovered);
            }
        }
        if matchers.is_none() {
            for name in index.label_names() {
                found.names.entry(name?.to_owned()).or_default();
            }
        }
        Ok(found)
    }

    fn add(&mut self, name: &str, value: &str, uncovered: u64) {
        self.entries += 1;
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), Name::default());
        }
        let Some(of_name) = self.names.get_mut(name) else {
            return;
        };
        of_name.uncovered = of_name.uncovered.wrapping_add(uncovered);
        if !of_name.values.contains_key(value) {
            of_name.values.insert(value.to_owned(), Value::default());
        }
        if let Some(of_value) = of_name.values.get_mut(value) {
            of_value.series += 1;
            of_value.uncovered = of_value.uncovered.wrapping_add(uncovered);
        }
    }

    /// Counts something of each label with a value.
    fn pairs(&self, count: impl Fn(&Value) -> u64) -> Vec<(u64, String)> {
        let pair = |name: &str, (value, counts): (&String, &Value)| {
            (count(counts), format!("{name}={value}"))
        };
        let names = self.names.iter();
        names
            .flat_map(|(name, of_name)| of_name.values.iter().map(|value| pair(name, value)))
            .collect()
    }

    /// Counts something of each label.
    fn names(&self, count: impl Fn(&Name) -> u64) -> Vec<(u64, String)> {
        let names = self.names.iter();
        names
            .map(|(name, of_name)| (count(of_name), name.clone()))
            .collect()
    }
}

fn print_lists(out: &mut dyn Write, found: &Found, covered: i64, limit: usize) -> io::Result<()> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of series; what is none becomes some number, as in Go"
    )]
    let churn = |uncovered: u64| (uncovered as f64 / covered as f64) as u64;
    let mut print = |title: &str, mut items: Vec<(u64, String)>| {
        items.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        writeln!(out, "\n{title}:")?;
        items.truncate(limit);
        items
            .iter()
            .try_for_each(|(count, key)| writeln!(out, "{count} {key}"))
    };
    print(
        "Label pairs most involved in churning",
        found.pairs(|value| churn(value.uncovered)),
    )?;
    print(
        "Label names most involved in churning",
        found.names(|name| churn(name.uncovered)),
    )?;
    print("Most common label pairs", found.pairs(|value| value.series))?;
    let bytes = |name: &Name| name.values.keys().map(|value| value.len() as u64).sum();
    print(
        "Label names with highest cumulative label value length",
        found.names(bytes),
    )?;
    print(
        "Highest cardinality labels",
        found.names(|name| name.values.len() as u64),
    )?;
    let metrics = found.names.get(model::labels::METRIC_NAME);
    let metrics = metrics.iter().flat_map(|name| &name.values);
    let metrics = metrics.map(|(metric, counts)| (counts.series, metric.clone()));
    print("Highest cardinality metric names", metrics.collect())
}

/// Sizes of the chunks of one kind.
#[derive(Default)]
struct Chunks {
    samples: Vec<usize>,
    bytes: Vec<usize>,
    buckets: Vec<usize>,
}

fn print_chunks(out: &mut dyn Write, block: &Block, series: &[SeriesRef]) -> anyhow::Result<()> {
    let (mut floats, mut histograms) = (Chunks::default(), Chunks::default());
    let mut entry = SeriesEntry::default();
    for &series in series {
        block.index().series(series, &mut entry)?;
        for meta in &entry.chunks {
            let stored = block.chunks().read(meta.chunk)?;
            let sizes = match stored.encoding.is_float() {
                true => &mut floats,
                false => &mut histograms,
            };
            sizes
                .samples
                .push(usize::from(stored.encoding.count(stored.data)?));
            sizes.bytes.push(stored.data.len());
            if !stored.encoding.is_float() {
                let mut buckets = 0;
                for sample in chunk::samples(stored.encoding, stored.data) {
                    buckets += bucket_count(&sample?);
                }
                sizes.buckets.push(buckets);
            }
        }
    }
    let total = floats.samples.len() + histograms.samples.len();
    writeln!(out, "\nCompaction analysis:\n")?;
    print_distribution(out, "samples per float chunk", floats.samples, total)?;
    print_distribution(out, "bytes per float chunk", floats.bytes, total)?;
    print_distribution(
        out,
        "samples per histogram chunk",
        histograms.samples,
        total,
    )?;
    print_distribution(out, "bytes per histogram chunk", histograms.bytes, total)?;
    print_distribution(
        out,
        "buckets per histogram chunk",
        histograms.buckets,
        total,
    )?;
    Ok(())
}

fn bucket_count(sample: &ChunkSample) -> usize {
    match sample {
        ChunkSample::Float(..) => 0,
        ChunkSample::Histogram(_, h) => h.positive_deltas.len() + h.negative_deltas.len(),
        ChunkSample::FloatHistogram(_, h) => h.positive_buckets.len() + h.negative_buckets.len(),
    }
}

/// Prints how many of `sizes` are in each step of ten, a hundred, …; the bars are percents of `total`.
fn print_distribution(
    out: &mut dyn Write,
    what: &str,
    mut sizes: Vec<usize>,
    total: usize,
) -> io::Result<()> {
    sizes.sort_unstable();
    let (Some(&min), Some(&max)) = (sizes.first(), sizes.last()) else {
        return writeln!(out, "{what}: N/A\n");
    };
    let mut step = 10;
    while step < (max - min) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (min - min % step, max - max % step + step);
    let mut counts = vec![0_usize; (end - start) / step + 1];
    for size in &sizes {
        counts[(size - start) / step] += 1;
    }
    let average = sizes.iter().sum::<usize>() / sizes.len();
    writeln!(out, "{what} (min/avg/max): {min}/{average}/{max}")?;
    let width = |number: usize| number.to_string().len();
    let (left, right) = (width(end), width(end + step));
    let middle = width(counts.iter().copied().max().unwrap_or(0));
    for (index, count) in counts.iter().enumerate() {
        let (from, to) = (index * step + start + 1, (index + 1) * step + start);
        let bar = "#".repeat(100 * count / total);
        writeln!(out, "[{from:left$}, {to:right$}]: {count:middle$} {bar}")?;
    }
    writeln!(out)
}
