//! Chunks of all encodings. The first byte says which.

use tsdb::chunk::{self, ChunkSample, Encoding, OpenChunk};
use tsdb::compact::encode::retain;
use tsdb::compact::source::SourceChunk;

const ENCODINGS: [Encoding; 6] = [
    Encoding::Xor,
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::Xor2,
    Encoding::HistogramSt,
    Encoding::FloatHistogramSt,
];

/// Both ways of reading agree, and what is read in whole is the same after it was written.
pub fn check(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else {
        return;
    };
    let encoding = ENCODINGS[usize::from(which) % ENCODINGS.len()];
    let mut columns = model::storage::SampleColumns::default();
    let decoded = chunk::decode(encoding, bytes, i64::MIN, i64::MAX, &mut columns);
    let samples: Result<Vec<ChunkSample>, _> = chunk::samples(encoding, bytes).collect();
    assert_eq!(decoded.is_ok(), samples.is_ok());
    let Ok(samples) = samples else { return };
    assert!(samples.len() <= 8 * bytes.len());
    let ascends = samples.is_sorted_by(|a, b| a.t() < b.t());
    if !ascends {
        return;
    }
    assert_eq!(columns.len(), samples.len());
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return;
    };
    let source = SourceChunk {
        mint: first.t(),
        maxt: last.t(),
        encoding,
        bytes,
    };
    let written = retain(source, |_| true).expect("it was just decoded");
    let again = written
        .iter()
        .flat_map(|chunk| chunk::samples(chunk.encoding, &chunk.bytes).with_starts())
        .map(|sample| sample.expect("it was just encoded"));
    let since = chunk::samples(encoding, bytes).with_starts();
    let since = since.map(|sample| sample.expect("it was just decoded"));
    let meaning = |(start, sample)| (start, meaning(&sample));
    assert!(again.map(meaning).eq(since.map(meaning)));
}

/// Time, bits, and of a histogram what an ordinary comparison of floats would miss. Whether counters were reset is told of
/// the chunk, which may be another.
fn meaning(sample: &ChunkSample) -> (i64, u64, String) {
    match sample {
        ChunkSample::Float(t, value) => (*t, value.to_bits(), String::new()),
        // Of a staleness marker nothing else counts.
        _ if sample.is_stale() => (sample.t(), 0, "stale".to_owned()),
        ChunkSample::Histogram(t, h) => {
            let float = h.to_float();
            (
                *t,
                h.sum.to_bits(),
                format!("{} {:?}", h.schema, float.buckets()),
            )
        }
        ChunkSample::FloatHistogram(t, h) => (
            *t,
            h.sum.to_bits(),
            format!("{} {:?}", h.schema, h.buckets()),
        ),
    }
}

/// Chunks of floats and of histograms with buckets that come and go.
pub fn seeds() -> Vec<Vec<u8>> {
    let floats = |encoding| {
        let samples =
            (0i64..40).map(|i| ChunkSample::Float(i * 15_000 + i % 3, (i / 4) as f64 * 1.1));
        open(encoding, samples)
    };
    let histogram = |i: i64| model::histogram::Histogram {
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 1,
        count: 7 + 6 * i.unsigned_abs(),
        sum: i as f64 * 1.5,
        positive_spans: vec![
            model::histogram::Span {
                offset: -2,
                length: 2,
            },
            model::histogram::Span {
                offset: 3,
                length: 1,
            },
        ],
        positive_deltas: vec![1 + i, 1, 0],
        negative_spans: vec![model::histogram::Span {
            offset: 0,
            length: 1,
        }],
        negative_deltas: vec![1 + i],
        ..Default::default()
    };
    let integers = (0..20).map(|i| ChunkSample::Histogram(i * 15_000, histogram(i)));
    let with_floats =
        (0..20).map(|i| ChunkSample::FloatHistogram(i * 15_000, histogram(i).to_float()));
    let of = [
        floats(Encoding::Xor),
        open(Encoding::Histogram, integers.clone()),
        open(Encoding::FloatHistogram, with_floats.clone()),
        floats(Encoding::Xor2),
        open(Encoding::HistogramSt, integers),
        open(Encoding::FloatHistogramSt, with_floats),
    ];
    let which = [0, 1, 2, 3, 4, 5];
    let chunk = |which: u8| [&[which][..], &of[usize::from(which)]].concat();
    which.map(chunk).to_vec()
}

fn open(encoding: Encoding, samples: impl Iterator<Item = ChunkSample>) -> Vec<u8> {
    let mut chunk = OpenChunk::new(encoding);
    for (i, sample) in (0i64..).zip(samples) {
        // Not at first, then one for a while, then no more.
        let start = if (5..30).contains(&i) { i / 8 } else { 0 };
        chunk.append_since(start, &sample);
    }
    chunk.bytes().to_vec()
}
