use std::collections::BTreeMap;

use model::histogram::{Histogram, Span};
use model::stale_nan;
use proptest::prelude::*;

use super::*;

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans
        .iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect()
}

/// A histogram of schema 1 with the given positive buckets.
fn positive(layout: &[(i32, u32)], deltas: &[i64]) -> Histogram {
    let in_buckets: i64 = IntFields::absolute(deltas).sum();
    Histogram {
        schema: 1,
        count: in_buckets.unsigned_abs(),
        sum: 1.0,
        positive_spans: spans(layout),
        positive_deltas: deltas.to_vec(),
        ..Histogram::default()
    }
}

fn gauge(histogram: Histogram) -> Histogram {
    Histogram {
        reset_hint: ResetHint::Gauge,
        ..histogram
    }
}

fn stale() -> Histogram {
    Histogram {
        sum: stale_nan(),
        ..Histogram::default()
    }
}

fn writer_of(histograms: &[Histogram]) -> HistogramWriter {
    let mut writer = HistogramWriter::new();
    for (t, histogram) in (0..).zip(histograms) {
        assert_eq!(writer.append(t, histogram), Appended::AsIs);
    }
    writer
}

fn read_all(chunk: &[u8]) -> Result<Vec<(i64, Histogram)>, ChunkError> {
    let (mut reader, mut all) = (HistogramReader::new(chunk)?, Vec::new());
    while let Some(sample) = reader.next()? {
        all.push(sample);
    }
    Ok(all)
}

/// The bytes were worked out by hand from the format's description.
#[test]
fn integer_layout_is_as_documented() {
    let writer = writer_of(&[
        positive(&[(0, 2)], &[2, 1]),
        positive(&[(0, 2)], &[3, 1]),
        stale(),
    ]);
    let expected = "
        00000000 00000011 00000000
        00000000 10001 10001 10010 0 0
        0 10101 0 0011111111110000000000000000000000000000000000000000000000000000 10010 10001
        10001 10010 0 0 10001 0
        0 0 0 11 00001 111111
    ";
    // Markers: time dod 0, counts 0, sum 3ff0…0 ^ 7ff0…2 = 4000…2: leading 1, width 62.
    let marker_bits = format!("1{}1", "0".repeat(60));
    let expected = expected.replace("11 00001 111111", &format!("11 00001 111110 {marker_bits}"));
    let expected: String = expected.split_whitespace().collect();
    let written: String = writer
        .bytes()
        .iter()
        .map(|byte| format!("{byte:08b}"))
        .collect();
    assert_eq!(
        written.trim_end_matches('0'),
        expected.trim_end_matches('0')
    );
    assert_eq!(written.len(), expected.len().next_multiple_of(8));
}

#[test]
fn float_layout_is_as_documented() {
    let mut writer = FloatHistogramWriter::new();
    let mut histogram = positive(&[(0, 1)], &[2]).to_float();
    writer.append(1, &histogram);
    histogram.reset_hint = ResetHint::NotCounterReset;
    histogram.count = 4.0;
    histogram.positive_buckets = vec![4.0];
    writer.append(2, &histogram);
    let header = "00000000 00000010 00000000 00000000 10001 10001 10001 0 0 10001";
    let f64 = |value: f64| format!("{:064b}", value.to_bits());
    let first = [f64(2.0), f64(0.0), f64(1.0), f64(2.0)].concat();
    // 2 ^ 4 is 0010…0: leading 11, width 1.
    let expected = format!("{header} {first} 10001 11 01011 000001 1 0 0 11 01011 000001 1");
    let expected: String = expected.split_whitespace().collect();
    let written: String = writer
        .bytes()
        .iter()
        .map(|byte| format!("{byte:08b}"))
        .collect();
    assert_eq!(written[..expected.len()], expected);
}

#[test]
fn new_buckets_write_the_chunk_again() {
    let (narrow, wide) = (
        positive(&[(0, 2)], &[2, 1]),
        positive(&[(-1, 3), (1, 1)], &[1, 1, 1, 1]),
    );
    let mut writer = writer_of(std::slice::from_ref(&narrow));
    assert_eq!(writer.append(1, &wide), Appended::Recoded);
    // As if the first histogram had had the empty buckets from the start.
    let widened = positive(&[(-1, 3), (1, 1)], &[0, 2, 1, -3]);
    assert_eq!(writer.bytes(), writer_of(&[widened, wide.clone()]).bytes());
    assert!(writer.last_equals(&wide) && !writer.last_equals(&narrow));
}

