//! OTLP metrics: what a request of OpenTelemetry's protocol asks to store, and storing it.
//!
//! ```text
//! bytes ─► resources ─► scopes ─► metrics ─► points ─► translated (names, labels) ─► appender
//! ```
//!
//! JSON is written as the bytes of the same message first (`json`).
//!
//! Each series' labels are made anew from attributes, so this costs more than remote write.
//!
//! Points of delta temporality are left out, metric by metric, and the sender is told; or they are stored as they are, or added
//! up (`delta`) as [`Deltas`] says.
//!
//! Source: [OTLP](https://opentelemetry.io/docs/specs/otlp/), `opentelemetry/proto/metrics/v1/metrics.proto`, whose field
//! numbers are used here, and what Prometheus 3.5 makes of it.

mod attributes;
mod delta;
mod histogram;
mod json;
mod labels;
mod name;
mod options;
mod point;
mod sink;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use metrics::{Counter, Registry};
use model::histogram::ResetHint;
use model::metadata::{Metadata, MetricType};
use model::protobuf::{Fields, WireError};
use model::storage::{AppendError, Appendable};

use attributes::{attribute, text};
pub use delta::STREAMS_BYTES_MAX;
use labels::{Resource, Scope};
use name::{NameKind, metric_name};
pub use options::{Deltas, Options, Promoted, TranslationStrategy};
use sink::Sink;

/// Most bytes that the labels of all series of one request may have together: a request can have a long attribute of its
/// resource put to each of many points.
pub const LABELS_BYTES_MAX: usize = 128 << 20;

/// Most bytes that a request in JSON may have as protobuf, which takes more than JSON for lists of small numbers.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// Why a request was not stored, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// The bytes are no request: sending them again does not help.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The text is no request: sending it again does not help.
    #[error("read the request as JSON: {0}")]
    Json(String),
    /// A name, or another text, is none.
    #[error("a string of the request is not valid UTF-8")]
    Text,
    /// Lists and maps are in one another more deeply than is taken.
    #[error("attributes are nested more than {0} levels deep")]
    Depth(usize),
    /// The labels are too long.
    #[error("the labels of all series of the request have more than {0} bytes together")]
    Labels(usize),
    /// The storage failed: sending it again may help.
    #[error(transparent)]
    Storage(AppendError),
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpReport {
    /// Samples that were stored, histograms among them.
    pub stored: u64,
    /// Samples that the storage refused, and the first reasons.
    pub refused: u64,
    /// Why, one reason for each of the first.
    pub reasons: Vec<String>,
    /// Points of metrics that cannot be translated.
    pub untranslated: u64,
    /// Why, for the first of them.
    pub untranslated_reason: String,
}

/// How many reasons are told to the sender; the others are counted.
const REASONS_MAX: usize = 20;

impl OtlpReport {
    fn refuse(&mut self, reason: impl FnOnce() -> String) {
        self.refused += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason());
        }
    }

    fn leave_out(&mut self, points: u64, reason: impl FnOnce() -> String) {
        if self.untranslated == 0 {
            self.untranslated_reason = reason();
        }
        self.untranslated += points;
    }
}

/// Stores requests.
pub struct OtlpIngest {
    storage: Arc<dyn Appendable>,
    totals: delta::Totals,
    stored: Counter,
    refused: Counter,
    untranslated: Counter,
    failed: Counter,
}

impl OtlpIngest {
    /// Returns one that stores to `storage` and counts in `registry`.
    pub fn new(storage: Arc<dyn Appendable>, registry: &Registry) -> Self {
        OtlpIngest {
            storage,
            totals: delta::Totals::new(registry),
            stored: registry.counter(
                "hearth_otlp_samples_stored_total",
                "Samples of OTLP requests that were stored.",
            ),
            refused: registry.counter(
                "hearth_otlp_samples_refused_total",
                "Samples of OTLP requests that the storage refused.",
            ),
            untranslated: registry.counter(
                "hearth_otlp_points_untranslated_total",
                "Points of OTLP requests that have no counterpart here, such as those of delta temporality.",
            ),
            failed: registry.counter(
                "hearth_otlp_requests_failed_total",
                "OTLP requests that were malformed, or that the storage failed to store.",
            ),
        }
    }

