//! Through a body of any format, line by line.

use model::metadata::MetricType;

use super::convert::{Converter, Step};
use super::starts::StartLines;
use super::{ScrapeError, synthesis};
use crate::exposition::protobuf::{Family, HistogramLine, HistogramOptions, Item, Reader};
use crate::exposition::{BodyFormat, Event, Expected, Format, Parser, SeriesLine};
use crate::job::StartOptions;

/// Who gets what a body says.
pub(super) trait Take {
    /// Returns the series that probably comes next.
    fn expected(&self) -> Expected;

    /// Takes a float sample.
    ///
    /// * `start`: since when its counter counts, 0 if that is unknown.
    /// * `kind`: finds out the type of its family, as far as it is known.
    fn series(
        &mut self,
        line: &SeriesLine<'_>,
        start: i64,
        kind: impl FnOnce() -> MetricType,
    ) -> Result<(), ScrapeError>;

    /// Takes a native histogram.
    fn histogram(&mut self, line: HistogramLine<'_>) -> Result<(), ScrapeError>;

    /// Hears of a classic histogram that contradicts itself.
    fn unconvertible(&mut self);

    /// Returns how many float samples are kept so far.
    fn samples(&self) -> usize;

    /// Hears since when the counter of a sample counts that is kept.
    fn start(&mut self, sample: usize, start: i64);

    /// Hears that a sample that is kept counts, and does not say since when.
    fn has_no_start(&mut self, sample: usize);
}

/// Hands all that `body` says to `take`; returns the hash of what it says about families.
pub(super) fn walk(
    body: &[u8],
    format: BodyFormat,
    histograms: HistogramOptions,
    starts: StartOptions,
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    let format = match format {
        BodyFormat::Protobuf => return messages(body, histograms, starts, take),
        BodyFormat::Lines(format) => format,
    };
    let starts = StartOptions {
        reads: starts.reads && format == Format::OpenMetrics,
        ..starts
    };
    if histograms.convert {
        lines_converted(body, format, histograms.always_classic, starts, take)
    } else if starts.reads || starts.synthesizes {
        lines_with_starts(body, format, starts, take)
    } else {
        lines(body, format, take)
    }
}

fn lines(body: &[u8], format: Format, take: &mut impl Take) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut parser = Parser::trusting(body, format)?;
    while let Some(event) = parser.next(take.expected())? {
        match event {
            Event::Series(line) => take.series(&line, 0, || parser.kind())?,
            Event::Comment(line) => metadata_hash = hash_on(metadata_hash, line),
            Event::Metadata(_) => (),
        }
    }
    Ok(metadata_hash)
}

/// Like [`lines`], with the start timestamps that lines of the same metric say.
fn lines_with_starts(
    body: &[u8],
    format: Format,
    options: StartOptions,
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut starts = StartLines::default();
    let mut parser = Parser::trusting(body, format)?;
    while let Some(event) = parser.next(take.expected())? {
        match event {
            Event::Series(line) => {
                let (family, kind) = parser.family();
                if options.reads && starts.is_start(&line, &family, kind) {
                    continue;
                }
                series_with_start(&line, &family, kind, options, &mut starts, take)?;
            }
            Event::Comment(line) => {
                // The next line may be of another family.
                starts.give_to(take);
                metadata_hash = hash_on(metadata_hash, line);
            }
            Event::Metadata(_) => (),
        }
    }
    starts.give_to(take);
    Ok(metadata_hash)
}

/// Hands over a line whose start timestamp may follow, or is to be made up.
fn series_with_start(
    line: &SeriesLine<'_>,
    family: &str,
    kind: MetricType,
    options: StartOptions,
    starts: &mut StartLines,
    take: &mut impl Take,
) -> Result<(), ScrapeError> {
    let sample = take.samples();
    take.series(line, 0, || kind)?;
    if sample < take.samples() {
        starts.wanted_by(sample);
        if options.synthesizes && synthesis::counts(line.series, family, kind) {
            take.has_no_start(sample);
        }
    }
    Ok(())
}

/// Like [`lines_with_starts`], with classic histograms as native ones.
fn lines_converted(
    body: &[u8],
    format: Format,
    keeps_classic: bool,
    options: StartOptions,
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut converter = Converter::default();
    let mut starts = StartLines::default();
    let mut parser = Parser::trusting(body, format)?;
    while let Some(event) = parser.next(take.expected())? {
        let line = match event {
            Event::Series(line) => line,
            Event::Comment(line) => {
                starts.give_to(take);
                metadata_hash = hash_on(metadata_hash, line);
                continue;
            }
            Event::Metadata(_) => continue,
        };
        let (family, kind) = parser.family();
        let is_start = options.reads && starts.is_start(&line, &family, kind);
        let step = converter.step(&line, &family, kind);
        if is_start {
            converter.take_start(&line);
            continue;
        }
        if matches!(step, Step::Begun | Step::Other) {
            converted(&mut converter, take)?;
        }
        if step == Step::Begun {
            converter.begin();
        }
        if step != Step::Other {
            converter.take(&line);
        }
        if step == Step::Other || keeps_classic {
            series_with_start(&line, &family, kind, options, &mut starts, take)?;
        }
    }
    starts.give_to(take);
    converted(&mut converter, take)?;
    Ok(metadata_hash)
}

/// Hands over the histogram that is complete now, if there is one.
fn converted(converter: &mut Converter, take: &mut impl Take) -> Result<(), ScrapeError> {
    match converter.finish(take.expected()) {
        Some(Some(line)) => take.histogram(line),
        Some(None) => {
            take.unconvertible();
            Ok(())
        }
        None => Ok(()),
    }
}

fn messages(
    body: &[u8],
    histograms: HistogramOptions,
    starts: StartOptions,
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut reader = Reader::new(body, histograms).with_starts(starts.reads);
    let mut counts = false;
    while let Some(item) = reader.next(take.expected())? {
        match item {
            Item::Family(family) => {
                counts = matches!(family.kind, MetricType::Counter | MetricType::Histogram);
                metadata_hash = hash_family(metadata_hash, &family);
            }
            Item::Series(line, start) => {
                let sample = take.samples();
                take.series(&line, start, || MetricType::Unknown)?;
                if starts.synthesizes && counts && sample < take.samples() {
                    take.has_no_start(sample);
                }
            }
            Item::Histogram(line) => take.histogram(line)?,
            Item::Unconvertible => take.unconvertible(),
        }
    }
    Ok(metadata_hash)
}

/// Returns the hash of the metadata lines so far and one more.
fn hash_on(hash: u64, line: &str) -> u64 {
    let line = rapidhash::v3::rapidhash_v3(line.as_bytes());
    hash.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ line
}

fn hash_family(hash: u64, family: &Family<'_>) -> u64 {
    let parts = [family.name, family.help, family.kind.as_str(), family.unit];
    parts.into_iter().fold(hash, hash_on)
}