#[test]
fn buckets_that_were_empty_may_be_left_out() {
    let (wide, narrow) = (
        positive(&[(0, 4)], &[2, -2, 0, 3]),
        positive(&[(0, 1), (2, 1)], &[2, 2]),
    );
    let mut writer = writer_of(std::slice::from_ref(&wide));
    assert_eq!(writer.append(1, &narrow), Appended::AsIs);
    let read = read_all(writer.bytes()).unwrap();
    assert_eq!(read[1].1.positive_spans, wide.positive_spans);
    assert_eq!(read[1].1.positive_deltas, [2, -2, 0, 4]);
    assert!(writer.last_equals(&narrow));

    // Both lack something: the chunk gets the union.
    let other = positive(&[(0, 2), (1, 1), (1, 1)], &[2, 0, 2, -3]);
    assert_eq!(writer.append(2, &other), Appended::Recoded);
    let read = read_all(writer.bytes()).unwrap();
    assert_eq!(read[0].1.positive_spans, spans(&[(0, 4), (1, 1)]));
    assert_eq!(read[2].1.positive_deltas, [2, 0, -2, 4, -3]);
}

#[track_caller]
fn check_cut(first: &[Histogram], next: &Histogram, header: ResetHint, when_full: ResetHint) {
    let mut writer = HistogramWriter::new();
    for (t, histogram) in (0..).zip(first) {
        writer.append(t, histogram);
    }
    let before = writer.bytes().to_vec();
    assert_eq!(writer.header_after(next), when_full);
    assert_eq!(writer.append(10, next), Appended::Cut(header));
    assert_eq!(writer.bytes(), before);
    writer.restart(header);
    assert_eq!(writer.append(10, next), Appended::AsIs);
    let encoding = crate::chunk::Encoding::Histogram;
    assert_eq!(super::header(encoding, writer.bytes()), Some(header));
}

#[test]
fn what_does_not_fit_starts_a_new_chunk() {
    use ResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
    let first = positive(&[(0, 2)], &[2, 1]);
    let check = |change: fn(&mut Histogram), header, when_full| {
        let mut next = first.clone();
        change(&mut next);
        check_cut(std::slice::from_ref(&first), &next, header, when_full);
    };
    check(|h| h.schema = 2, Unknown, Unknown);
    check(|h| h.zero_threshold = 0.5, Unknown, Unknown);
    check(|h| h.count -= 1, CounterReset, CounterReset);
    check(|h| h.positive_deltas[1] = 0, CounterReset, CounterReset);
    check(
        |h| *h = positive(&[(0, 1)], &[7]),
        CounterReset,
        CounterReset,
    );
    check(|h| h.reset_hint = CounterReset, CounterReset, CounterReset);
    check(|h| h.reset_hint = Gauge, Gauge, Gauge);
    check_cut(&[first.clone(), stale()], &first, Unknown, Unknown);
    check_cut(
        &[gauge(first.clone())],
        &first,
        NotCounterReset,
        NotCounterReset,
    );

    let bounds = |bounds: &[f64]| Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_bounds: bounds.to_vec(),
        ..first.clone()
    };
    check_cut(
        &[bounds(&[1.0, 2.0])],
        &bounds(&[1.0, 3.0]),
        CounterReset,
        CounterReset,
    );
}

#[test]
fn float_chunks_say_less_about_why_they_were_cut() {
    let first = positive(&[(0, 2)], &[2, 1]).to_float();
    let mut writer = FloatHistogramWriter::new();
    writer.append(0, &first);
    let mut next = first.clone();
    next.schema = 2;
    assert_eq!(writer.header_after(&next), ResetHint::NotCounterReset);
    assert_eq!(writer.append(1, &next), Appended::Cut(ResetHint::Unknown));
    next.count = 0.0;
    assert_eq!(
        writer.append(1, &next),
        Appended::Cut(ResetHint::CounterReset)
    );
    // A NaN is neither less nor more.
    next = first.clone();
    next.positive_buckets[0] = f64::NAN;
    assert_eq!(writer.append(1, &next), Appended::AsIs);
}

