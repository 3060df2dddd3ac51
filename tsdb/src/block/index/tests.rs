//! An index that is written, read, and damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::Labels;
use proptest::prelude::*;

use super::read::{IndexReader, SeriesEntry};
use super::write::{ChunkMeta, SymbolWriter, WriteIndexError};
use crate::block::chunks::ChunkRef;
use crate::block::tests::{Unsynced, overwrite};
use crate::files::Files;

type Series = BTreeMap<Labels, Vec<ChunkMeta>>;

fn write(path: &Path, series: &Series, batch: u64) -> Result<(), WriteIndexError> {
    let mut symbols = BTreeSet::new();
    for labels in series.keys() {
        symbols.extend(labels.iter().flat_map(|(n, v)| [n, v]));
    }
    let mut writer = SymbolWriter::create(&Unsynced, path)?.with_batches_of(batch);
    symbols
        .into_iter()
        .try_for_each(|symbol| writer.add(symbol))?;
    let mut writer = writer.finish()?;
    for (labels, chunks) in series {
        writer.add_series(labels.iter(), chunks)?;
    }
    writer.finish()
}

/// Reads all that is in an index, by way of its postings.
fn read_all(path: &Path) -> Result<Series, String> {
    let reader = IndexReader::open(&Unsynced, path).map_err(|error| error.to_string())?;
    let text = |error: model::storage::ReadError| error.to_string();
    let mut found = Series::new();
    let mut entry = SeriesEntry::default();
    let all = reader.all_series().map_err(text)?;
    for &series in &all {
        reader.series(series, &mut entry).map_err(text)?;
        found.insert(reader.labels(&entry).map_err(text)?, entry.chunks.clone());
    }
    let names = reader
        .label_names()
        .collect::<Result<Vec<_>, _>>()
        .map_err(text)?;
    for name in names {
        let mut with_name = 0;
        for value in reader.values(name, "") {
            let (value, at) = value.map_err(text)?;
            let mut list = Vec::new();
            reader.postings(at, &mut list).map_err(text)?;
            if reader.find_postings(name, value) != Some(at) || !list.is_sorted() {
                return Err("postings disagree".to_owned());
            }
            with_name += list.len();
            for series in list {
                reader.series(series, &mut entry).map_err(text)?;
                let labels = reader.labels(&entry).map_err(text)?;
                if labels.get(name) != Some(value) {
                    return Err(format!("{labels} among those with {name}={value}"));
                }
            }
        }
        let expected = found
            .keys()
            .filter(|labels| labels.get(name).is_some())
            .count();
        if with_name != expected {
            return Err(format!("{with_name} series with {name}, not {expected}"));
        }
    }
    Ok(found)
}

fn chunk(mint: i64, maxt: i64, at: u64) -> ChunkMeta {
    let chunk = ChunkRef(at);
    ChunkMeta { mint, maxt, chunk }
}

fn sample() -> Series {
    let labels = |n: u32| {
        let text = n.to_string();
        Labels::from_pairs([
            ("__name__", "up"),
            ("instance", text.as_str()),
            ("job", "a"),
        ])
    };
    (0..40)
        .map(|n| {
            (
                labels(n),
                vec![chunk(-5, 10, 8), chunk(11, i64::from(n) + 11, 30)],
            )
        })
        .map(|(labels, chunks)| {
            (
                labels,
                chunks
                    .into_iter()
                    .map(|c| ChunkMeta {
                        chunk: ChunkRef(8),
                        ..c
                    })
                    .collect(),
            )
        })
        .collect()
}

#[test]
fn every_flipped_byte_is_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let series = sample();
    write(&path, &series, 1).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(read_all(&path).unwrap(), series);
    let mut unnoticed = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x81;
        overwrite(&path, &bytes);
        unnoticed += usize::from(read_all(&path).is_ok_and(|found| found == series));
    }
    // Padding between sections and series, and what the contents say of label indices, are nobody's.
    assert!(unnoticed < 16 * series.len(), "{unnoticed}");
    for len in 0..whole.len() {
        overwrite(&path, &whole[..len]);
        assert!(read_all(&path).is_err());
    }
}

