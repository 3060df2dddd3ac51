//! Prometheus' protobuf format: `io.prometheus.client.MetricFamily` messages, each after its length, read from borrowed bytes.
//!
//! The series of a message are named as a line of the text formats would name them, so that everything behind the parsers
//! knows them by the same text; it is written into a buffer that each series uses after the other.
//!
//! # Bounds
//!
//! Nothing nests deeper than the messages' own types. What is held is one series' name and one histogram, which are no
//! longer than the body. A body can name one long label with few bytes again and again: the names of all its series together
//! may be as long as those of the longest text body, [`TEXT_BYTES_MAX`].
//!
//! Source: [exposition formats](https://prometheus.io/docs/instrumenting/exposition_formats/#protobuf-format) and
//! `io/prometheus/client/metrics.proto` of client_model, whose field numbers are used here.

mod family;
mod histogram;

use model::Labels;
use model::exemplar::Exemplar;
use model::metadata::MetricType;
use model::protobuf::{Fields, Value, WireError, varint};
use model::sample::NORMAL_NAN_BITS;
use model::storage::HistogramSample;

pub use family::Family;
use histogram::HistogramMessage;

use super::classic::ClassicHistogram;
use super::{ExemplarText, Expected, ParseError, Place, SeriesLine, key};

/// How long the names and labels of all series of a body may be together, in bytes: what a text body may have.
pub const TEXT_BYTES_MAX: usize = crate::job::BODY_BYTES_MAX;

/// What becomes of histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Native ones are taken as such; otherwise only their classic buckets count.
    pub native: bool,
    /// Classic buckets are taken also where a native histogram stands for them.
    pub always_classic: bool,
    /// Classic histograms become native ones with custom buckets.
    pub convert: bool,
}

/// What comes next in a body.
#[derive(Debug)]
pub enum Item<'r> {
    /// A family begins.
    Family(Family<'r>),
    /// A float sample, and since when its counter counts: milliseconds since the epoch, 0 if that is unknown or was not
    /// asked for.
    Series(SeriesLine<'r>, i64),
    /// A native histogram.
    Histogram(HistogramLine<'r>),
    /// A classic histogram that was to be converted and contradicts itself.
    Unconvertible,
}

/// One sample that is a native histogram.
#[derive(Debug)]
pub struct HistogramLine<'r> {
    /// Name and labels, as a line would have them.
    pub series: &'r str,
    /// Whether that is the series that the caller expected.
    pub is_expected: bool,
    /// The histogram.
    pub sample: HistogramSample,
    /// The sample's own timestamp, milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Since when it counts: milliseconds since the epoch, 0 if that is unknown or was not asked for.
    pub start: i64,
    /// Those of its exemplars that say their time.
    pub exemplars: Vec<Exemplar>,
}

/// Reads a body series by series.
pub struct Reader<'a> {
    body: &'a [u8],
    rest: &'a [u8],
    /// Where the family at hand begins.
    family_at: usize,
    options: HistogramOptions,
    wants_starts: bool,
    family: Family<'a>,
    name: key::Name<'a>,
    /// What is left of the family's message.
    metrics: Fields<'a>,
    metric: Option<Metric<'a>>,
    /// The labels of the metric at hand, see [`key::push_label`].
    labels: String,
    series: String,
    exemplar: String,
    /// How much was written into `series` so far.
    text_bytes: usize,
    classic: ClassicHistogram,
}

/// One metric and how far it is read.
struct Metric<'a> {
    timestamp_ms: Option<i64>,
    start: i64,
    next: Next<'a>,
}

