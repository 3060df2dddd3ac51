//! Segments of the log: pages, fragments, compression.

use std::path::Path;
use std::sync::Arc;

use super::{DIR, file};
use tsdb::wal::segment::{self, SegmentReader, SegmentWriter};
use tsdb::{Compression, SegmentOptions};

/// The records that are read are the same after they were written, as the bytes are and as one fragment with the right
/// checksum (its first byte is the type).
pub fn check(data: &[u8]) {
    read_and_write(data);
    if let Some((kind, content)) = data.split_first()
        && let Ok(len) = u16::try_from(content.len())
    {
        let crc = crc32c::crc32c(content).to_be_bytes();
        read_and_write(&[&[*kind][..], &len.to_be_bytes(), &crc, content].concat());
    }
}

fn read_and_write(bytes: &[u8]) {
    let (records, is_whole) = read(&file("00000000", bytes), 0);
    if !is_whole {
        return;
    }
    let files = file("unused", b"");
    let options = SegmentOptions {
        compression: Compression::None,
        ..SegmentOptions::default()
    };
    let writer = SegmentWriter::create(Arc::clone(&files), Path::new(DIR), 1, options);
    let mut writer = writer.expect("memory takes it");
    for record in &records {
        writer.append(record).expect("memory takes it");
    }
    let (mut again, _) = read(&files, 1);
    for segment in 2..=writer.index() {
        again.extend(read(&files, segment).0);
    }
    let not_empty = records.into_iter().filter(|record| !record.is_empty());
    assert!(again.into_iter().eq(not_empty));
}

/// Returns the records, and whether they go on to the end.
fn read(files: &Arc<dyn tsdb::files::Files>, number: u32) -> (Vec<Vec<u8>>, bool) {
    let path = segment::path(Path::new(DIR), number);
    let mut reader = SegmentReader::open(&**files, path).expect("the file is there");
    let mut records = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(record)) => records.push(record.to_vec()),
            Ok(None) => return (records, true),
            Err(_) => return (records, false),
        }
    }
}

/// Segments of each compression, one with a record that goes on for pages.
pub fn seeds() -> Vec<Vec<u8>> {
    let compressions = [Compression::None, Compression::Snappy, Compression::Zstd];
    let segments = compressions.map(|compression| {
        let files = file("unused", b"");
        let options = SegmentOptions {
            compression,
            ..SegmentOptions::default()
        };
        let writer = SegmentWriter::create(Arc::clone(&files), Path::new(DIR), 0, options);
        let mut writer = writer.expect("memory takes it");
        for len in [3, 100, 40_000, 7] {
            let record: Vec<u8> = (0..len).map(|i: u32| (i / 7).to_le_bytes()[0]).collect();
            writer.append(&record).expect("memory takes it");
        }
        let path = segment::path(Path::new(DIR), 0);
        files.map(&path).expect("it was just written").to_vec()
    });
    segments.to_vec()
}