#[test]
fn a_full_chunk_is_continued_without_a_reset() {
    let first = positive(&[(0, 2)], &[2, 1]);
    let mut writer = writer_of(std::slice::from_ref(&first));
    let header = writer.header_after(&first);
    assert_eq!(header, ResetHint::NotCounterReset);
    writer.restart(header);
    assert_eq!((writer.count(), writer.bytes().len()), (0, 0));
    writer.append(1, &first);
    writer.append(2, &first);
    let read = read_all(writer.bytes()).unwrap();
    assert_eq!(read[0].1.reset_hint, ResetHint::Unknown);
    assert_eq!(read[1].1.reset_hint, ResetHint::NotCounterReset);
}

#[test]
fn gauges_go_down_and_change_their_buckets_in_one_chunk() {
    let (first, second) = (
        gauge(positive(&[(0, 2)], &[5, 4])),
        gauge(positive(&[(1, 1), (4, 1)], &[3, 1])),
    );
    let mut writer = writer_of(std::slice::from_ref(&first));
    assert_eq!(writer.append(1, &second), Appended::Recoded);
    let read = read_all(writer.bytes()).unwrap();
    for (_, histogram) in &read {
        assert_eq!(histogram.reset_hint, ResetHint::Gauge);
        assert_eq!(histogram.positive_spans, spans(&[(0, 2), (4, 1)]));
    }
    assert_eq!(read[0].1.positive_deltas, [5, 4, -9]);
    assert_eq!(read[1].1.positive_deltas, [0, 3, 1]);
    // Fewer buckets than the chunk has.
    assert_eq!(writer.append(2, &first), Appended::AsIs);
    assert!(writer.last_equals(&first));
}

#[test]
fn markers_follow_markers() {
    let mut writer = writer_of(&[stale(), stale()]);
    assert!(writer.is_last_stale() && writer.last_equals(&stale()));
    let first = positive(&[(0, 2)], &[2, 1]);
    assert_eq!(writer.append(2, &first), Appended::Cut(ResetHint::Unknown));
    let read = read_all(writer.bytes()).unwrap();
    assert_eq!(read.len(), 2);
    assert!(is_stale(read[1].1.sum) && read[1].1.positive_spans.is_empty());
}

#[test]
fn a_chunk_that_is_written_again_keeps_its_start_timestamps() {
    let mut writer = HistogramWriter::with_starts();
    writer.append_since(7, 10, &positive(&[(0, 1)], &[2]));
    writer.append_since(12, 20, &positive(&[(0, 1)], &[3]));
    let wider = writer.append_since(12, 30, &positive(&[(0, 1), (2, 1)], &[3, 1]));
    assert_eq!(wider, Appended::Recoded);
    let mut reader = HistogramReader::with_starts(writer.bytes()).unwrap();
    for expected in [(10, 7), (20, 12), (30, 12)] {
        assert_eq!(
            (reader.advance(), reader.start()),
            (Ok(Some(expected.0)), expected.1)
        );
    }
    let cut = writer.append_since(40, 40, &positive(&[(0, 1)], &[1]));
    assert_eq!(cut, Appended::Cut(ResetHint::CounterReset));
    writer.restart(ResetHint::CounterReset);
    writer.append_since(40, 40, &positive(&[(0, 1)], &[1]));
    let encoding = crate::chunk::Encoding::HistogramSt;
    let found = super::header(encoding, writer.bytes());
    assert_eq!(found, Some(ResetHint::CounterReset));
    assert_eq!(encoding.count(writer.bytes()), Ok(1));
}

