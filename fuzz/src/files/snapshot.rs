//! The head snapshot.

use std::path::Path;
use std::sync::Arc;

use super::{DIR, file};
use model::storage::{Appender as _, FloatSample};
use tsdb::head::snapshot::{Needed, SNAPSHOT_FILE, Snapshot};
use tsdb::head::{CHUNK_RANGE_MS, Head, HeadOptions};

const HEADER_BYTES: usize = 9;

/// What is accepted has no more series than bytes; as the bytes are, and with the checksums put right.
pub fn check(data: &[u8]) {
    read(data);
    let mut repaired = data.to_vec();
    let mut at = HEADER_BYTES;
    while let Some(length) = repaired.get(at + 1..at + 5) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let Some(end) = (at + 5).checked_add(length as usize) else {
            break;
        };
        let Some(crc) = repaired.get(at..end).map(crc32c::crc32c) else {
            break;
        };
        let Some(place) = repaired.get_mut(end..end + 4) else {
            break;
        };
        place.copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
    read(&repaired);
}

fn read(bytes: &[u8]) {
    let files = file(SNAPSHOT_FILE, bytes);
    let snapshot = Snapshot::read(&*files, Path::new(DIR), CHUNK_RANGE_MS, Needed::ALL);
    if let Ok(snapshot) = snapshot {
        assert!(snapshot.series.count() <= bytes.len());
    }
}

/// The snapshots of an empty head and of one with some series.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![snapshot(0), snapshot(5)]
}

fn snapshot(series: u64) -> Vec<u8> {
    let files = file("unused", b"");
    let registry = metrics::Registry::new();
    let opened = Head::open(
        Arc::clone(&files),
        Path::new(DIR),
        HeadOptions::default(),
        i64::MIN,
        tsdb::metrics::TsdbMetrics::new(&registry),
        &tsdb::ReplayProgress::default(),
    );
    let (head, _) = opened.expect("memory takes it");
    let mut appender = Box::new(head.appender());
    for i in 0..series {
        let name = format!("s{i}");
        let series = appender
            .series(&[("__name__", &name), ("job", "a")])
            .expect("labels");
        let sample = |t: i64| FloatSample {
            series,
            t: 1_000 * t,
            value: t as f64,
        };
        let samples: Vec<FloatSample> = (0..10).map(sample).collect();
        appender.append_floats(&samples, &mut Vec::new());
    }
    appender.commit().expect("memory takes it");
    head.write_snapshot(Path::new(DIR))
        .expect("memory takes it");
    let path = Path::new(DIR).join(SNAPSHOT_FILE);
    files.map(&path).expect("it was just written").to_vec()
}
