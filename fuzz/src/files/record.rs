//! Records of the log, of every kind: the first byte is the kind's.

use tsdb::wal::record::{self as wal, RecordKind};

/// What a record says is the same after it was written again, in the current version.
pub fn check(data: &[u8]) {
    let mut out = Vec::new();
    match wal::kind(data) {
        RecordKind::Series => {
            let read = |bytes: &[u8]| {
                let mut all: Vec<(u64, Vec<(String, String)>)> = Vec::new();
                let decoded = wal::decode_series(bytes, |id, labels| {
                    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
                    all.push((id, labels.iter().map(owned).collect()));
                });
                decoded.ok().map(|()| all)
            };
            let Some(all) = read(data) else { return };
            wal::begin_series(&mut out);
            for (id, labels) in &all {
                let labels = labels.iter().map(|(name, value)| (&**name, &**value));
                wal::encode_series(&mut out, *id, labels);
            }
            assert_eq!(read(&out), Some(all));
        }
        RecordKind::Samples | RecordKind::SamplesV2 => {
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                let decoded =
                    wal::decode_samples_since(bytes, |start, sample| all.push((start, sample)));
                decoded.ok().map(|()| all)
            };
            let Some(all) = read(data) else { return };
            wal::encode_samples_since(&mut out, all.iter().copied());
            let bits = |all: Vec<(i64, wal::RecordSample)>| -> Vec<_> {
                let bits =
                    |(start, s): &(i64, wal::RecordSample)| (*start, s.id, s.t, s.value.to_bits());
                all.iter().map(bits).collect()
            };
            assert_eq!(read(&out).map(bits), Some(bits(all)));
        }
        RecordKind::Tombstones => {
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                let decoded = wal::decode_tombstones(bytes, |t| all.push((t.id, t.mint, t.maxt)));
                decoded.ok().map(|()| all)
            };
            let Some(all) = read(data) else { return };
            let items = all.iter();
            let items = items.map(|&(id, mint, maxt)| wal::RecordTombstone { id, mint, maxt });
            wal::encode_tombstones(&mut out, items);
            assert_eq!(read(&out), Some(all));
        }
        RecordKind::MapMarkers => {
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                let decoded = wal::decode_markers(bytes, |marker| all.push(marker));
                decoded.ok().map(|()| all)
            };
            let Some(all) = read(data) else { return };
            wal::encode_markers(&mut out, all.iter().copied());
            assert_eq!(read(&out), Some(all));
        }
        RecordKind::Exemplars => {
            let mut count = 0;
            let _ = wal::decode_exemplars(data, |exemplar, labels| {
                count += 1;
                wal::encode_exemplars(&mut out, [(exemplar, labels.iter().copied())]);
            });
            assert!(count <= data.len());
        }
        RecordKind::Metadata => {
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                let decoded = wal::decode_metadata(bytes, |item| {
                    all.push((
                        item.id,
                        item.kind,
                        item.unit.to_owned(),
                        item.help.to_owned(),
                    ));
                });
                decoded.ok().map(|()| all)
            };
            let Some(all) = read(data) else { return };
            let items = all
                .iter()
                .map(|(id, kind, unit, help)| wal::RecordMetadata {
                    id: *id,
                    kind: *kind,
                    unit,
                    help,
                });
            wal::encode_metadata(&mut out, items);
            assert_eq!(read(&out), Some(all));
        }
        RecordKind::Histograms | RecordKind::CustomHistograms | RecordKind::HistogramsV2 => {
            let _ = wal::decode_histograms(data, |item| {
                let buckets = wal::RecordBuckets::of(item.histogram.schema);
                let mut out = Vec::new();
                match item.start {
                    0 => wal::encode_histograms(&mut out, buckets, [item.by_ref()]),
                    _ => wal::encode_histograms_since(&mut out, [item.by_ref()]),
                }
                let mut again = Vec::new();
                wal::decode_histograms(&out, |item| again.push(format!("{item:?}")))
                    .expect("it was just encoded");
                assert_eq!(again, [format!("{item:?}")]);
                // To be called or not, it must not panic.
                let _ = item.histogram.validate();
            });
        }
        RecordKind::FloatHistograms
        | RecordKind::CustomFloatHistograms
        | RecordKind::FloatHistogramsV2 => {
            let _ = wal::decode_float_histograms(data, |item| {
                let _ = item.histogram.validate();
            });
        }
        RecordKind::Other(_) => (),
    }
}

/// A record of each kind that is written.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut series = Vec::new();
    wal::begin_series(&mut series);
    wal::encode_series(
        &mut series,
        7,
        [("__name__", "up"), ("job", "a")].into_iter(),
    );
    wal::encode_series(&mut series, 8, [("__name__", "é")].into_iter());
    let mut samples = Vec::new();
    let sample = |i: i64| wal::RecordSample {
        id: 7 + i.unsigned_abs(),
        t: 1_700_000_000_000 - 3 * i,
        value: i as f64 * 0.1,
    };
    wal::encode_samples(&mut samples, (0..5).map(sample));
    let mut tombstones = Vec::new();
    let tombstone = wal::RecordTombstone {
        id: 7,
        mint: -5,
        maxt: 9,
    };
    wal::encode_tombstones(&mut tombstones, [tombstone]);
    let mut markers = Vec::new();
    wal::encode_markers(
        &mut markers,
        [wal::MapMarker {
            id: 7,
            chunk: 1 << 33,
        }],
    );
    let mut exemplars = Vec::new();
    let exemplar = wal::RecordExemplar {
        id: 7,
        t: 3,
        value: 0.5,
    };
    wal::encode_exemplars(&mut exemplars, [(exemplar, [("trace", "x")].into_iter())]);
    let mut metadata = Vec::new();
    let item = wal::RecordMetadata {
        id: 7,
        kind: Default::default(),
        unit: "s",
        help: "text",
    };
    wal::encode_metadata(&mut metadata, [item]);
    let histogram = model::histogram::Histogram {
        schema: 1,
        count: 3,
        sum: 2.5,
        positive_spans: vec![model::histogram::Span {
            offset: 1,
            length: 2,
        }],
        positive_deltas: vec![1, 1],
        ..Default::default()
    };
    let (mut integers, mut floats) = (Vec::new(), Vec::new());
    let buckets = wal::RecordBuckets::Exponential;
    let item = wal::RecordHistogram {
        id: 7,
        t: 3,
        start: 0,
        histogram: &histogram,
    };
    wal::encode_histograms(&mut integers, buckets, [item]);
    let histogram = histogram.to_float();
    let item = wal::RecordHistogram {
        id: 7,
        t: 3,
        start: 0,
        histogram: &histogram,
    };
    wal::encode_float_histograms(&mut floats, buckets, [item]);
    // The second version: one with start timestamp, one without start timestamp, and others.
    let (mut second, mut floats_since) = (Vec::new(), Vec::new());
    let since = [5, 0, 9, 9, 1 << 40].into_iter().zip((0..5).map(sample));
    wal::encode_samples_since(&mut second, since);
    let item = |start| wal::RecordHistogram {
        id: 7,
        t: 3,
        start,
        histogram: &histogram,
    };
    wal::encode_float_histograms_since(&mut floats_since, [item(1), item(0), item(1), item(2)]);
    vec![
        series,
        samples,
        tombstones,
        markers,
        exemplars,
        metadata,
        integers,
        floats,
        second,
        floats_since,
    ]
}
