//! A batch as records of the logs.

use model::storage::HistogramSample;

use super::{Pending, PendingHistogram};
use crate::wal::record::{self, RecordBuckets, RecordHistogram, RecordSample};

impl Pending {
    fn as_record(&self) -> RecordSample {
        RecordSample {
            id: self.id,
            t: self.t,
            value: self.value,
        }
    }
}

impl PendingHistogram {
    /// Returns it as it is logged, with its value as the record wants it.
    fn record<H>(&self, histogram: H) -> RecordHistogram<H> {
        RecordHistogram {
            id: self.id,
            t: self.t,
            start: self.start,
            histogram,
        }
    }
}

/// Writes the histograms to `record`, a record for each kind that there is, and gives each to `log`.
pub(super) fn for_each_histogram_record(
    histograms: &[PendingHistogram],
    record: &mut Vec<u8>,
    mut log: impl FnMut(&[u8]),
) {
    if histograms.is_empty() {
        return;
    }
    let has_starts = histograms.iter().any(|p| p.start != 0);
    let integers = || {
        histograms.iter().filter_map(|p| match &p.histogram {
            HistogramSample::Integer(h) => Some(p.record(&**h)),
            HistogramSample::Float(_) => None,
        })
    };
    let floats = || {
        histograms.iter().filter_map(|p| match &p.histogram {
            HistogramSample::Float(h) => Some(p.record(&**h)),
            HistogramSample::Integer(_) => None,
        })
    };
    if has_starts {
        record.clear();
        record::encode_histograms_since(record, integers());
        log(record);
        record.clear();
        record::encode_float_histograms_since(record, floats());
        return log(record);
    }
    for buckets in [RecordBuckets::Exponential, RecordBuckets::Custom] {
        record.clear();
        record::encode_histograms(record, buckets, integers());
        log(record);
        record.clear();
        record::encode_float_histograms(record, buckets, floats());
        log(record);
    }
}

/// Writes samples to `record`.
///
/// * `starts`: by index of `samples`, may be shorter.
pub(super) fn encode_pending(record: &mut Vec<u8>, samples: &[Pending], starts: &[i64]) {
    let samples = samples.iter().map(Pending::as_record);
    match starts.is_empty() {
        true => record::encode_samples(record, samples),
        false => {
            let starts = starts.iter().copied().chain(std::iter::repeat(0));
            record::encode_samples_since(record, starts.zip(samples));
        }
    }
}
