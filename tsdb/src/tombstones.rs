//! Tombstones: time intervals of series that are deleted but still there.
//!
//! ```text
//! tombstones: 0x0130BA30 │ version 1 │ (uvarint series ref, varint mint, varint maxt)* │ u32 CRC32C of the entries
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use model::storage::SampleColumns;

use crate::files::{self, Files};
use crate::head::late::without_reset_hint;
use crate::varint::{decode_uvarint, decode_varint, encode_uvarint, encode_varint};

/// Name of the file in a block's directory.
pub const TOMBSTONES_FILE: &str = "tombstones";
const MAGIC: [u8; 4] = 0x0130_BA30u32.to_be_bytes();
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const CRC_BYTES: usize = 4;

/// A range of time, both ends inclusive, milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    /// The first time in it.
    pub mint: i64,
    /// The last time in it.
    pub maxt: i64,
}

impl Interval {
    /// Returns whether `t` is in it.
    pub fn contains(self, t: i64) -> bool {
        self.mint <= t && t <= self.maxt
    }
}

/// The deleted intervals of one series: ascending, apart from each other by at least one millisecond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// Adds an interval; joins it with those that it overlaps or touches. One that ends before it begins is nothing.
    pub fn add(&mut self, added: Interval) {
        if added.maxt < added.mint {
            return;
        }
        let Interval { mint, maxt } = added;
        let from = self
            .0
            .partition_point(|old| old.maxt < mint.saturating_sub(1));
        let to = self
            .0
            .partition_point(|old| old.mint <= maxt.saturating_add(1));
        let joined = match self.0.get(from..to) {
            Some([first, ..]) => Interval {
                mint: mint.min(first.mint),
                maxt: maxt.max(self.0[to - 1].maxt),
            },
            _ => added,
        };
        self.0.splice(from..to.max(from), [joined]);
    }

    /// Returns the intervals.
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether `t` is deleted.
    pub fn contains(&self, t: i64) -> bool {
        let at = self.0.partition_point(|old| old.maxt < t);
        self.0.get(at).is_some_and(|old| old.mint <= t)
    }

    /// Returns whether all of `mint..=maxt` is deleted.
    pub fn cover(&self, mint: i64, maxt: i64) -> bool {
        let at = self.0.partition_point(|old| old.maxt < mint);
        self.0
            .get(at)
            .is_some_and(|old| old.mint <= mint && maxt <= old.maxt)
    }

    /// Returns whether some of `mint..=maxt` is deleted.
    pub fn overlap(&self, mint: i64, maxt: i64) -> bool {
        let at = self.0.partition_point(|old| old.maxt < mint);
        self.0.get(at).is_some_and(|old| old.mint <= maxt)
    }

    /// Removes the deleted samples from `columns`, from index `from` on.
    pub fn subtract(&self, columns: &mut SampleColumns, from: usize) {
        let touched = columns
            .timestamps
            .get(from..)
            .and_then(|times| Some((*times.first()?, *times.last()?)))
            .is_some_and(|(first, last)| self.overlap(first, last));
        if !touched {
            return;
        }
        let mut kept = from;
        let mut histograms = columns
            .histograms
            .partition_point(|&(index, _)| index < from);
        let mut kept_histograms = histograms;
        let mut follows_gap = false;
        for index in from..columns.len() {
            let is_histogram = columns
                .histograms
                .get(histograms)
                .is_some_and(|&(i, _)| i == index);
            if !self.contains(columns.timestamps[index]) {
                columns.timestamps[kept] = columns.timestamps[index];
                columns.floats[kept] = columns.floats[index];
                if is_histogram {
                    columns.histograms.swap(kept_histograms, histograms);
                    let (place, histogram) = &mut columns.histograms[kept_histograms];
                    *place = kept;
                    // What it says of a counter reset is said of a sample that is deleted.
                    if follows_gap {
                        *histogram = without_reset_hint(histogram);
                    }
                    kept_histograms += 1;
                }
                kept += 1;
                follows_gap = false;
            } else {
                follows_gap = true;
            }
            histograms += usize::from(is_histogram);
        }
        columns.timestamps.truncate(kept);
        columns.floats.truncate(kept);
        columns.histograms.truncate(kept_histograms);
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut all = Intervals::default();
        intervals.into_iter().for_each(|added| all.add(added));
        all
    }
}

