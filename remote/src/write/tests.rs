//! Requests as senders encode them, and bytes that are none.

use proptest::prelude::*;

use super::batch::Batch;
use super::ingest::Decode;
use super::key::KeyHasher;
use super::{v1, v2};

use crate::message::{custom_histogram, histogram, message, sample, series, version_2};

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
