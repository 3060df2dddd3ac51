//! The points of a metric, each of which becomes one sample or several.

use std::collections::BTreeMap;

use model::exemplar::{Exemplar, LABELS_RUNES_MAX};
use model::histogram::ResetHint;
use model::metadata::{Metadata, MetricType};
use model::protobuf::{Fields, Value};
use model::storage::SeriesRef;
use model::{Labels, stale_nan};

use super::attributes::{Attribute, attribute};
use super::delta::{Dropped, Total};
use super::labels::{Common, push_attributes};
use super::sink::Sink;
use super::{OtlpError, WireError, histogram};
use crate::otlp::options::Options;

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`: the series has ended.
const NO_VALUE: u64 = 1;

/// A metric whose points are read.
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) metadata: Metadata,
    pub(super) common: &'a Common,
    /// What tells it from other metrics, if its points are added up.
    pub(super) stream: Option<Vec<u8>>,
    /// What is known of resets of its native histograms.
    pub(super) reset_hint: ResetHint,
}

/// What all kinds of points have.
#[derive(Default)]
pub(super) struct Point<'a> {
    attributes: Vec<Attribute<'a>>,
    /// Since when it counts: milliseconds since the epoch, 0 if that is unknown.
    start: i64,
    pub(super) t: i64,
    /// When it begins and ends, nanoseconds since the epoch.
    times: (u64, u64),
    pub(super) is_stale: bool,
    pub(super) exemplars: Vec<Exemplar>,
}

impl<'a> Point<'a> {
    fn take_time(&mut self, value: Value<'_>) -> Result<(), OtlpError> {
        self.times.1 = fixed64(value)?;
        self.t = milliseconds(self.times.1);
        Ok(())
    }

    fn take_start(&mut self, value: Value<'_>) -> Result<(), OtlpError> {
        self.times.0 = fixed64(value)?;
        self.start = milliseconds(self.times.0);
        Ok(())
    }

    fn take_flags(&mut self, value: Value<'_>) -> Result<(), OtlpError> {
        self.is_stale = value.varint("Flags")? & NO_VALUE != 0;
        Ok(())
    }

    fn take_attribute(&mut self, value: Value<'a>) -> Result<(), OtlpError> {
        self.attributes.push(attribute(value.bytes("Attributes")?)?);
        Ok(())
    }

    fn take_exemplar(&mut self, value: Value<'_>) -> Result<(), OtlpError> {
        self.exemplars.push(exemplar(value.bytes("Exemplars")?)?);
        Ok(())
    }
}

impl Metric<'_> {
    /// A point of a gauge or sum.
    pub(super) fn number(&self, message: &[u8], sink: &mut Sink<'_>) -> Result<(), OtlpError> {
        let mut point = Point::default();
        let mut number = Total::Double(0.0);
        let mut fields = Fields::of(message);
        while let Some((field, value)) = fields.read()? {
            match field {
                2 => point.take_start(value)?,
                3 => point.take_time(value)?,
                4 => number = Total::Double(value.double("AsDouble")?),
                5 => point.take_exemplar(value)?,
                6 => number = Total::Integer(fixed64(value)?.cast_signed()),
                7 => point.take_attribute(value)?,
                8 => point.take_flags(value)?,
                _ => (),
            }
        }
        let Some(number) = self.total(&mut point, number, sink) else {
            return Ok(());
        };
        let labels = self.begin(&point, sink);
        let series = self.float(&point, "", &labels, None, number.number(), sink)?;
        if let Some(series) = series {
            point
                .exemplars
                .iter()
                .for_each(|e| sink.exemplar(series, e));
        }
        Ok(())
    }

    /// A point of a summary.
    pub(super) fn summary(&self, message: &[u8], sink: &mut Sink<'_>) -> Result<(), OtlpError> {
        let mut point = Point::default();
        let (mut count, mut sum, mut quantiles) = (0, 0.0, Vec::new());
        let mut fields = Fields::of(message);
        while let Some((field, value)) = fields.read()? {
            match field {
                2 => point.take_start(value)?,
                3 => point.take_time(value)?,
                4 => count = fixed64(value)?,
                5 => sum = value.double("Sum")?,
                6 => quantiles.push(quantile(value.bytes("QuantileValues")?)?),
                7 => point.take_attribute(value)?,
                8 => point.take_flags(value)?,
                _ => (),
            }
        }
        let labels = self.begin(&point, sink);
        self.float(&point, "_sum", &labels, None, sum, sink)?;
        self.float(&point, "_count", &labels, None, count as f64, sink)?;
        for (quantile, value) in quantiles {
            let quantile = model::float::format_plain(quantile);
            let extra = Some(("quantile", quantile.as_str()));
            self.float(&point, "", &labels, extra, value, sink)?;
        }
        Ok(())
    }

    /// A point of a histogram with explicit bounds.
    pub(super) fn histogram(
        &self,
        message: &[u8],
        options: &Options,
        sink: &mut Sink<'_>,
    ) -> Result<(), OtlpError> {
        let mut point = Point::default();
        let mut found = histogram::Explicit::default();
        let mut fields = Fields::of(message);
        while let Some((field, value)) = fields.read()? {
            match field {
                2 => point.take_start(value)?,
                3 => point.take_time(value)?,
                4 => found.count = fixed64(value)?,
                5 => found.sum = Some(value.double("Sum")?),
                6 => fixed64s_into(value, &mut found.counts)?,
                7 => value.doubles_into("ExplicitBounds", &mut found.bounds)?,
                8 => point.take_exemplar(value)?,
                9 => point.take_attribute(value)?,
                10 => point.take_flags(value)?,
                _ => (),
            }
        }
        let Some(Total::Explicit(found)) = self.total(&mut point, Total::Explicit(found), sink)
        else {
            return Ok(());
        };
        let labels = self.begin(&point, sink);
        if options.converts_histograms {
            let sample = found.custom(self.reset_hint);
            return self.native(&point, &labels, sample, sink);
        }
        if let Some(sum) = found.sum {
            self.float(&point, "_sum", &labels, None, sum, sink)?;
        }
        self.float(&point, "_count", &labels, None, found.count as f64, sink)?;
        let mut exemplars = point.exemplars.clone();
        exemplars.sort_by_key(|exemplar| exemplar.t);
        let mut below = f64::NEG_INFINITY;
        for (bound, count) in found.cumulative() {
            let text = match bound.is_infinite() {
                true => "+Inf".to_owned(),
                false => model::float::format_plain(bound),
            };
            let extra = Some(("le", text.as_str()));
            let series = self.float(&point, "_bucket", &labels, extra, count as f64, sink)?;
            if let Some(series) = series {
                let is_here = |e: &&Exemplar| below < e.value && e.value <= bound;
                exemplars
                    .iter()
                    .filter(is_here)
                    .for_each(|e| sink.exemplar(series, e));
            }
            below = bound;
        }
        Ok(())
    }

    /// A point of an exponential histogram.
    pub(super) fn exponential(&self, message: &[u8], sink: &mut Sink<'_>) -> Result<(), OtlpError> {
        let mut point = Point::default();
        let mut found = histogram::Exponential::default();
        let mut fields = Fields::of(message);
        while let Some((field, value)) = fields.read()? {
            match field {
                1 => point.take_attribute(value)?,
                2 => point.take_start(value)?,
                3 => point.take_time(value)?,
                4 => found.count = fixed64(value)?,
                5 => found.sum = value.double("Sum")?,
                6 => found.take_scale(value)?,
                7 => found.zero_count = fixed64(value)?,
                8 => found.positive = histogram::Buckets::read(value.bytes("Positive")?)?,
                9 => found.negative = histogram::Buckets::read(value.bytes("Negative")?)?,
                10 => point.take_flags(value)?,
                11 => point.take_exemplar(value)?,
                14 => found.zero_threshold = value.double("ZeroThreshold")?,
                _ => (),
            }
        }
        let found = Total::Exponential(found);
        let Some(Total::Exponential(found)) = self.total(&mut point, found, sink) else {
            return Ok(());
        };
        let labels = self.begin(&point, sink);
        self.native(&point, &labels, found.native(self.reset_hint), sink)
    }

    /// Returns what is to be stored of a point that counts `found`: the sum so far where points are added up. `None` if the
    /// point is dropped, of which the sender is told.
    fn total(&self, point: &mut Point<'_>, found: Total, sink: &mut Sink<'_>) -> Option<Total> {
        let Some(stream) = &self.stream else {
            return Some(found);
        };
        let mut identity = stream.clone();
        push_attributes(&mut identity, &point.attributes);
        let key = sink.totals.key(&identity);
        if point.is_stale {
            sink.totals.end(key);
            return Some(found);
        }
        let sum = sink.totals.add(key, point.times, found, sink.now_ms);
        let told = |why: &Dropped| {
            let name = self.name;
            sink.report
                .leave_out(1, || format!("metric {name:?}: {why}"));
        };
        let (sum, start) = sum.inspect_err(told).ok()?;
        point.start = milliseconds(start);
        Some(sum)
    }

    fn begin(&self, point: &Point<'_>, sink: &mut Sink<'_>) -> BTreeMap<String, String> {
        sink.saw(point.t);
        self.common.labels(&point.attributes)
    }

    /// Returns since when a point counts; a gauge does not, whatever it says.
    fn start(&self, point: &Point<'_>) -> i64 {
        match self.metadata.kind {
            MetricType::Gauge => 0,
            _ => point.start,
        }
    }

    /// Adds a float sample of one of the metric's series, and returns the series.
    fn float(
        &self,
        point: &Point<'_>,
        suffix: &str,
        labels: &BTreeMap<String, String>,
        extra: Option<(&str, &str)>,
        value: f64,
        sink: &mut Sink<'_>,
    ) -> Result<Option<SeriesRef>, OtlpError> {
        let name = format!("{}{suffix}", self.name);
        let series = sink.series(&name, labels, extra, &self.metadata)?;
        if let Some(series) = series {
            let value = if point.is_stale { stale_nan() } else { value };
            sink.float(series, self.start(point), point.t, value, &name)?;
        }
        Ok(series)
    }

    /// Adds a native histogram, or the end of the series.
    fn native(
        &self,
        point: &Point<'_>,
        labels: &BTreeMap<String, String>,
        sample: Result<model::storage::HistogramSample, String>,
        sink: &mut Sink<'_>,
    ) -> Result<(), OtlpError> {
        if point.is_stale {
            return self.float(point, "", labels, None, 0.0, sink).map(|_| ());
        }
        let sample = match sample {
            Ok(sample) => sample,
            Err(why) => {
                let name = self.name;
                sink.report
                    .leave_out(1, || format!("metric {name:?}: {why}"));
                return Ok(());
            }
        };
        if let Some(series) = sink.series(self.name, labels, None, &self.metadata)? {
            sink.histogram(series, self.start(point), point.t, sample, self.name)?;
            let mut exemplars: Vec<&Exemplar> = point.exemplars.iter().collect();
            exemplars.sort_by_key(|exemplar| exemplar.t);
            exemplars.into_iter().for_each(|e| sink.exemplar(series, e));
        }
        Ok(())
    }
}

/// Returns the milliseconds of a number of nanoseconds since the epoch.
fn milliseconds(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX)
}

/// Returns the bits of a `fixed64` or `sfixed64` field.
fn fixed64(value: Value<'_>) -> Result<u64, WireError> {
    match value {
        Value::Fixed64(bits) => Ok(bits),
        other => other.double("fixed64").map(f64::to_bits),
    }
}

/// Appends the numbers of a repeated `fixed64` field, which may be packed or not.
fn fixed64s_into(value: Value<'_>, out: &mut Vec<u64>) -> Result<(), WireError> {
    match value {
        Value::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(WireError::Truncated);
            }
            out.extend(numbers.iter().map(|&bytes| u64::from_le_bytes(bytes)));
        }
        other => out.push(fixed64(other)?),
    }
    Ok(())
}

/// Returns quantile and value of a `ValueAtQuantile` message.
fn quantile(message: &[u8]) -> Result<(f64, f64), WireError> {
    let (mut quantile, mut at) = (0.0, 0.0);
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.read()? {
        match field {
            1 => quantile = value.double("Quantile")?,
            2 => at = value.double("Value")?,
            _ => (),
        }
    }
    Ok((quantile, at))
}

/// Returns an exemplar; attributes that make it too long are left out, and the trace stays.
fn exemplar(message: &[u8]) -> Result<Exemplar, OtlpError> {
    let (mut t, mut number) = (0, 0.0);
    let (mut attributes, mut trace) = (Vec::new(), Vec::new());
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.read()? {
        match field {
            2 => t = milliseconds(fixed64(value)?),
            3 => number = value.double("AsDouble")?,
            4 => trace.push(("span_id", hex(value.bytes("SpanId")?))),
            5 => trace.push(("trace_id", hex(value.bytes("TraceId")?))),
            6 => number = fixed64(value)?.cast_signed() as f64,
            7 => attributes.push(attribute(value.bytes("FilteredAttributes")?)?),
            _ => (),
        }
    }
    let trace = trace.iter().filter(|(_, id)| !id.is_empty());
    let mut pairs: BTreeMap<&str, &str> = trace.map(|(name, id)| (*name, id.as_str())).collect();
    let runes = |name: &str, value: &str| name.chars().count() + value.chars().count();
    let all = attributes.iter().map(|a| (a.name, a.value.as_str()));
    let total: usize = all
        .clone()
        .chain(pairs.iter().map(|(n, v)| (*n, *v)))
        .map(|(n, v)| runes(n, v))
        .sum();
    if total <= LABELS_RUNES_MAX {
        pairs.extend(all);
    }
    Ok(Exemplar {
        labels: Labels::from_pairs(pairs),
        value: number,
        t: Some(t),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