/// The deleted intervals of all series of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Intervals>);

/// Why a tombstones file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadTombstonesError {
    /// The file system failed.
    #[error("read the file")]
    Io(#[from] io::Error),
    /// The bytes are wrong.
    #[error("{0}")]
    Corrupt(&'static str),
}

impl Tombstones {
    /// Adds a deleted interval of a series.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.mint <= interval.maxt {
            self.0.entry(series).or_default().add(interval);
        }
    }

    /// Forgets the intervals that `keep` says no to.
    pub fn retain(&mut self, keep: impl Fn(Interval) -> bool) {
        self.0.retain(|_, intervals| {
            intervals.0.retain(|&interval| keep(interval));
            !intervals.is_empty()
        });
    }

    /// Returns what is deleted of a series, if anything is.
    pub fn of(&self, series: u64) -> Option<&Intervals> {
        self.0.get(&series)
    }

    /// Returns whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many intervals there are.
    pub fn len(&self) -> usize {
        self.0.values().map(|intervals| intervals.0.len()).sum()
    }

    /// Iterates over the series with deleted intervals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.0
            .iter()
            .map(|(&series, intervals)| (series, intervals))
    }

    /// Reads the file of the block in `dir`; without a file nothing is deleted.
    ///
    /// # Errors
    ///
    /// When the file system fails or the bytes are wrong.
    pub fn read(files: &dyn Files, dir: &Path) -> Result<Self, ReadTombstonesError> {
        let path = dir.join(TOMBSTONES_FILE);
        match files.map(&path) {
            Ok(bytes) => Self::decode(&bytes).map_err(ReadTombstonesError::Corrupt),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the file of the block in `dir` and syncs it; a reader sees the old or the new.
    ///
    /// # Errors
    ///
    /// When the file system fails; the old one is then still there.
    pub fn write(&self, files: &dyn Files, dir: &Path) -> io::Result<()> {
        files::replace(files, &dir.join(TOMBSTONES_FILE), &self.encode())
    }

    /// Returns the file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        for (&series, intervals) in &self.0 {
            for interval in &intervals.0 {
                encode_uvarint(&mut bytes, series);
                encode_varint(&mut bytes, interval.mint);
                encode_varint(&mut bytes, interval.maxt);
            }
        }
        let crc = crc32c::crc32c(&bytes[HEADER_BYTES..]);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < HEADER_BYTES + CRC_BYTES || bytes[..4] != MAGIC {
            return Err("no tombstones file");
        }
        if bytes[4] != VERSION {
            return Err("unknown version of the tombstones file");
        }
        let (mut entries, crc) =
            bytes[HEADER_BYTES..].split_at(bytes.len() - HEADER_BYTES - CRC_BYTES);
        if crc != crc32c::crc32c(entries).to_be_bytes() {
            return Err("tombstones with a wrong checksum");
        }
        let mut all = Self::default();
        while !entries.is_empty() {
            let (series, interval, rest) =
                decode_entry(entries).ok_or("tombstone that ends early")?;
            all.add(series, interval);
            entries = rest;
        }
        Ok(all)
    }
}