    /// Stores a request, which is an `ExportMetricsServiceRequest` that was decompressed.
    ///
    /// * `now_ms`: milliseconds since the epoch; samples of ten minutes later and more are refused.
    ///
    /// # Errors
    ///
    /// When it is malformed, asks for too much or the storage fails; a part may be stored then.
    pub fn write(
        &self,
        request: &[u8],
        options: &Options,
        now_ms: i64,
    ) -> Result<OtlpReport, OtlpError> {
        self.count(self.store(request, options, now_ms))
    }

    /// Stores a request as [`Self::write`] does, which is in OTLP's JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::write`]; nothing is stored of what is no JSON, or more than [`JSON_BYTES_MAX`] as protobuf.
    pub fn write_json(
        &self,
        request: &[u8],
        options: &Options,
        now_ms: i64,
    ) -> Result<OtlpReport, OtlpError> {
        let message = json::message(request, JSON_BYTES_MAX).map_err(OtlpError::Json);
        self.count(message.and_then(|message| self.store(&message, options, now_ms)))
    }

    fn store(
        &self,
        request: &[u8],
        options: &Options,
        now_ms: i64,
    ) -> Result<OtlpReport, OtlpError> {
        if options.deltas == Deltas::AddedUp {
            self.totals.sweep(now_ms);
        }
        let mut sink = Sink::new(&*self.storage, &self.totals, now_ms);
        read(request, options, &mut sink)?;
        // What was read until then may be stored; the sender will not send it again in another way.
        sink.finish()
    }

    fn count(&self, outcome: Result<OtlpReport, OtlpError>) -> Result<OtlpReport, OtlpError> {
        match &outcome {
            Ok(report) => {
                self.stored.add(report.stored as f64);
                self.refused.add(report.refused as f64);
                self.untranslated.add(report.untranslated as f64);
            }
            Err(_) => self.failed.inc(),
        }
        outcome
    }
}

fn read(request: &[u8], options: &Options, sink: &mut Sink<'_>) -> Result<(), OtlpError> {
    let mut fields = Fields::of(request);
    while let Some((number, value)) = fields.read()? {
        if number == 1 {
            resource_metrics(value.bytes("ResourceMetrics")?, options, sink)?;
        }
    }
    Ok(())
}

fn resource_metrics(
    message: &[u8],
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<(), OtlpError> {
    let mut resource = Resource::default();
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        if number == 1 {
            let mut attributes = Fields::of(value.bytes("Resource")?);
            while let Some((number, value)) = attributes.read()? {
                if number == 1 {
                    resource
                        .attributes
                        .push(attribute(value.bytes("Attributes")?)?);
                }
            }
        }
    }
    resource.finish(options);
    sink.begin_resource();
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        if number == 2 {
            scope_metrics(value.bytes("ScopeMetrics")?, options, &resource, sink)?;
        }
    }
    sink.target_info(&resource)
}

fn scope_metrics(
    message: &[u8],
    options: &Options,
    resource: &Resource<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), OtlpError> {
    let mut scope = Scope::default();
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => {
                let mut parts = Fields::of(value.bytes("Scope")?);
                while let Some((number, value)) = parts.read()? {
                    match number {
                        1 => scope.name = text(value.bytes("Name")?)?,
                        2 => scope.version = text(value.bytes("Version")?)?,
                        3 => scope
                            .attributes
                            .push(attribute(value.bytes("Attributes")?)?),
                        _ => (),
                    }
                }
            }
            3 => scope.schema_url = text(value.bytes("SchemaUrl")?)?,
            _ => (),
        }
    }
    let common = labels::common(options, resource, &scope);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        if number == 2 {
            metric(value.bytes("Metrics")?, options, &common, sink)?;
        }
    }
    Ok(())
}

