//! `meta.json`: what a block is, without opening it.
//!
//! Fields and their order are Prometheus'; a section that Thanos adds is kept as it is, and a section of ours, which
//! others pass over, has a checksum: one wrong digit of a time would hide samples. The file is written last of a block,
//! and replaced as a whole.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::OpenBlockError;
use crate::chunk::Encoding;
use crate::files::{self, Files};
use crate::ulid::Ulid;

/// Name of the file in a block's directory.
pub const META_FILE: &str = "meta.json";
/// The version of the file that is written and read.
pub const META_VERSION: u32 = 1;
/// The block came from samples that were late.
pub const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
/// The block came from series that had ended.
pub const HINT_STALE_SERIES: &str = "from-stale-series";
/// The block came from series that an operator chose.
pub const HINT_SELECTED_SERIES: &str = "from-selected-series";

/// What `meta.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// The block's name, and its directory's.
    pub ulid: Ulid,
    /// No sample is earlier; milliseconds since the epoch.
    pub min_time: i64,
    /// All samples are earlier: this end is **exclusive**.
    pub max_time: i64,
    /// What is in it.
    #[serde(default)]
    pub stats: BlockStats,
    /// How it came to be.
    #[serde(default)]
    pub compaction: Compaction,
    /// Always [`META_VERSION`].
    pub version: u32,
    /// What Thanos says about the block, untouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<Box<RawValue>>,
    /// What we say about the file, when we wrote it.
    #[serde(default, rename = "hearth", skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

/// How a file that we wrote is verified.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Check {
    /// CRC32C of the values of all fields before `version`, as a JSON list without white space.
    crc32c: u32,
}

/// How much is in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of any kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Those that are floats.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Those that are native histograms.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted intervals.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

impl BlockStats {
    /// Counts a chunk with so many samples.
    pub(crate) fn add_chunk(&mut self, encoding: Encoding, samples: u64) {
        self.num_chunks += 1;
        self.num_samples += samples;
        if encoding.is_float() {
            self.num_float_samples += samples;
        } else {
            self.num_histogram_samples += samples;
        }
    }
}

/// How a block came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// How often the data has been compacted; 1 when it came from the head.
    pub level: u32,
    /// The blocks from the head that its samples were in first, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// Compacting it gave nothing: all is deleted, and the block may go.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks it was made of directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// Compacting it failed; it is not tried again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Where the samples came from, when not from the head in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that another was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name.
    pub ulid: Ulid,
    /// Its first time.
    pub min_time: i64,
    /// The first time after it.
    pub max_time: i64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Compaction {
    /// Returns whether a hint is set.
    pub fn has_hint(&self, hint: &str) -> bool {
        self.hints.iter().any(|h| h == hint)
    }

    /// Returns whether the block was cut off the head with all of its in-order samples, so that those of the head count
    /// from the block's end on.
    pub fn is_cut_off_head(&self) -> bool {
        let of_some = [HINT_OUT_OF_ORDER, HINT_STALE_SERIES, HINT_SELECTED_SERIES];
        !of_some.iter().any(|hint| self.has_hint(hint))
    }

    /// Sets a hint; again is the same as once.
    pub fn add_hint(&mut self, hint: &str) {
        if !self.has_hint(hint) {
            self.hints.push(hint.to_owned());
            self.hints.sort_unstable();
        }
    }
}

impl BlockMeta {
    /// Returns the meta of a block of level 1 that is still empty: `min_time` inclusive, `max_time` exclusive.
    pub fn new(ulid: Ulid, min_time: i64, max_time: i64) -> Self {
        BlockMeta {
            ulid,
            min_time,
            max_time,
            stats: BlockStats::default(),
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
            version: META_VERSION,
            thanos: None,
            check: None,
        }
    }