/// A chunk with start timestamps is one without, but for the header and what comes after the samples.
#[test]
fn start_timestamps_are_as_documented() {
    let samples = [(4, 2), (9, 3), (14, 5)].map(|(t, deltas)| (t, positive(&[(0, 1)], &[deltas])));
    let mut out = BitWriter::default();
    out.push(0b1100_0000 << 8 | 3, 16);
    out.push(0x80 | 2, 8);
    layout_of(IntFields::shape(&samples[0].1)).push(&mut out);
    let (mut fields, mut time) = (IntFields::default(), DeltaField::of(4));
    push_int(&mut out, 4);
    fields.push_first(&mut out, &IntFields::numbers(&samples[0].1));
    out.push_varint(3);
    push_int(&mut out, time.advance(9));
    fields.push_next(&mut out, &IntFields::numbers(&samples[1].1));
    push_int(&mut out, time.advance(14));
    fields.push_next(&mut out, &IntFields::numbers(&samples[2].1));
    push_int(&mut out, -70_000);

    let mut reader = HistogramReader::with_starts(out.bytes()).unwrap();
    let mut writer = HistogramWriter::with_starts();
    // The last stands 70,000 after the sample before it.
    for ((t, histogram), start) in samples.into_iter().zip([1, 1, 70_009]) {
        assert_eq!(reader.next(), Ok(Some((t, gauge(histogram.clone())))));
        assert_eq!(reader.start(), start);
        let appended = writer.append_since(start, t, &gauge(histogram));
        assert_eq!(appended, Appended::AsIs);
    }
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(writer.bytes(), out.bytes());
    assert_eq!(
        crate::chunk::Encoding::HistogramSt.count(out.bytes()),
        Ok(3)
    );
}

#[test]
fn truncated_chunks_are_errors() {
    let chunk = writer_of(&[positive(&[(0, 2)], &[2, 1]), positive(&[(0, 2)], &[9, 7])]);
    for len in 0..chunk.bytes().len() {
        assert!(read_all(&chunk.bytes()[..len]).is_err(), "{len}");
    }
}

/// One histogram on the way: what happens to the counts since the last one, and how they are laid out.
#[derive(Clone, Debug)]
struct Step {
    t_delta: i64,
    added: Vec<(i8, i64)>,
    shape: u8,
    spans_cut: u8,
    sum: f64,
}

fn step() -> impl Strategy<Value = Step> {
    let t_delta = prop_oneof![Just(15_000i64), 1i64..100_000, 1i64..i64::MAX / 4_000];
    let added = prop::collection::vec((-12i8..12, prop_oneof![0i64..6, 0i64..1 << 40]), 0..5);
    let sum = prop_oneof![
        4 => any::<f64>(),
        1 => Just(stale_nan()),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(f64::INFINITY),
    ];
    (t_delta, added, any::<u8>(), any::<u8>(), sum).prop_map(
        |(t_delta, added, shape, spans_cut, sum)| Step {
            t_delta,
            added,
            shape,
            spans_cut,
            sum,
        },
    )
}

/// Lays buckets out in spans, some of which are empty or needlessly cut.
fn lay_out(buckets: &BTreeMap<i32, i64>, cut: u8) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut end): (Vec<Span>, i32) = (Vec::new(), 0);
    for (n, &index) in (0u32..).zip(buckets.keys()) {
        let is_cut = cut >> (n % 8) & 1 == 1;
        if is_cut && n % 3 == 2 {
            spans.push(Span {
                offset: 0,
                length: 0,
            });
        }
        match spans.last_mut() {
            Some(span) if index == end && !is_cut => span.length += 1,
            _ => spans.push(Span {
                offset: index - end,
                length: 1,
            }),
        }
        end = index + 1;
    }
    (
        spans,
        IntFields::stored(buckets.values().copied().collect()),
    )
}

fn histograms(steps: &[Step]) -> Vec<(i64, Histogram)> {
    let mut t = -40_000;
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    steps
        .iter()
        .map(|step| {
            t += step.t_delta;
            if step.shape % 16 == 0 {
                sides = [BTreeMap::new(), BTreeMap::new()];
            }
            if step.shape % 4 == 1 {
                sides
                    .iter_mut()
                    .for_each(|side| side.retain(|_, count| *count != 0));
            }
            for &(index, count) in &step.added {
                let side = usize::from(index % 2 != 0);
                *sides[side].entry(i32::from(index)).or_default() += count;
            }
            let [positive, negative] = sides.each_ref().map(|side| lay_out(side, step.spans_cut));
            let in_buckets: i64 = sides.iter().flat_map(BTreeMap::values).sum();
            let is_custom = 200 < step.shape;
            let histogram = Histogram {
                reset_hint: match step.shape % 32 {
                    7..=19 => ResetHint::Gauge,
                    21 => ResetHint::CounterReset,
                    _ => ResetHint::Unknown,
                },
                schema: if is_custom { CUSTOM_BUCKETS_SCHEMA } else { 3 },
                zero_threshold: 0.001,
                zero_count: 3,
                count: in_buckets.unsigned_abs() + 3,
                sum: step.sum,
                positive_spans: positive.0,
                positive_deltas: positive.1,
                negative_spans: negative.0,
                negative_deltas: negative.1,
                custom_bounds: if is_custom {
                    (0..30).map(|i| f64::from(i) * 0.7).collect()
                } else {
                    vec![]
                },
            };
            (t, histogram)
        })
        .collect()
}