/// What of a metric comes next.
enum Next<'a> {
    /// The one sample.
    Value(f64, Option<&'a [u8]>),
    Summary(&'a [u8], Part<'a>),
    Native(HistogramMessage<'a>),
    Converted(HistogramMessage<'a>),
    Classic(HistogramMessage<'a>, Part<'a>),
    Nothing,
}

/// Which series of several comes next.
#[derive(Clone, Copy)]
enum Part<'a> {
    Count,
    Sum,
    /// Buckets or quantiles: what is left of the message, and whether the infinite bucket was among them.
    Each(Fields<'a>, bool),
}

/// One float sample as it is found, before its series is written.
struct Float<'a> {
    suffix: &'static str,
    bound: Option<(&'static str, f64)>,
    value: f64,
    exemplar: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    /// Returns a reader at the start of `body`.
    pub fn new(body: &'a [u8], options: HistogramOptions) -> Self {
        Reader {
            body,
            rest: body,
            family_at: 0,
            options,
            wants_starts: false,
            family: Family::default(),
            name: key::Name::default(),
            metrics: Fields::of(&[]),
            metric: None,
            labels: String::new(),
            series: String::new(),
            exemplar: String::new(),
            text_bytes: 0,
            classic: ClassicHistogram::default(),
        }
    }

    /// Looks for start timestamps too, if `wants_starts`.
    #[must_use]
    pub fn with_starts(mut self, wants_starts: bool) -> Self {
        self.wants_starts = wants_starts;
        self
    }

    /// Returns what comes next; `None` at the end.
    ///
    /// * `expected`: the series that probably comes next.
    ///
    /// # Errors
    ///
    /// When the bytes are no such message, or name too much. The reader cannot go on then.
    pub fn next(&mut self, expected: Expected) -> Result<Option<Item<'_>>, ParseError> {
        loop {
            if let Some(metric) = &mut self.metric {
                match std::mem::replace(&mut metric.next, Next::Nothing) {
                    Next::Nothing => self.metric = None,
                    Next::Native(message) => {
                        if self.options.always_classic && message.has_classic() {
                            metric.next = Next::Classic(message, Part::Count);
                        }
                        let sample = message.native().map_err(|e| self.error(e))?;
                        return self.histogram(sample, &message, expected).map(Some);
                    }
                    Next::Converted(message) => {
                        if self.options.always_classic {
                            metric.next = Next::Classic(message, Part::Count);
                        }
                        message
                            .classic_into(&mut self.classic)
                            .map_err(|e| self.error(e))?;
                        return match self.classic.convert() {
                            Some(sample) => self.histogram(sample, &message, expected).map(Some),
                            None => Ok(Some(Item::Unconvertible)),
                        };
                    }
                    next => {
                        let float = metric.float(next).map_err(|e| self.error(e))?;
                        if let Some(float) = float {
                            return self.series(float, expected).map(Some);
                        }
                    }
                }
            } else if !self.next_metric().map_err(|e| self.error(e))? {
                if self.rest.is_empty() {
                    return Ok(None);
                }
                self.next_family()?;
                return Ok(Some(Item::Family(self.family)));
            }
        }
    }

    /// Returns the next family without looking at its metrics; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the bytes are no such message.
    pub fn next_family_only(&mut self) -> Result<Option<Family<'a>>, ParseError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.next_family()?;
        self.metrics = Fields::of(&[]);
        Ok(Some(self.family))
    }

    fn next_family(&mut self) -> Result<(), ParseError> {
        self.family_at = self.body.len() - self.rest.len();
        let message = delimited(&mut self.rest).map_err(|e| self.error(e))?;
        self.family = Family::read(message).map_err(|e| self.error(e))?;
        self.name = key::Name::of(self.family.name);
        self.metrics = Fields::of(message);
        Ok(())
    }

    /// Goes to the family's next metric, if there is one.
    fn next_metric(&mut self) -> Result<bool, Problem> {
        while let Some((number, value)) = self.metrics.read()? {
            if number == 4 {
                let metric = value.bytes("Metric")?;
                self.metric = Some(self.read_metric(metric)?);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_metric(&mut self, message: &'a [u8]) -> Result<Metric<'a>, Problem> {
        self.labels.clear();
        let mut fields = Fields::of(message);
        let mut timestamp_ms = 0;
        let mut parts: [Option<&[u8]>; 8] = [None; 8];
        while let Some((number, value)) = fields.read()? {
            match number {
                1 => {
                    let (name, value) = pair(value.bytes("Label")?)?;
                    key::push_label(&mut self.labels, name, value);
                }
                2..=5 | 7 => parts[number as usize] = Some(value.bytes("Metric value")?),
                6 => timestamp_ms = value.int64("TimestampMs")?,
                _ => (),
            }
        }
        let part = |number: usize, what| parts[number].ok_or(Problem::Missing(what));
        let next = match self.family.kind {
            MetricType::Gauge => Next::Value(gauge(part(2, "gauge")?)?, None),
            MetricType::Counter => {
                let (value, exemplar) = counter(part(3, "counter")?)?;
                Next::Value(value, exemplar)
            }
            MetricType::Summary => Next::Summary(part(4, "summary")?, Part::Count),
            MetricType::Histogram | MetricType::GaugeHistogram => {
                self.histogram_parts(part(7, "histogram")?)?
            }
            _ => Next::Value(gauge(part(5, "untyped")?)?, None),
        };
        let timestamp_ms = Some(timestamp_ms).filter(|&t| t != 0);
        let start = match self.family.kind {
            _ if !self.wants_starts => 0,
            MetricType::Counter => start_of(parts[3], 3)?,
            MetricType::Summary => start_of(parts[4], 4)?,
            MetricType::Histogram => start_of(parts[7], 15)?,
            _ => 0,
        };
        Ok(Metric {
            timestamp_ms,
            start,
            next,
        })
    }

    fn histogram_parts(&self, message: &'a [u8]) -> Result<Next<'a>, Problem> {
        let is_gauge = self.family.kind == MetricType::GaugeHistogram;
        let message = HistogramMessage::read(message, is_gauge)?;
        Ok(if self.options.native && message.is_native() {
            Next::Native(message)
        } else if self.options.convert && !is_gauge {
            Next::Converted(message)
        } else {
            Next::Classic(message, Part::Count)
        })
    }

    fn histogram(
        &mut self,
        sample: HistogramSample,
        message: &HistogramMessage<'a>,
        expected: Expected,
    ) -> Result<Item<'_>, ParseError> {
        let exemplars = message.exemplars().map_err(|e| self.error(e))?;
        let is_expected = self.write_series("", None, expected)?;
        Ok(Item::Histogram(HistogramLine {
            series: &self.series,
            is_expected,
            sample,
            timestamp_ms: self.metric.as_ref().and_then(|m| m.timestamp_ms),
            start: self.start(),
            exemplars,
        }))
    }

    fn series(&mut self, float: Float<'a>, expected: Expected) -> Result<Item<'_>, ParseError> {
        let is_expected = self.write_series(float.suffix, float.bound, expected)?;
        let exemplar = match float.exemplar {
            Some(message) => {
                let found = read_exemplar(message).map_err(|e| self.error(e))?;
                let mut labels = String::new();
                for (name, value) in &found.labels {
                    key::push_label(&mut labels, name, value);
                }
                key::write_braces(&mut self.exemplar, &labels);
                Some(ExemplarText {
                    labels: &self.exemplar,
                    value: found.value,
                    timestamp_ms: found.timestamp_ms,
                })
            }
            None => None,
        };
        let line = SeriesLine {
            series: &self.series,
            is_expected,
            value: normal(float.value),
            timestamp_ms: self.metric.as_ref().and_then(|m| m.timestamp_ms),
            exemplar,
        };
        Ok(Item::Series(line, self.start()))
    }

    /// Returns since when the metric at hand counts.
    fn start(&self) -> i64 {
        self.metric.as_ref().map_or(0, |metric| metric.start)
    }

    /// Writes the series of the metric at hand; returns whether it is the expected one.
    fn write_series(
        &mut self,
        suffix: &str,
        bound: Option<(&str, f64)>,
        expected: Expected,
    ) -> Result<bool, ParseError> {
        key::write(&mut self.series, self.name, suffix, &self.labels, bound);
        self.text_bytes += self.series.len();
        if TEXT_BYTES_MAX < self.text_bytes {
            return Err(self.error(Problem::TooLong));
        }
        Ok(expected.is(&self.series))
    }

    #[cold]
    fn error(&self, problem: Problem) -> ParseError {
        ParseError {
            place: Place::Byte(self.family_at),
            what: format!("metric family {:?}: {problem}", cut(self.family.name)),
        }
    }
}

impl<'a> Metric<'a> {
    /// Returns the sample that `next` says, and remembers which one follows; `None` when nothing is left.
    fn float(&mut self, next: Next<'a>) -> Result<Option<Float<'a>>, Problem> {
        let plain = |suffix, value, exemplar| Float {
            suffix,
            bound: None,
            value,
            exemplar,
        };
        let (float, next) = match next {
            Next::Value(value, exemplar) => (plain("", value, exemplar), Next::Nothing),
            Next::Summary(message, Part::Count) => {
                let count = Fields::of(message).find_varint(1, "SampleCount")?;
                (
                    plain("_count", count as f64, None),
                    Next::Summary(message, Part::Sum),
                )
            }
            Next::Summary(message, Part::Sum) => {
                let sum = Fields::of(message).find_double(2, "SampleSum")?;
                let rest = Part::Each(Fields::of(message), false);
                (plain("_sum", sum, None), Next::Summary(message, rest))
            }
            Next::Summary(message, Part::Each(mut fields, _)) => {
                let Some((quantile, value)) = next_quantile(&mut fields)? else {
                    return Ok(None);
                };
                let bound = Some(("quantile", quantile));
                let float = Float {
                    bound,
                    ..plain("", value, None)
                };
                (float, Next::Summary(message, Part::Each(fields, false)))
            }
            Next::Classic(message, Part::Count) => {
                let count = message.count();
                (
                    plain("_count", count, None),
                    Next::Classic(message, Part::Sum),
                )
            }
            Next::Classic(message, Part::Sum) => {
                let sum = message.sum;
                let rest = Part::Each(message.fields(), false);
                (plain("_sum", sum, None), Next::Classic(message, rest))
            }
            Next::Classic(message, Part::Each(mut fields, had_infinite)) => {
                let (bucket, had_infinite) = match histogram::next_bucket(&mut fields)? {
                    Some(bucket) => (bucket, had_infinite || bucket.bound == f64::INFINITY),
                    None if had_infinite => return Ok(None),
                    // Who does not say how many there are in all means the count.
                    None => (message.infinite_bucket(), true),
                };
                let bound = Some(("le", bucket.bound));
                let float = Float {
                    bound,
                    ..plain("_bucket", bucket.count, bucket.exemplar)
                };
                (
                    float,
                    Next::Classic(message, Part::Each(fields, had_infinite)),
                )
            }
            Next::Native(_) | Next::Converted(_) | Next::Nothing => return Ok(None),
        };
        self.next = next;
        Ok(Some(float))
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0} is not valid UTF-8")]
    Text(&'static str),
    #[error("a metric has no {0}, which its family's type promises")]
    Missing(&'static str),
    #[error("names and labels are longer than {TEXT_BYTES_MAX} bytes together")]
    TooLong,
}

/// Finds single fields without reading the others.
trait Find {
    fn find_varint(self, number: u32, name: &'static str) -> Result<u64, WireError>;
    fn find_double(self, number: u32, name: &'static str) -> Result<f64, WireError>;
}

impl Find for Fields<'_> {
    fn find_varint(mut self, number: u32, name: &'static str) -> Result<u64, WireError> {
        let mut found = 0;
        while let Some((at, value)) = self.read()? {
            if at == number {
                found = value.varint(name)?;
            }
        }
        Ok(found)
    }

    fn find_double(mut self, number: u32, name: &'static str) -> Result<f64, WireError> {
        let mut found = 0.0;
        while let Some((at, value)) = self.read()? {
            if at == number {
                found = value.double(name)?;
            }
        }
        Ok(found)
    }
}

/// Takes a message with its length off the front of `bytes`.
fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Problem> {
    let length = usize::try_from(varint(bytes)?).map_err(|_| WireError::Truncated)?;
    let (message, rest) = bytes.split_at_checked(length).ok_or(WireError::Truncated)?;
    *bytes = rest;
    Ok(message)
}

/// Returns the start timestamp of a counter, summary or histogram, 0 if it has none.
///
/// * `number`: of its field.
fn start_of(message: Option<&[u8]>, number: u32) -> Result<i64, Problem> {
    let mut fields = Fields::of(message.unwrap_or_default());
    let mut start = 0;
    while let Some((at, value)) = fields.read()? {
        if at == number {
            start = timestamp(value.bytes("CreatedTimestamp")?)?;
        }
    }
    Ok(start)
}

/// Returns the value of a gauge or an untyped metric.
fn gauge(message: &[u8]) -> Result<f64, Problem> {
    Ok(Fields::of(message).find_double(1, "Value")?)
}

/// Returns a counter's value and its exemplar.
fn counter(message: &[u8]) -> Result<(f64, Option<&[u8]>), Problem> {
    let mut fields = Fields::of(message);
    let (mut number, mut exemplar) = (0.0, None);
    while let Some((at, value)) = fields.read()? {
        match at {
            1 => number = value.double("Value")?,
            2 => exemplar = Some(value.bytes("Exemplar")?),
            _ => (),
        }
    }
    Ok((number, exemplar))
}

fn next_quantile(fields: &mut Fields<'_>) -> Result<Option<(f64, f64)>, Problem> {
    while let Some((number, value)) = fields.read()? {
        if number == 3 {
            let quantile = Fields::of(value.bytes("Quantile")?);
            let at = quantile.find_double(1, "Quantile")?;
            return Ok(Some((at, quantile.find_double(2, "Value")?)));
        }
    }
    Ok(None)
}

/// An exemplar as it stands in the message.
struct RawExemplar<'a> {
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
    timestamp_ms: Option<i64>,
}

impl RawExemplar<'_> {
    fn into_exemplar(self) -> Exemplar {
        Exemplar {
            labels: Labels::from_pairs(self.labels),
            value: self.value,
            t: self.timestamp_ms,
        }
    }
}

fn read_exemplar(message: &[u8]) -> Result<RawExemplar<'_>, Problem> {
    let mut found = RawExemplar {
        labels: Vec::new(),
        value: 0.0,
        timestamp_ms: None,
    };
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => found.labels.push(pair(value.bytes("Label")?)?),
            2 => found.value = normal(value.double("Value")?),
            3 => found.timestamp_ms = Some(timestamp(value.bytes("Timestamp")?)?),
            _ => (),
        }
    }
    Ok(found)
}

/// Returns a `google.protobuf.Timestamp` in milliseconds since the epoch.
fn timestamp(message: &[u8]) -> Result<i64, Problem> {
    let fields = Fields::of(message);
    let seconds = fields.find_varint(1, "Seconds")?.cast_signed();
    let nanos = fields.find_varint(2, "Nanos")?.cast_signed();
    Ok(seconds
        .saturating_mul(1_000)
        .saturating_add(nanos.div_euclid(1_000_000)))
}

/// Returns name and value of a `LabelPair`.
fn pair(message: &[u8]) -> Result<(&str, &str), Problem> {
    let mut fields = Fields::of(message);
    let (mut name, mut text) = ("", "");
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = utf8(value, "a label name")?,
            2 => text = utf8(value, "a label value")?,
            _ => (),
        }
    }
    Ok((name, text))
}

fn utf8<'a>(value: Value<'a>, what: &'static str) -> Result<&'a str, Problem> {
    std::str::from_utf8(value.bytes("string")?).map_err(|_| Problem::Text(what))
}

/// A NaN that a target sends must not be taken for a staleness marker.
fn normal(value: f64) -> f64 {
    if value.is_nan() {
        f64::from_bits(NORMAL_NAN_BITS)
    } else {
        value
    }
}

/// Returns the first 50 characters.
fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(50);
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