#[test]
fn what_is_out_of_order_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut tries = 0;
    let mut check = |labels: &[(&str, &str)], chunks: &[ChunkMeta], expected: &str| {
        tries += 1;
        let mut symbols =
            SymbolWriter::create(&Unsynced, &dir.path().join(tries.to_string())).unwrap();
        assert!(symbols.add("a").is_ok() && symbols.add("b").is_ok() && symbols.add("b").is_err());
        let mut writer = symbols.finish().unwrap();
        writer
            .add_series([("a", "b")].into_iter(), &[chunk(0, 1, 9)])
            .unwrap();
        let error = writer
            .add_series(labels.iter().copied(), chunks)
            .unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    };
    check(&[("a", "b")], &[], "series out of order: {a=\"b\"}");
    check(&[("a", "a")], &[], "series out of order");
    check(&[("b", "a"), ("a", "a")], &[], "label out of order");
    check(&[("b", "c")], &[], "label string that is no symbol: c");
    check(&[("b", "a")], &[chunk(5, 4, 20)], "chunk out of order");
    check(
        &[("b", "a")],
        &[chunk(5, 7, 20), chunk(7, 8, 30)],
        "chunk out of order",
    );
    check(&[("b", "a")], &[chunk(5, 7, 8)], "chunk out of order");
}

#[test]
fn values_are_found_by_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    write(&path, &sample(), 1000).unwrap();
    let reader = IndexReader::open(&Unsynced, &path).unwrap();
    for prefix in ["", "0", "1", "6", "69", "7", "8", "/", ":"] {
        let found: Vec<&str> = reader
            .values("instance", prefix)
            .map(|v| v.unwrap().0)
            .collect();
        let mut expected: Vec<String> = (0..40)
            .map(|n| n.to_string())
            .filter(|n| n.starts_with(prefix))
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{prefix}");
    }
    assert_eq!(reader.values("absent", "").count(), 0);
    assert_eq!(reader.value_count("instance"), 40);
    assert_eq!(reader.find_postings("instance", "700"), None);
    assert!(!dir.path().join("index.postings.tmp").exists());
}

fn label_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[a-zé]{1,12}", Just("x".repeat(200))]
}

proptest! {
    #[test]
    fn reads_back(
        labels in prop::collection::btree_set(prop::collection::btree_map(label_text(), label_text(), 1..5), 0..60),
        times in prop::collection::vec((any::<i32>(), 0u16..500, 1u16..400), 0..6),
        batch in 1u64..100,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let mut next = 8;
        let series: Series = labels.iter().map(|pairs| {
            let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let mut t = times.first().map_or(0, |first| i64::from(first.0));
            let chunks = times.iter().map(|&(_, gap, len)| {
                let mint = t + 1 + i64::from(gap);
                t = mint + i64::from(len);
                next += 7;
                chunk(mint, t, next)
            }).collect();
            (labels, chunks)
        }).collect();
        write(&path, &series, batch).unwrap();
        prop_assert_eq!(read_all(&path).unwrap(), series);
        prop_assert_eq!(Unsynced.list(dir.path()).unwrap().len(), 1);
    }
}

/// Returns the parts of an index file that have a checksum behind them.
fn checked_parts(path: &Path) -> Vec<std::ops::Range<usize>> {
    let bytes = std::fs::read(path).unwrap();
    let reader = IndexReader::open(&Unsynced, path).unwrap();
    let toc = bytes.len() - super::TOC_BYTES;
    let table = u64::from_be_bytes(bytes[toc + 40..toc + 48].try_into().unwrap());
    let mut parts = Vec::new();
    parts.push(toc..bytes.len() - super::CRC_BYTES);
    let mut sections = vec![super::HEADER_BYTES as u64, table];
    for name in reader.label_names().map(Result::unwrap) {
        sections.extend(
            reader
                .values(name, "")
                .map(|value| value.unwrap().1.offset()),
        );
    }
    for offset in sections {
        let (content, start) = super::section(&bytes, offset).unwrap();
        parts.push(start..start + content.len());
    }
    for series in reader.all_series().unwrap() {
        let at = usize::try_from(reader.series_offset(series)).unwrap();
        let (len, rest) = crate::varint::decode_uvarint(&bytes[at..]).unwrap();
        let start = bytes.len() - rest.len();
        parts.push(start..start + usize::try_from(len).unwrap());
    }
    parts
}

/// What a checksum cannot tell, since it was made of the wrong bytes, is no reason to panic or to hang either.
#[test]
fn wrong_bytes_under_right_checksums_are_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let series: Series = sample().into_iter().take(5).collect();
    write(&path, &series, 1).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for part in checked_parts(&path) {
        for at in part.clone() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let crc = crc32c::crc32c(&bytes[part.clone()]).to_be_bytes();
                bytes[part.end..part.end + 4].copy_from_slice(&crc);
                overwrite(&path, &bytes);
                let _ = read_all(&path);
            }
        }
    }
}
