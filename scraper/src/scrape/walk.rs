//! Through a body of any format, line by line.

use model::metadata::MetricType;

use super::ScrapeError;
use super::convert::{Converter, Step};
use crate::exposition::protobuf::{Family, HistogramLine, HistogramOptions, Item, Reader};
use crate::exposition::{BodyFormat, Event, Expected, Format, Parser, SeriesLine};

/// Who gets what a body says.
pub(super) trait Take {
    /// Returns the series that probably comes next.
    fn expected(&self) -> Expected;

    /// Takes a float sample.
    ///
    /// * `kind`: finds out the type of its family, as far as it is known.
    fn series(
        &mut self,
        line: &SeriesLine<'_>,
        kind: impl FnOnce() -> MetricType,
    ) -> Result<(), ScrapeError>;

    /// Takes a native histogram.
    fn histogram(&mut self, line: HistogramLine<'_>) -> Result<(), ScrapeError>;

    /// Hears of a classic histogram that contradicts itself.
    fn unconvertible(&mut self);
}

/// Hands all that `body` says to `take`; returns the hash of what it says about families.
pub(super) fn walk(
    body: &[u8],
    format: BodyFormat,
    histograms: HistogramOptions,
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    match format {
        BodyFormat::Protobuf => messages(body, histograms, take),
        BodyFormat::Lines(format) if histograms.convert => {
            lines_converted(body, format, histograms.always_classic, take)
        }
        BodyFormat::Lines(format) => lines(body, format, take),
    }
}

fn lines(body: &[u8], format: Format, take: &mut impl Take) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut parser = Parser::trusting(body, format)?;
    while let Some(event) = parser.next(take.expected())? {
        match event {
            Event::Series(line) => take.series(&line, || parser.kind())?,
            Event::Comment(line) => metadata_hash = hash_on(metadata_hash, line),
            Event::Metadata(_) => (),
        }
    }
    Ok(metadata_hash)
}

/// Like [`lines`], with classic histograms as native ones.
fn lines_converted(
    body: &[u8],
    format: Format,
    keeps_classic: bool,
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut converter = Converter::default();
    let mut parser = Parser::trusting(body, format)?;
    while let Some(event) = parser.next(take.expected())? {
        let line = match event {
            Event::Series(line) => line,
            Event::Comment(line) => {
                metadata_hash = hash_on(metadata_hash, line);
                continue;
            }
            Event::Metadata(_) => continue,
        };
        let (family, kind) = parser.family();
        let step = converter.step(&line, &family, kind);
        if matches!(step, Step::Begun | Step::Other) {
            converted(&mut converter, take)?;
        }
        match step {
            Step::Joined | Step::Created => (),
            Step::Begun => converter.begin(),
            Step::Other => {
                take.series(&line, || kind)?;
                continue;
            }
        }
        converter.take(&line);
        if keeps_classic {
            take.series(&line, || kind)?;
        }
    }
    converted(&mut converter, take)?;
    Ok(metadata_hash)
}

/// Takes the histogram that is complete now, if there is one.
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
    take: &mut impl Take,
) -> Result<u64, ScrapeError> {
    let mut metadata_hash = 0;
    let mut reader = Reader::new(body, histograms);
    while let Some(item) = reader.next(take.expected())? {
        match item {
            Item::Family(family) => metadata_hash = hash_family(metadata_hash, &family),
            Item::Series(line) => take.series(&line, || MetricType::Unknown)?,
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
