//! Our writer makes the same chunks, byte for byte, of the same samples as Prometheus did.

use tsdb::chunk::histogram::Appended;
use tsdb::chunk::{ChunkSample, Encoding, OpenChunk, samples};
use tsdb::wal::record::{self, RecordKind};

fn unhex(text: &str) -> Vec<u8> {
    let digits = |i: usize| u8::from_str_radix(&text[i..i + 2], 16);
    (0..text.len())
        .step_by(2)
        .map(|i| digits(i).expect("the fixture has hex digits"))
        .collect()
}

fn sample_of(bytes: &[u8]) -> ChunkSample {
    let mut sample = None;
    match record::kind(bytes) {
        RecordKind::Histograms | RecordKind::CustomHistograms => {
            record::decode_histograms(bytes, |item| {
                sample = Some(ChunkSample::Histogram(item.t, item.histogram));
            })
        }
        _ => record::decode_float_histograms(bytes, |item| {
            sample = Some(ChunkSample::FloatHistogram(item.t, item.histogram));
        }),
    }
    .expect("the fixture has records");
    sample.expect("a record of the fixture has one sample")
}

/// Appends the first sample of a chunk: the one before was cut because of it, or because it was full.
fn start(open: &mut OpenChunk, sample: &ChunkSample) {
    let when_full = open.header_after(sample);
    let header = match open.append(sample) {
        Appended::Cut(header) => header,
        _ => when_full,
    };
    open.restart(sample.encoding(Encoding::Xor), header);
    assert_eq!(open.append(sample), Appended::AsIs);
}

#[test]
fn chunks_are_those_of_prometheus() {
    let mut open = OpenChunk::new(Encoding::Histogram);
    let (mut series, mut starts, mut line_number) = ("", true, 0);
    let (mut chunks, mut recoded) = (0, 0);
    for line in include_str!("fixtures/prometheus_chunks.txt").lines() {
        line_number += 1;
        match line.split_once(' ').unwrap() {
            ("#", _) => (),
            ("series", name) => {
                (series, open, starts) = (name, OpenChunk::new(Encoding::Histogram), true);
            }
            ("sample", hex) => {
                let sample = sample_of(&unhex(hex));
                if std::mem::take(&mut starts) {
                    start(&mut open, &sample);
                    continue;
                }
                match open.append(&sample) {
                    Appended::AsIs => (),
                    Appended::Recoded => recoded += 1,
                    Appended::Cut(_) => panic!("{series}, line {line_number}: cut too early"),
                }
            }
            (_, chunk) => {
                let (byte, hex) = chunk.split_once(' ').unwrap();
                let expected = unhex(hex);
                assert_eq!(open.bytes(), expected, "{series}, line {line_number}");
                assert_eq!(open.encoding().as_byte().to_string(), byte);
                let read = samples(open.encoding(), &expected)
                    .filter(Result::is_ok)
                    .count();
                assert_eq!(read, usize::from(open.count()));
                (starts, chunks) = (true, chunks + 1);
            }
        }
    }
    assert!(
        10 < chunks && 10 < recoded,
        "{chunks} chunks, {recoded} recoded"
    );
}
