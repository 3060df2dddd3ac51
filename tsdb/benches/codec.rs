//! The XOR codec beside `tsz-compress`: bytes a sample and speed, on counters and gauges as exporters have them.
//!
//! `tsz-compress` takes integers only, so it gets the floats' bits. `docs/decisions/0001-own-codec.md` says why it is
//! here.
#![expect(missing_docs, reason = "the derived types of tsz-compress have none")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use model::storage::SampleColumns;
use tsdb::chunk::xor::{self, XorReader, XorWriter};
use tsz_compress::prelude::*;

const SAMPLES: usize = 120;
/// How many chunks are decoded in turn: of one that is decoded again and again the processor knows every branch by heart.
const CHUNKS: u64 = 500;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Constant,
    Counter,
    Gauge,
    /// A counter whose scrapes are some milliseconds early or late.
    Jitter,
}

#[derive(Copy, Clone, DeltaEncodable, Compressible, Decompressible)]
struct Row {
    t: i64,
    bits: i64,
}

fn samples(kind: Kind) -> Vec<(i64, f64)> {
    samples_of(kind, 7)
}

fn samples_of(kind: Kind, seed: u64) -> Vec<(i64, f64)> {
    let mut state = seed;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64
    };
    let mut counter = 1e6;
    (0i64..)
        .take(SAMPLES)
        .map(|i| {
            counter += (noise() % 100.0).floor();
            let value = match kind {
                Kind::Constant => 1.0,
                Kind::Counter | Kind::Jitter => counter,
                Kind::Gauge => (noise() % 1e6).floor() / 1e3,
            };
            let late = match kind {
                Kind::Jitter => i * 7_919 % 11,
                _ => 0,
            };
            (1_700_000_000_000 + i * 15_000 + late, value)
        })
        .collect()
}

fn encode_xor(samples: &[(i64, f64)], writer: &mut XorWriter) {
    writer.clear();
    for &(t, value) in samples {
        writer.append(t, value);
    }
}

fn encode_tsz(samples: &[(i64, f64)]) -> usize {
    let mut compressor = Compressor::<Row>::new(SAMPLES);
    for &(t, value) in samples {
        compressor.compress(Row {
            t,
            bits: value.to_bits().cast_signed(),
        });
    }
    compressor.finish().len().div_ceil(8)
}

const KINDS: [Kind; 4] = [Kind::Constant, Kind::Counter, Kind::Gauge, Kind::Jitter];

#[divan::bench(args = KINDS)]
fn xor_encode(bencher: Bencher<'_, '_>, kind: Kind) {
    let (samples, mut writer) = (samples(kind), XorWriter::new());
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        encode_xor(black_box(&samples), &mut writer);
        writer.bytes().len()
    });
}

#[divan::bench(args = KINDS)]
fn xor_decode(bencher: Bencher<'_, '_>, kind: Kind) {
    let chunks = (0..CHUNKS).map(|seed| {
        let mut writer = XorWriter::new();
        encode_xor(&samples_of(kind, seed), &mut writer);
        writer
    });
    let chunks: Vec<_> = chunks.collect();
    let mut out = SampleColumns::default();
    let all = ItemsCount::new(SAMPLES * chunks.len());
    bencher.counter(all).bench_local(|| {
        for chunk in &chunks {
            out.clear();
            xor::decode(black_box(chunk.bytes()), i64::MIN, i64::MAX, &mut out)
                .expect("our own chunk");
        }
    });
}

/// The same, sample by sample: what [`xor_decode`] has to be faster than.
#[divan::bench(args = KINDS)]
fn xor_walk(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut writer = XorWriter::new();
    encode_xor(&samples(kind), &mut writer);
    let mut out = SampleColumns::default();
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        out.clear();
        let mut reader = XorReader::new(black_box(writer.bytes())).expect("our own chunk");
        while let Some((t, value)) = reader.next().expect("our own chunk") {
            out.push_float(t, value);
        }
        out.len()
    });
}

#[divan::bench(args = KINDS)]
fn tsz_encode(bencher: Bencher<'_, '_>, kind: Kind) {
    let samples = samples(kind);
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| encode_tsz(black_box(&samples)));
}

#[expect(clippy::print_stdout, reason = "a benchmark's output")]
fn main() {
    for kind in KINDS {
        let (samples, mut writer) = (samples(kind), XorWriter::new());
        encode_xor(&samples, &mut writer);
        let per_sample = |bytes: usize| bytes as f64 / SAMPLES as f64;
        println!(
            "{kind:?}: {:.2} bytes a sample as XOR chunk, {:.2} as tsz-compress",
            per_sample(writer.bytes().len()),
            per_sample(encode_tsz(&samples))
        );
    }
    divan::main();
}