/// A metric's data: what kind it is, and the message with its points.
#[derive(Clone, Copy)]
enum Data<'a> {
    Gauge(&'a [u8]),
    Sum(&'a [u8]),
    Histogram(&'a [u8]),
    Exponential(&'a [u8]),
    Summary(&'a [u8]),
}

fn metric(
    message: &[u8],
    options: &Options,
    common: &labels::Common,
    sink: &mut Sink<'_>,
) -> Result<(), OtlpError> {
    let (mut name, mut description, mut unit, mut data) = ("", "", "", None);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = text(value.bytes("Name")?)?,
            2 => description = text(value.bytes("Description")?)?,
            3 => unit = text(value.bytes("Unit")?)?,
            5 => data = Some(Data::Gauge(value.bytes("Gauge")?)),
            7 => data = Some(Data::Sum(value.bytes("Sum")?)),
            9 => data = Some(Data::Histogram(value.bytes("Histogram")?)),
            10 => data = Some(Data::Exponential(value.bytes("ExponentialHistogram")?)),
            11 => data = Some(Data::Summary(value.bytes("Summary")?)),
            _ => (),
        }
    }
    let Some(data) = data else {
        return Ok(());
    };
    let shape = Shape::read(data)?;
    let is_delta = shape.temporality == Temporality::Delta;
    let is_taken = !is_delta || options.deltas != Deltas::LeftOut;
    if !is_taken || shape.temporality == Temporality::Other {
        sink.report.leave_out(shape.points, || {
            format!("invalid temporality and type combination for metric {name:?}")
        });
        return Ok(());
    }
    let adds_up = is_delta && options.deltas == Deltas::AddedUp;
    let (kind, name_kind) = match data {
        Data::Gauge(_) => (MetricType::Gauge, NameKind::Gauge),
        Data::Sum(_) if shape.is_monotonic => (MetricType::Counter, NameKind::Counter),
        Data::Sum(_) => (MetricType::Gauge, NameKind::Other),
        Data::Histogram(_) | Data::Exponential(_) => (MetricType::Histogram, NameKind::Other),
        Data::Summary(_) => (MetricType::Summary, NameKind::Other),
    };
    let translated = metric_name(options.strategy, name, unit, name_kind);
    if translated.is_empty() {
        sink.report.leave_out(shape.points, || {
            format!("nothing of the name of metric {name:?} can be kept")
        });
        return Ok(());
    }
    let (main, per) = name::unit_words(unit);
    let metric = point::Metric {
        name: &translated,
        metadata: Metadata {
            kind: match is_delta && !adds_up {
                true => MetricType::Unknown,
                false => kind,
            },
            help: description.to_owned(),
            unit: match per.is_empty() {
                true => main,
                false => format!("{main}_per_{per}"),
            },
        },
        common,
        stream: adds_up.then(|| {
            let mut identity = common.identity.clone();
            labels::push_text(&mut identity, name);
            labels::push_text(&mut identity, unit);
            identity.extend([data.number(), u8::from(shape.is_monotonic)]);
            identity
        }),
        // A lower count than before is no reset then, and needs no new chunk.
        reset_hint: match is_delta && !adds_up {
            true => ResetHint::Gauge,
            false => ResetHint::Unknown,
        },
    };
    match data {
        Data::Gauge(message) | Data::Sum(message) => {
            each_point(message, |point| metric.number(point, sink))
        }
        Data::Histogram(message) => {
            each_point(message, |point| metric.histogram(point, options, sink))
        }
        Data::Exponential(message) => each_point(message, |point| metric.exponential(point, sink)),
        Data::Summary(message) => each_point(message, |point| metric.summary(point, sink)),
    }
}

impl Data<'_> {
    /// Returns the number of its field.
    fn number(self) -> u8 {
        match self {
            Data::Gauge(_) => 5,
            Data::Sum(_) => 7,
            Data::Histogram(_) => 9,
            Data::Exponential(_) => 10,
            Data::Summary(_) => 11,
        }
    }
}

/// Since when the points of a metric count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temporality {
    /// Since the process started; or they count nothing.
    Cumulative,
    /// Since the last point.
    Delta,
    /// Nobody knows.
    Other,
}

/// What the points of a metric have in common.
struct Shape {
    points: u64,
    temporality: Temporality,
    is_monotonic: bool,
}

impl Shape {
    fn read(data: Data<'_>) -> Result<Self, OtlpError> {
        let (message, has_temporality) = match data {
            Data::Gauge(message) | Data::Summary(message) => (message, false),
            Data::Sum(message) | Data::Histogram(message) | Data::Exponential(message) => {
                (message, true)
            }
        };
        let mut shape = Shape {
            points: 0,
            temporality: match has_temporality {
                true => Temporality::Other,
                false => Temporality::Cumulative,
            },
            is_monotonic: false,
        };
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.read()? {
            match number {
                1 => shape.points += 1,
                2 if has_temporality => {
                    shape.temporality = match value.varint("AggregationTemporality")? {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Other,
                    };
                }
                3 if has_temporality => shape.is_monotonic = value.varint("IsMonotonic")? != 0,
                _ => (),
            }
        }
        Ok(shape)
    }
}

fn each_point(
    message: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), OtlpError>,
) -> Result<(), OtlpError> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        if number == 1 {
            take(value.bytes("DataPoints")?)?;
        }
    }
    Ok(())
}