/// What a float histogram means, whatever its spans are.
fn meaning(h: &FloatHistogram) -> String {
    if is_stale(h.sum) {
        return "stale".to_owned();
    }
    let side = |spans: &[Span], buckets: &[f64]| -> BTreeMap<i32, u64> {
        model::histogram::indexed(spans, buckets)
            .filter(|&(_, count)| count != 0.0)
            .map(|(index, count)| (index, count.to_bits()))
            .collect()
    };
    format!(
        "{} {:?} {} {} {:x} {:?} {:?} {:?}",
        h.schema,
        h.zero_threshold,
        h.zero_count,
        h.count,
        h.sum.to_bits(),
        side(&h.positive_spans, &h.positive_buckets),
        side(&h.negative_spans, &h.negative_buckets),
        h.custom_bounds
    )
}

/// Writes samples into as many chunks as it takes.
fn chunks_of<F: Fields>(samples: &[(i64, F::Histogram)]) -> Vec<Vec<u8>> {
    let (mut chunks, mut writer) = (Vec::new(), Writer::<F>::new());
    for (t, histogram) in samples {
        if let Appended::Cut(header) = writer.append(*t, histogram) {
            chunks.push(writer.bytes().to_vec());
            writer.restart(header);
            assert_eq!(writer.append(*t, histogram), Appended::AsIs);
        }
        assert!(writer.last_equals(histogram));
        assert_eq!(writer.last_t(), *t);
    }
    chunks.push(writer.bytes().to_vec());
    chunks
}

proptest! {
    /// Cut where need be, recoded where need be: what is read means what was written, and hints do not contradict.
    #[test]
    fn what_is_read_is_what_was_written(steps in prop::collection::vec(step(), 1..40)) {
        let samples = histograms(&steps);
        let floats: Vec<_> = samples.iter().map(|(t, h)| (*t, h.to_float())).collect();
        let expected: Vec<_> = floats.iter().map(|(t, h)| (*t, meaning(h))).collect();
        let (mut seen, mut seen_floats) = (Vec::new(), Vec::new());
        for chunk in chunks_of::<IntFields>(&samples) {
            let mut reader = HistogramReader::new(&chunk).unwrap();
            let mut before: Option<Histogram> = None;
            while let Some((t, histogram)) = reader.next().unwrap() {
                prop_assert!(is_stale(histogram.sum) || histogram.to_float().validate().is_ok());
                prop_assert_eq!(meaning(&reader.float_histogram()), meaning(&histogram.to_float()));
                if let (Some(before), ResetHint::NotCounterReset) = (&before, histogram.reset_hint) {
                    prop_assert!(before.count <= histogram.count);
                }
                seen.push((t, meaning(&histogram.to_float())));
                before = Some(histogram);
            }
        }
        for chunk in chunks_of::<FloatFields>(&floats) {
            let mut reader = FloatHistogramReader::new(&chunk).unwrap();
            while let Some((t, histogram)) = reader.next().unwrap() {
                seen_floats.push((t, meaning(&histogram)));
            }
        }
        prop_assert_eq!(&seen, &expected);
        prop_assert_eq!(&seen_floats, &expected);
    }

    #[test]
    fn any_bytes_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), zeros in 0usize..40) {
        let mut chunk = bytes;
        for byte in chunk.iter_mut().take(zeros).skip(2) {
            *byte &= 0x11;
        }
        let _ = read_all(&chunk);
        if let Ok(mut reader) = FloatHistogramReader::new(&chunk) {
            while let Ok(Some(_)) = reader.next() {}
        }
    }

    #[test]
    fn damaged_chunks_read_without_panic(
        steps in prop::collection::vec(step(), 1..20), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let samples = histograms(&steps);
        for mut chunk in chunks_of::<IntFields>(&samples) {
            let at = at.index(chunk.len());
            chunk[at] ^= 1 << bit;
            let _ = read_all(&chunk);
        }
    }
}