    /// Returns whether the block may hold samples of `mint..=maxt`.
    pub fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        self.min_time <= maxt && mint < self.max_time
    }

    /// Reads the file of the block in `dir`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no such JSON, has another version, or is not what we wrote.
    pub fn read(files: &dyn Files, dir: &Path) -> Result<Self, OpenBlockError> {
        let path = dir.join(META_FILE);
        let meta = Self::read_any_version(files, dir)?;
        if meta.version != META_VERSION {
            let found = meta.version;
            return Err(OpenBlockError::Version { path, found });
        }
        if meta.check.is_some_and(|check| check.crc32c != meta.crc()) {
            let (offset, what) = (0, "meta file with a wrong checksum");
            return Err(OpenBlockError::Corrupt { path, offset, what });
        }
        Ok(meta)
    }

    /// As [`read`](BlockMeta::read), whatever version the file claims.
    pub(super) fn read_any_version(files: &dyn Files, dir: &Path) -> Result<Self, OpenBlockError> {
        let path = dir.join(META_FILE);
        match files.map(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| OpenBlockError::Meta { path, source }),
            Err(source) => Err(OpenBlockError::Io { path, source }),
        }
    }

    /// Writes the file of the block in `dir` and syncs it; a reader sees the old or the new.
    ///
    /// # Errors
    ///
    /// When the file system fails; the old one is then still there.
    pub fn write(&self, files: &dyn Files, dir: &Path) -> io::Result<()> {
        let mut checked = self.clone();
        let crc32c = self.crc();
        checked.check = Some(Check { crc32c });
        files::replace(files, &dir.join(META_FILE), &checked.to_json())
    }

    /// Returns the checksum of what matters. White space does not, and neither does what others add.
    fn crc(&self) -> u32 {
        let fields = (
            &self.ulid,
            self.min_time,
            self.max_time,
            &self.stats,
            &self.compaction,
        );
        let json = serde_json::to_vec(&fields);
        crc32c::crc32c(&json.expect("numbers, strings and lists always have a JSON form"))
    }

    /// Returns the file's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
        self.serialize(&mut serializer)
            .expect("numbers, strings and lists always have a JSON form");
        bytes
    }
}

/// Returns the directory of a block in the data directory.
pub fn block_dir(data_dir: &Path, ulid: Ulid) -> PathBuf {
    data_dir.join(ulid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;

    const PROMETHEUS: &str = "{\n\t\"ulid\": \"01BKGTZQ1SYQJTR4PB43C8PD98\",\n\t\"minTime\": -5,\n\t\"maxTime\": 7200000,\n\t\"stats\": {\n\t\t\"numSamples\": 3,\n\t\t\"numFloatSamples\": 2,\n\t\t\"numHistogramSamples\": 1,\n\t\t\"numSeries\": 2,\n\t\t\"numChunks\": 2\n\t},\n\t\"compaction\": {\n\t\t\"level\": 2,\n\t\t\"sources\": [\n\t\t\t\"01BKGTZQ1SYQJTR4PB43C8PD98\"\n\t\t],\n\t\t\"deletable\": true,\n\t\t\"parents\": [\n\t\t\t{\n\t\t\t\t\"ulid\": \"01BKGTZQ1SYQJTR4PB43C8PD98\",\n\t\t\t\t\"minTime\": 1,\n\t\t\t\t\"maxTime\": 2\n\t\t\t}\n\t\t],\n\t\t\"hints\": [\n\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\t\"version\": 1\n}";

    #[test]
    fn prometheus_text_reads_and_writes_back() {
        let meta: BlockMeta = serde_json::from_str(PROMETHEUS).unwrap();
        assert_eq!((meta.min_time, meta.max_time), (-5, 7_200_000));
        assert!(meta.compaction.has_hint(HINT_OUT_OF_ORDER));
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), PROMETHEUS);
    }

    #[test]
    fn what_thanos_adds_is_kept() {
        let text = PROMETHEUS.replace(
            "\"version\": 1",
            "\"version\": 1,\n\t\"thanos\": {\"labels\":{\"a\":\"b\"},\"x\":1.50}",
        );
        let meta: BlockMeta = serde_json::from_str(&text).unwrap();
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), text);
    }

    #[test]
    fn other_versions_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(dir.path().join(META_FILE), text).unwrap();
            BlockMeta::read(&Disk, dir.path()).map_err(|error| error.to_string())
        };
        assert!(read(PROMETHEUS).is_ok());
        let error = read(&PROMETHEUS.replace("\"version\": 1", "\"version\": 3")).unwrap_err();
        assert!(error.contains("version 3"), "{error}");
        assert!(read("{").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn every_flipped_bit_that_matters_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(META_FILE);
        let meta: BlockMeta = serde_json::from_str(PROMETHEUS).unwrap();
        meta.write(&Disk, dir.path()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(BlockMeta::read(&Disk, dir.path()).is_ok());
        for bit in 0..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            if let Ok(read) = BlockMeta::read(&Disk, dir.path()) {
                assert_eq!(read.to_json(), meta_json(&meta, &read), "bit {bit}");
            }
        }
    }

    /// The file of `meta`, with the section of `read` that is ours.
    fn meta_json(meta: &BlockMeta, read: &BlockMeta) -> Vec<u8> {
        let mut meta = meta.clone();
        meta.check = read.check;
        meta.to_json()
    }

    #[test]
    fn ends_are_half_open() {
        let meta = BlockMeta::new(Ulid::new(1, 2), 10, 20);
        assert!(meta.overlaps(19, 30) && meta.overlaps(0, 10));
        assert!(!meta.overlaps(20, 30) && !meta.overlaps(0, 9));
    }
}
