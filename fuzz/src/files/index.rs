//! The index of a block.

use std::path::Path;

use super::{DIR, file};
use tsdb::block::index::read::{IndexReader, SeriesEntry};
use tsdb::block::index::write::{ChunkMeta, SymbolWriter};

/// All that can be read of an index is read, as the bytes are and with the checksums put right.
pub fn check(data: &[u8]) {
    read_all(data);
    let mut repaired = data.to_vec();
    repair(&mut repaired);
    read_all(&repaired);
}

fn read_all(bytes: &[u8]) {
    let files = file("index", bytes);
    let Ok(index) = IndexReader::open(&*files, &Path::new(DIR).join("index")) else {
        return;
    };
    assert!(index.iter_symbols().count() <= bytes.len());
    let all = index.all_series().unwrap_or_default();
    assert!(all.len() <= bytes.len());
    let mut entry = SeriesEntry::default();
    for &series in all.iter().take(100) {
        if index.series(series, &mut entry).is_ok() {
            assert!(entry.labels.len() + entry.chunks.len() <= bytes.len());
            let _ = index.labels(&entry);
        }
    }
    let names: Vec<&str> = index.label_names().flatten().take(100).collect();
    for name in names {
        let mut list = Vec::new();
        for (value, at) in index.values(name, "").flatten().take(100) {
            let _ = index.postings(at, &mut list);
            let _ = (index.postings_len(at), index.find_postings(name, value));
        }
        assert!(list.len() <= 100 * bytes.len());
    }
}

/// Puts the checksums right of the table of contents, of the sections that it names, and of the series.
fn repair(bytes: &mut [u8]) {
    const TOC: usize = 52;
    let Some(toc) = bytes.len().checked_sub(TOC) else {
        return;
    };
    put_crc(bytes, toc, 48);
    let offset = |bytes: &[u8], i: usize| {
        let field = bytes[toc + 8 * i..].first_chunk::<8>();
        field.map_or(0, |field| u64::from_be_bytes(*field))
    };
    for i in [0, 4, 5] {
        let mut at = usize::try_from(offset(bytes, i)).unwrap_or(usize::MAX);
        // Postings come one after the other, the other sections alone.
        for _ in 0..if i == 4 { 50 } else { 1 } {
            let Some(len) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
                break;
            };
            let len = u32::from_be_bytes(*len) as usize;
            put_crc(bytes, at + 4, len);
            at = at.saturating_add(8).saturating_add(len);
        }
    }
    let mut at = usize::try_from(offset(bytes, 1)).unwrap_or(usize::MAX);
    for _ in 0..50 {
        let Some(&len) = bytes.get(at) else { break };
        if len < 0x80 {
            put_crc(bytes, at + 1, usize::from(len));
        }
        at = (at + 5 + usize::from(len)).next_multiple_of(16);
    }
}

/// Writes the checksum of `len` bytes behind them, if there is room.
fn put_crc(bytes: &mut [u8], at: usize, len: usize) {
    let Some(end) = at.checked_add(len) else {
        return;
    };
    let Some(crc) = bytes.get(at..end).map(crc32c::crc32c) else {
        return;
    };
    if let Some(place) = bytes
        .get_mut(end..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
    {
        *place = crc.to_be_bytes();
    }
}

/// The index of a few series, and of enough for the tables to be sampled.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![index(3), index(80)]
}

fn index(series: u64) -> Vec<u8> {
    let files = file("unused", b"");
    let path = Path::new(DIR).join("index");
    let values: Vec<String> = (0..series).map(|i| format!("v{i:03}")).collect();
    let mut symbols = SymbolWriter::create(&*files, &path).expect("memory takes it");
    let mut all: Vec<&str> = values.iter().map(String::as_str).collect();
    all.extend(["__name__", "i", "up"]);
    all.sort_unstable();
    for symbol in all {
        symbols.add(symbol).expect("they ascend");
    }
    let mut writer = symbols.finish().expect("memory takes it");
    for (i, value) in (0..).zip(&values) {
        let chunk = |n: i64| ChunkMeta {
            mint: 100 * n,
            maxt: 100 * n + 99,
            chunk: tsdb::block::chunks::ChunkRef(8 + 50 * i + n.unsigned_abs()),
        };
        let labels = [("__name__", "up"), ("i", &**value)];
        writer
            .add_series(labels.into_iter(), &[chunk(0), chunk(1)])
            .expect("they ascend");
    }
    writer.finish().expect("memory takes it");
    files.map(&path).expect("it was just written").to_vec()
}
