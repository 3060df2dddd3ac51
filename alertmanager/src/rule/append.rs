//! Results to storage, and the end of series that stopped coming.

use std::collections::HashSet;

use model::storage::{AppendError, Appendable, FloatSample, HistogramSample, Rejected};
use model::{Labels, SampleValue, stale_nan};

/// What a rule makes: a series and its value.
pub(crate) type Output = (Labels, SampleValue);

/// Appends `outputs` at `t_ms` as one batch, with staleness markers for the series of `previous` that are not among them.
/// On success `previous` holds the series of `outputs`.
///
/// Samples that storage finds too old or doubled are logged and dropped, as Prometheus does.
pub(crate) fn append_outputs(
    storage: &dyn Appendable,
    rule: &str,
    t_ms: i64,
    outputs: &[Output],
    previous: &mut HashSet<Labels>,
) -> Result<(), AppendError> {
    let current: HashSet<Labels> = outputs.iter().map(|(labels, _)| labels.clone()).collect();
    let gone = previous.iter().filter(|labels| !current.contains(*labels));
    append(storage, rule, t_ms, outputs, gone)?;
    *previous = current;
    Ok(())
}

/// Appends staleness markers at `t_ms`.
pub(crate) fn end_series<'a>(
    storage: &dyn Appendable,
    t_ms: i64,
    series: impl Iterator<Item = &'a Labels>,
) -> Result<(), AppendError> {
    append(storage, "", t_ms, &[], series)
}

fn append<'a>(
    storage: &dyn Appendable,
    rule: &str,
    t_ms: i64,
    outputs: &[Output],
    gone: impl Iterator<Item = &'a Labels>,
) -> Result<(), AppendError> {
    let mut appender = storage.appender();
    let mut floats = Vec::with_capacity(outputs.len());
    let mut rejected = Vec::new();
    for (labels, value) in outputs {
        let series = appender.series(&labels.iter().collect::<Vec<_>>())?;
        match value {
            SampleValue::Float(value) => floats.push(FloatSample {
                series,
                t: t_ms,
                value: *value,
            }),
            SampleValue::Histogram(histogram) => {
                let sample = HistogramSample::Float(histogram.clone());
                if let Err(error) = appender.append_histogram(series, t_ms, sample) {
                    rejected.push(Rejected {
                        index: usize::MAX,
                        error,
                    });
                }
            }
        }
    }
    let samples = floats.len();
    for labels in gone {
        let series = appender.series(&labels.iter().collect::<Vec<_>>())?;
        floats.push(FloatSample {
            series,
            t: t_ms,
            value: stale_nan(),
        });
    }
    appender.append_floats(&floats, &mut rejected);
    // A marker that comes too late says nothing new: the series went on elsewhere.
    rejected.retain(|r| r.index < samples || r.index == usize::MAX);
    if let Some(first) = rejected.first() {
        tracing::warn!(rule, count = rejected.len(), error = %first.error, "rule results were not stored");
    }
    appender.commit()
}