fn decode_entry(src: &[u8]) -> Option<(u64, Interval, &[u8])> {
    let (series, rest) = decode_uvarint(src)?;
    let (mint, rest) = decode_varint(rest)?;
    let (maxt, rest) = decode_varint(rest)?;
    Some((series, Interval { mint, maxt }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram::FloatHistogram;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    #[test]
    fn layout_is_as_documented() {
        let mut tombstones = Tombstones::default();
        tombstones.add(3, Interval { mint: -1, maxt: 64 });
        let bytes = tombstones.encode();
        assert_eq!(bytes[..9], [0x01, 0x30, 0xBA, 0x30, 1, 3, 1, 0x80, 1]);
        assert_eq!(bytes[9..], crc32c::crc32c(&[3, 1, 0x80, 1]).to_be_bytes());
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let mut tombstones = Tombstones::default();
        tombstones.add(3, Interval { mint: -1, maxt: 64 });
        tombstones.add(
            900,
            Interval {
                mint: i64::MIN,
                maxt: i64::MAX,
            },
        );
        let bytes = tombstones.encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert!(Tombstones::decode(&damaged).is_err(), "{at}");
            assert!(Tombstones::decode(&bytes[..at]).is_err(), "{at}");
        }
    }

    fn intervals() -> impl Strategy<Value = Vec<(i64, i64)>> {
        prop::collection::vec((0i64..60, -2i64..12), 0..12)
    }

    proptest! {
        #[test]
        fn agree_with_a_set_of_times(added in intervals(), mint in 0i64..70, len in 0i64..20) {
            let all: Intervals = added.iter().map(|&(mint, len)| Interval { mint, maxt: mint + len }).collect();
            let times: BTreeSet<i64> = added.iter().flat_map(|&(mint, len)| mint..=mint + len).collect();
            for t in -2..80 {
                prop_assert_eq!(all.contains(t), times.contains(&t));
            }
            prop_assert!(all.as_slice().is_sorted_by(|a, b| a.maxt + 1 < b.mint));
            let maxt = mint + len;
            prop_assert_eq!(all.cover(mint, maxt), (mint..=maxt).all(|t| times.contains(&t)));
            prop_assert_eq!(all.overlap(mint, maxt), (mint..=maxt).any(|t| times.contains(&t)));
        }

        #[test]
        fn subtracting_keeps_the_rest(
            added in intervals(), samples in prop::collection::btree_map(0i64..70, any::<bool>(), 0..40), from in 0usize..10,
        ) {
            let all: Intervals = added.iter().map(|&(mint, len)| Interval { mint, maxt: mint + len }).collect();
            let columns = |keep: &dyn Fn(usize, i64) -> bool| {
                let mut columns = SampleColumns::default();
                for (i, (&t, &is_histogram)) in samples.iter().enumerate().filter(|&(i, (&t, _))| keep(i, t)) {
                    let _ = i;
                    if is_histogram {
                        columns.push_histogram(t, Arc::new(FloatHistogram { sum: t as f64, ..FloatHistogram::default() }));
                    } else {
                        columns.push_float(t, t as f64);
                    }
                }
                columns
            };
            let mut subtracted = columns(&|_, _| true);
            all.subtract(&mut subtracted, from);
            let expected = columns(&|i, t| i < from || !all.contains(t));
            prop_assert_eq!(&subtracted.timestamps, &expected.timestamps);
            prop_assert_eq!(&subtracted.histograms, &expected.histograms);
            let bits = |columns: &SampleColumns| columns.floats.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&subtracted), bits(&expected));
        }

        #[test]
        fn file_reads_back(added in prop::collection::vec((any::<u64>(), any::<i64>(), any::<i64>()), 0..40)) {
            let mut tombstones = Tombstones::default();
            for (series, mint, maxt) in added {
                tombstones.add(series, Interval { mint, maxt });
            }
            prop_assert_eq!(Tombstones::decode(&tombstones.encode()).unwrap(), tombstones);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut file = MAGIC.to_vec();
            file.push(VERSION);
            file.extend_from_slice(&bytes);
            file.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
            let _ = Tombstones::decode(&file);
            let _ = Tombstones::decode(&bytes);
        }
    }
}
