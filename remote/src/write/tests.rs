//! Requests as senders encode them, and bytes that are none.

use std::sync::{Arc, Mutex};

use metrics::Registry;
use model::storage::{
    AppendError, Appendable, Appender, FloatSample, HistogramSample, Rejected, SeriesRef, start_of,
};
use proptest::prelude::*;

use super::batch::Batch;
use super::ingest::Decode;
use super::key::KeyHasher;
use super::{v1, v2};

use crate::message::{Message, custom_histogram, histogram, message, sample, series, version_2};

#[test]
fn a_request_of_many_samples_comes_in_parts() {
    let many = (0..200_000).fold(series(&[("__name__", "x")]), |series, t| {
        series.message(2, sample(t, 1.0))
    });
    let few = series(&[("__name__", "y")]).message(2, sample(1, 1.0));
    let request = message().message(1, many).message(1, few);
    let hasher = KeyHasher::new();
    let mut decoder = v1::Decoder::new(&request.0);
    let mut batch = Batch::new(i64::MAX, Vec::new());
    assert_eq!(decoder.fill(&hasher, &mut batch), Ok(true));
    assert_eq!((batch.series.len(), batch.floats.len()), (1, 200_000));
    batch.clear();
    assert_eq!(decoder.fill(&hasher, &mut batch), Ok(false));
    assert_eq!((batch.series.len(), batch.floats.len()), (1, 1));
}

/// Storage that has dropped a series without saying so, and keeps start timestamps.
#[derive(Default)]
struct Forgetful(Mutex<State>);

#[derive(Default)]
struct State {
    series: Vec<String>,
    /// Handles that name nobody any more.
    dropped: Vec<SeriesRef>,
    /// Series, start timestamp and time.
    stored: Vec<(String, i64, i64)>,
}

struct Appending<'a>(&'a Forgetful);

impl Appendable for Forgetful {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Appending(self))
    }
}

impl Appender for Appending<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        let mut state = self.0.0.lock().unwrap();
        state.series.push(labels[0].1.to_owned());
        Ok(SeriesRef(state.series.len() as u64 - 1))
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        self.append_floats_since(batch, &[], rejected);
    }

    fn append_floats_since(
        &mut self,
        batch: &[FloatSample],
        starts: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        let mut state = self.0.0.lock().unwrap();
        for (index, sample) in batch.iter().enumerate() {
            if state.dropped.contains(&sample.series) {
                let error = AppendError::UnknownSeries;
                rejected.push(Rejected { index, error });
                continue;
            }
            let name = state.series[usize::try_from(sample.series.0).unwrap()].clone();
            let start = start_of(starts, index);
            state.stored.push((name, start, sample.t));
        }
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample,
    ) -> Result<(), AppendError> {
        self.append_histogram_since(series, 0, t, histogram)
    }

    fn append_histogram_since(
        &mut self,
        series: SeriesRef,
        start: i64,
        t: i64,
        _: HistogramSample,
    ) -> Result<(), AppendError> {
        let mut state = self.0.0.lock().unwrap();
        if state.dropped.contains(&series) {
            return Err(AppendError::UnknownSeries);
        }
        let name = state.series[usize::try_from(series.0).unwrap()].clone();
        state.stored.push((name, start, t));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        Ok(())
    }
}

#[test]
fn start_timestamps_stay_with_their_samples() {
    let symbols = ["", "__name__", "a", "b", "c", "d"];
    let request = symbols
        .iter()
        .fold(message(), |request, text| request.bytes(4, text.as_bytes()));
    let since = |start: u64, t: i64| sample(t, 1.0).number(3, start);
    let of = |name: u64, items: &[(u64, Message)]| {
        let series = message().number(1, 1).number(1, name);
        let add =
            |series: Message, (field, item): &(u64, Message)| series.message(*field, item.clone());
        items.iter().fold(series, add)
    };
    let request = request
        .message(5, of(2, &[(2, sample(10, 1.0)), (2, since(7, 20))]))
        // Its labels are refused, and its samples fall out.
        .message(5, message().number(1, 1).message(2, since(1, 10)))
        // Too far in the future.
        .message(5, of(3, &[(2, since(3, i64::MAX)), (2, since(8, 30))]))
        .message(5, of(4, &[(2, since(9, 40))]))
        .message(5, of(5, &[(3, histogram(50).number(17, 6))]));
    let storage = Arc::new(Forgetful::default());
    let ingest = super::Ingest::new(Arc::clone(&storage) as _, &Registry::new());
    let expected = [
        ("a", 0, 10),
        ("a", 7, 20),
        ("b", 8, 30),
        ("c", 9, 40),
        ("d", 6, 50),
    ]
    .map(|(name, start, t)| (name.to_owned(), start, t));
    for round in 0..2 {
        let report = ingest.write(super::Version::V2, &request.0, 0).unwrap();
        assert_eq!((report.samples, report.histograms), (4, 1), "{report:?}");
        let mut state = storage.0.lock().unwrap();
        let mut stored = std::mem::take(&mut state.stored);
        stored.sort();
        assert_eq!(stored, expected, "{round}");
        // Now handles are remembered that are good for nothing.
        state.dropped = (0..state.series.len() as u64).map(SeriesRef).collect();
    }
}

/// Decodes `bytes` as either version, labels included.
fn decode_all(bytes: &[u8]) {
    let hasher = KeyHasher::new();
    visit_all(v1::Decoder::new(bytes), &hasher);
    if let Ok(decoder) = v2::Decoder::new(bytes, &hasher) {
        visit_all(decoder, &hasher);
    }
}

fn visit_all<'a>(mut decoder: impl Decode<'a>, hasher: &KeyHasher) {
    loop {
        let mut batch = Batch::new(i64::MAX, Vec::new());
        let filled = decoder.fill(hasher, &mut batch);
        for series in &batch.series {
            let _ = decoder.labels(series.labels, &mut Vec::new());
        }
        for exemplar in &batch.exemplars {
            let _ = decoder.labels(exemplar.labels, &mut Vec::new());
        }
        if filled != Ok(true) {
            return;
        }
    }
}

proptest! {
    /// Neither arbitrary bytes nor damaged requests make the decoders panic.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    /// See above.
    #[test]
    fn damaged_requests(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let v1 = message().message(1, series(&[("__name__", "h")])
            .message(2, sample(1, 2.0)).message(4, histogram(1)).message(4, custom_histogram(2)));
        for request in [v1, version_2(1)] {
            let mut bytes = request.0;
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len().saturating_sub(cut % 7));
            decode_all(&bytes);
        }
    }
}
