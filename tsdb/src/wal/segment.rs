//! Segments: files of 32 KiB pages with checksummed fragments of records.
//!
//! ```text
//! fragment: u8 type │ u16 length │ u32 CRC32C of data │ data          big-endian
//! type:     low 3 bits 1 full, 2 first, 3 middle, 4 last, 0 rest of the page is empty
//!           bit 3: the record is snappy-compressed, bit 4: zstd
//! ```
//!
//! A record does not cross segments. After a crash the last record may be torn: the reader stops at the last whole one
//! and says where, so that the tail can be cut.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{Files, OpenFile};
use crate::map::Map;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 32 * 1024;
/// Bytes in front of each fragment.
const HEADER_BYTES: usize = 7;
/// Largest segment unless configured otherwise.
pub const SEGMENT_BYTES: u64 = 128 << 20;
/// Largest record that is believed when read: four segments' worth, decompressed.
const RECORD_BYTES_MAX: usize = 512 << 20;

/// How many times its length a record may have been compressed from with zstd; a longer one would cost memory for a lie.
/// Real records are compressed by less than a hundredth of that.
const ZSTD_RATIO_MAX: usize = 4096;

const TYPE_MASK: u8 = 0b111;
const SNAPPY: u8 = 1 << 3;
const ZSTD: u8 = 1 << 4;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Returns the path of segment `index` in `dir`.
pub fn path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("{index:08}"))
}

/// Returns the indices of the segments in `dir`, ascending.
///
/// # Errors
///
/// When the directory cannot be listed.
pub fn list(files: &dyn Files, dir: &Path) -> io::Result<Vec<u32>> {
    let entries = files.list(dir)?.into_iter();
    let mut indices: Vec<u32> = entries
        .filter(|entry| !entry.is_dir && entry.name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| entry.name.parse().ok())
        .collect();
    indices.sort_unstable();
    Ok(indices)
}

/// How records are made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    None,
    /// Fast; what every Prometheus reads.
    #[default]
    Snappy,
    /// Smaller.
    Zstd,
}

/// How segments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Largest segment, in bytes.
    pub bytes_max: u64,
    /// Compression of the records.
    pub compression: Compression,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions {
            bytes_max: SEGMENT_BYTES,
            compression: Compression::Snappy,
        }
    }
}

/// Appends records to the segments of one directory.
///
/// A record is with the operating system when [`append`](SegmentWriter::append) returns, which a kill of the process
/// survives; when it is fsynced is up to the caller, see [`current`](SegmentWriter::current).
#[derive(Debug)]
pub struct SegmentWriter {
    files: Arc<dyn Files>,
    dir: PathBuf,
    file: Arc<dyn OpenFile>,
    index: u32,
    /// Bytes in the current segment.
    len: u64,
    options: SegmentOptions,
    packer: Packer,
    /// The fragments of the record being written.
    out: Vec<u8>,
    /// Full segments that have not been fsynced yet.
    full: Vec<Arc<dyn OpenFile>>,
}

/// A place in the log: everything before it is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The segment.
    pub segment: u32,
    /// Bytes of it.
    pub offset: u64,
}

/// Compresses records.
struct Packer {
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    compressed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Packer {
            snappy: snap::raw::Encoder::new(),
            zstd: None,
            compressed: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl SegmentWriter {
    /// Starts a new segment `index` in `dir`.
    ///
    /// # Errors
    ///
    /// When the file cannot be created; it must not exist yet.
    pub fn create(
        files: Arc<dyn Files>,
        dir: &Path,
        index: u32,
        options: SegmentOptions,
    ) -> io::Result<Self> {
        let file = create_segment(&*files, dir, index)?;
        Ok(SegmentWriter {
            files,
            dir: dir.to_owned(),
            file,
            index,
            len: 0,
            options: SegmentOptions {
                bytes_max: options.bytes_max.next_multiple_of(PAGE_BYTES as u64),
                ..options
            },
            packer: Packer::default(),
            out: Vec::new(),
            full: Vec::new(),
        })
    }

    /// Returns the index of the segment that the next record goes to, unless it is full.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns where the last record ends.
    pub fn position(&self) -> Position {
        Position {
            segment: self.index,
            offset: self.len,
        }
    }

    /// Appends one record, compressed when that makes it smaller. Empty records are not written.
    ///
    /// # Errors
    ///
    /// When writing fails; the segment is then cut back to the record before, so that the log stays readable.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if record.is_empty() {
            return Ok(());
        }
        let mut packer = std::mem::take(&mut self.packer);
        let packed = packer.pack(record, self.options.compression);
        let result = self
            .make_room(bytes_needed(packed.data.len()))
            .and_then(|()| {
                self.out.clear();
                self.push_fragments(packed.data, packed.flag);
                self.write_out()
            });
        self.packer = packer;
        result
    }

    /// Appends the records of a batch: all of them or none.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_batch(&mut self, batch: &LogBatch) -> io::Result<()> {
        let needed = batch
            .records
            .iter()
            .map(|&(len, _)| bytes_needed(len))
            .sum();
        self.make_room(needed)?;
        self.out.clear();
        let mut rest = &batch.data[..];
        for &(len, flag) in &batch.records {
            let (data, after) = rest.split_at(len);
            self.push_fragments(data, flag);
            rest = after;
        }
        self.write_out()
    }

    /// Returns the current segment's file; syncing it and what [`take_full`](Self::take_full) returned makes everything
    /// appended so far survive a power cut.
    pub fn current(&self) -> Arc<dyn OpenFile> {
        Arc::clone(&self.file)
    }

    /// Returns full segments that were not returned before and are to be synced by the caller.
    pub fn take_full(&mut self) -> Vec<Arc<dyn OpenFile>> {
        std::mem::take(&mut self.full)
    }

    /// Ends the current segment and starts the next.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn next_segment(&mut self) -> io::Result<()> {
        let next = create_segment(&*self.files, &self.dir, self.index + 1)?;
        self.full.push(std::mem::replace(&mut self.file, next));
        self.index += 1;
        self.len = 0;
        Ok(())
    }

    /// Begins the next segment if `needed` more bytes do not fit into this one.
    fn make_room(&mut self, needed: u64) -> io::Result<()> {
        if self.options.bytes_max < self.len + needed && 0 < self.len {
            self.next_segment()?;
        }
        Ok(())
    }

    /// Adds a record to what is written next.
    fn push_fragments(&mut self, mut data: &[u8], flags: u8) {
        let mut first = true;
        while first || !data.is_empty() {
            let page_left = page_left(self.len + self.out.len() as u64);
            let part_len = data.len().min(page_left - HEADER_BYTES);
            let (part, rest) = data.split_at(part_len);
            let kind = match (first, rest.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            let part_len = u16::try_from(part_len).expect("a fragment fits a page of 32 KiB");
            self.out.push(kind | flags);
            self.out.extend_from_slice(&part_len.to_be_bytes());
            self.out
                .extend_from_slice(&crc32c::crc32c(part).to_be_bytes());
            self.out.extend_from_slice(part);
            // What is too short for another header stays empty.
            let left = page_left - HEADER_BYTES - part.len();
            if left < HEADER_BYTES {
                self.out.resize(self.out.len() + left, 0);
            }
            data = rest;
            first = false;
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(&self.out, self.len) {
            // What was written in part must not stand before what comes next: cut it, or leave this segment.
            if self.file.set_len(self.len).is_err() {
                self.next_segment()?;
            }
            return Err(error);
        }
        self.len += self.out.len() as u64;
        Ok(())
    }
}

/// Records that are appended together: a crash or a failing disk leaves all of them or none.
#[derive(Default)]
pub struct LogBatch {
    packer: Packer,
    /// The records as they are written, end to end.
    data: Vec<u8>,
    /// Length and compression of each.
    records: Vec<(usize, u8)>,
}

impl LogBatch {
    /// Adds a record, compressed when that makes it smaller; an empty one is left out.
    pub fn add(&mut self, record: &[u8], compression: Compression) {
        if record.is_empty() {
            return;
        }
        let packed = self.packer.pack(record, compression);
        self.data.extend_from_slice(packed.data);
        self.records.push((packed.data.len(), packed.flag));
    }

    /// Forgets the records and keeps the room.
    pub fn clear(&mut self) {
        self.data.clear();
        self.records.clear();
    }

    /// Returns whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// A record as it is written.
#[derive(Clone, Copy, Debug)]
struct Packed<'a> {
    data: &'a [u8],
    flag: u8,
}

impl Packer {
    /// Returns the record compressed, if that makes it smaller.
    fn pack<'a>(&'a mut self, record: &'a [u8], compression: Compression) -> Packed<'a> {
        let plain = Packed {
            data: record,
            flag: 0,
        };
        let packed = match compression {
            Compression::None => None,
            Compression::Snappy => {
                let bound = snap::raw::max_compress_len(record.len());
                self.make_room(bound);
                let len = self.snappy.compress(record, &mut self.compressed);
                len.ok().map(|len| (len, SNAPPY))
            }
            Compression::Zstd => {
                self.make_room(zstd::zstd_safe::compress_bound(record.len()));
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(1).ok();
                }
                self.zstd.as_mut().and_then(|zstd| {
                    let len = zstd.compress_to_buffer(record, &mut self.compressed[..]);
                    len.ok().map(|len| (len, ZSTD))
                })
            }
        };
        match packed {
            Some((len, flag)) if len < record.len() => Packed {
                data: &self.compressed[..len],
                flag,
            },
            _ => plain,
        }
    }

    /// Only ever longer, so that the buffer is not filled with zeros again for each record.
    fn make_room(&mut self, len: usize) {
        if self.compressed.len() < len {
            self.compressed.resize(len, 0);
        }
    }
}

fn create_segment(files: &dyn Files, dir: &Path, index: u32) -> io::Result<Arc<dyn OpenFile>> {
    let file = files.create(&path(dir, index))?;
    files.sync_dir(dir)?;
    Ok(file)
}

/// Bytes left in the page at offset `at`; never less than a header and a byte, by construction.
fn page_left(at: u64) -> usize {
    PAGE_BYTES - usize::try_from(at % PAGE_BYTES as u64).expect("less than a page")
}

/// Bytes that a record of `data` bytes takes at most, wherever it begins in a page.
fn bytes_needed(data: usize) -> u64 {
    let pages = 2 + data / (PAGE_BYTES - HEADER_BYTES);
    (data + pages * 2 * HEADER_BYTES) as u64
}

/// Why a segment could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file system failed.
    #[error("read WAL segment {}", .path.display())]
    Io {
        /// Which segment.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The bytes are wrong from here on.
    #[error("corrupt WAL segment {} at byte {offset}: {what}", .path.display())]
    Corrupt {
        /// Which segment.
        path: PathBuf,
        /// Bytes up to the end of the last whole record.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// What is wrong with a record that was being written when the process or the machine stopped.
pub const TORN: &str = "the last record is torn";

/// Reads the records of one segment out of its map.
pub struct SegmentReader {
    path: PathBuf,
    map: Map,
    /// Bytes read so far.
    offset: usize,
    /// Bytes up to the end of the last whole record.
    whole: usize,
    raw: Vec<u8>,
    record: Vec<u8>,
    unpacked: snap::raw::Decoder,
}

/// Where the data of a record is: a range of the map, or collected from several fragments.
enum Raw {
    Mapped(std::ops::Range<usize>),
    Collected,
}

impl SegmentReader {
    /// Opens the segment at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(files: &dyn Files, path: PathBuf) -> Result<Self, SegmentError> {
        match files.map(&path) {
            Ok(map) => Ok(SegmentReader {
                path,
                map,
                offset: 0,
                whole: 0,
                raw: Vec::new(),
                record: Vec::new(),
                unpacked: snap::raw::Decoder::new(),
            }),
            Err(source) => Err(SegmentError::Io { path, source }),
        }
    }

    /// Goes to byte `offset`, where a record begins.
    pub fn seek(&mut self, offset: u64) {
        self.offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.whole = self.offset.min(self.map.len());
    }

    /// Returns how many bytes the segment has.
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Returns whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Returns the next record, decompressed; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Corrupt`] at a torn or damaged record; reading on makes no sense then.
    #[expect(
        clippy::should_implement_trait,
        reason = "the record borrows from the reader, which Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, SegmentError> {
        let Some((raw, flags)) = self.next_raw()? else {
            return Ok(None);
        };
        let data = match raw {
            Raw::Mapped(range) => &self.map[range],
            Raw::Collected => &self.raw,
        };
        let outcome = unpack(data, flags, &mut self.unpacked, &mut self.record);
        let is_packed = outcome.map_err(|what| self.corrupt(what))?;
        self.whole = self.offset;
        Ok(Some(if is_packed { &self.record } else { data }))
    }

    /// Joins the fragments of the next record; returns where they are, and the flags.
    fn next_raw(&mut self) -> Result<Option<(Raw, u8)>, SegmentError> {
        self.raw.clear();
        let mut is_first = true;
        loop {
            let Some((kind, flags, part)) = self.next_fragment()? else {
                if is_first {
                    return Ok(None);
                }
                return Err(self.corrupt(TORN));
            };
            if matches!(kind, FULL | FIRST) != is_first {
                return Err(self.corrupt("fragments out of order"));
            }
            is_first = false;
            if kind == FULL {
                return Ok(Some((Raw::Mapped(part), flags)));
            }
            if RECORD_BYTES_MAX < self.raw.len() + part.len() {
                return Err(self.corrupt("record larger than 512 MiB"));
            }
            self.raw.extend_from_slice(&self.map[part]);
            if kind == LAST {
                return Ok(Some((Raw::Collected, flags)));
            }
        }
    }

    /// Returns kind, flags and place of the next fragment's data. `None` at the end of the file.
    fn next_fragment(&mut self) -> Result<Option<(u8, u8, std::ops::Range<usize>)>, SegmentError> {
        loop {
            let left = page_left(self.offset as u64);
            let page = self.map.get(self.offset..).unwrap_or_default();
            let page = &page[..page.len().min(left)];
            let Some(&first) = page.first() else {
                return Ok(None);
            };
            let kind = first & TYPE_MASK;
            if left < HEADER_BYTES || kind == 0 {
                if page.iter().any(|&byte| byte != 0) {
                    return Err(self.corrupt("unexpected bytes in the empty rest of a page"));
                }
                self.offset += left;
                continue;
            }
            let Some(header) = page.first_chunk::<HEADER_BYTES>() else {
                return Err(self.corrupt(TORN));
            };
            let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
            if LAST < kind || left - HEADER_BYTES < len {
                return Err(self.corrupt("impossible fragment"));
            }
            let Some(data) = page.get(HEADER_BYTES..HEADER_BYTES + len) else {
                return Err(self.corrupt(TORN));
            };
            let expected = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
            if crc32c::crc32c(data) != expected {
                return Err(self.corrupt("checksum mismatch"));
            }
            let start = self.offset + HEADER_BYTES;
            self.offset = start + len;
            return Ok(Some((kind, first & (SNAPPY | ZSTD), start..start + len)));
        }
    }

    fn corrupt(&self, what: &'static str) -> SegmentError {
        SegmentError::Corrupt {
            path: self.path.clone(),
            offset: self.whole as u64,
            what,
        }
    }
}

/// Decompresses `data` into `out` as the flags say; returns whether it was compressed at all.
fn unpack(
    data: &[u8],
    flags: u8,
    snappy: &mut snap::raw::Decoder,
    out: &mut Vec<u8>,
) -> Result<bool, &'static str> {
    const TOO_LARGE: &str = "record decompresses to more than is believed";
    const NOT_PACKED: &str = "record does not decompress";
    match flags {
        0 => Ok(false),
        SNAPPY => {
            let len = snap::raw::decompress_len(data).unwrap_or(usize::MAX);
            // Snappy's best is 64 bytes from three; a length beyond is a lie that would cost memory.
            if RECORD_BYTES_MAX < len || data.len().saturating_mul(32) < len {
                return Err(TOO_LARGE);
            }
            out.resize(len, 0);
            snappy.decompress(data, out).map_err(|_| NOT_PACKED)?;
            Ok(true)
        }
        ZSTD => {
            out.clear();
            let believed = RECORD_BYTES_MAX.min(data.len().saturating_mul(ZSTD_RATIO_MAX));
            let limit = believed as u64 + 1;
            let done = zstd::stream::read::Decoder::with_buffer(data)
                .and_then(|decoder| decoder.take(limit).read_to_end(out));
            match done {
                Ok(len) if len <= believed => Ok(true),
                Ok(_) => Err(TOO_LARGE),
                Err(_) => Err(NOT_PACKED),
            }
        }
        _ => Err("unknown compression"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use proptest::prelude::*;
    use std::fs;

    fn writer(dir: &Path, index: u32, bytes_max: u64) -> SegmentWriter {
        let options = SegmentOptions {
            bytes_max,
            ..SegmentOptions::default()
        };
        SegmentWriter::create(Arc::new(Disk), dir, index, options).unwrap()
    }

    fn read_all(path: PathBuf) -> (Vec<Vec<u8>>, Option<SegmentError>) {
        let mut reader = SegmentReader::open(&Disk, path).unwrap();
        let mut records = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(record)) => records.push(record.to_vec()),
                Ok(None) => return (records, None),
                Err(error) => return (records, Some(error)),
            }
        }
    }

    /// Records that do not compress, so that sizes are what the test says.
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_be_bytes()[3]
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn records_read_back(sizes in prop::collection::vec(prop_oneof![1usize..100, 32_700usize..32_800, 1usize..100_000], 1..20)) {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = writer(dir.path(), 0, SEGMENT_BYTES);
            let records: Vec<_> = sizes.iter().enumerate().map(|(i, &len)| noise(len, i as u64 + 1)).collect();
            for record in &records {
                writer.append(record).unwrap();
            }
            let (read, error) = read_all(path(dir.path(), 0));
            prop_assert!(error.is_none(), "{:?}", error);
            prop_assert_eq!(read, records);
        }
    }

    #[test]
    fn each_compression_reads_back() {
        let text = "the same again and ".repeat(5_000);
        for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
            let dir = tempfile::tempdir().unwrap();
            let options = SegmentOptions {
                compression,
                ..SegmentOptions::default()
            };
            let mut writer = SegmentWriter::create(Arc::new(Disk), dir.path(), 0, options).unwrap();
            writer.append(text.as_bytes()).unwrap();
            writer.append(b"x").unwrap();
            let is_packed = writer.position().offset < text.len() as u64 / 4;
            assert_eq!(is_packed, compression != Compression::None);
            let (read, error) = read_all(path(dir.path(), 0));
            assert!(error.is_none(), "{error:?}");
            assert_eq!(read, [text.as_bytes(), b"x"]);
        }
    }

    #[test]
    fn full_segments_are_followed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), 5, 4 * PAGE_BYTES as u64);
        let records: Vec<_> = (1..20).map(|i| noise(20_000, i)).collect();
        for record in &records {
            writer.append(record).unwrap();
        }
        let segments = list(&Disk, dir.path()).unwrap();
        assert_eq!(segments[0], 5);
        assert!(3 < segments.len(), "{segments:?}");
        let read: Vec<_> = segments
            .iter()
            .flat_map(|&index| read_all(path(dir.path(), index)).0)
            .collect();
        assert_eq!(read, records);
        for index in segments {
            assert!(fs::metadata(path(dir.path(), index)).unwrap().len() <= 4 * PAGE_BYTES as u64);
        }
    }

    #[test]
    fn a_torn_tail_stops_at_the_last_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), 0, SEGMENT_BYTES);
        let records: Vec<_> = (1..4).map(|i| noise(40_000, i)).collect();
        let mut ends = vec![0];
        for record in &records {
            writer.append(record).unwrap();
            ends.push(writer.len);
        }
        let file = path(dir.path(), 0);
        let bytes = fs::read(&file).unwrap();
        for cut in (1..bytes.len())
            .step_by(997)
            .chain(ends[1..].iter().map(|&end| usize::try_from(end).unwrap()))
        {
            fs::write(&file, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|&&end| end <= cut as u64).count() - 1;
            let (read, error) = read_all(file.clone());
            assert_eq!(read, records[..whole], "cut at {cut}");
            match error {
                None => assert!(ends.contains(&(cut as u64)), "cut at {cut} went unnoticed"),
                Some(SegmentError::Corrupt { offset, .. }) => assert_eq!(offset, ends[whole]),
                Some(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), 0, SEGMENT_BYTES);
        for i in 1..4 {
            writer.append(&noise(500, i)).unwrap();
        }
        let file = path(dir.path(), 0);
        let mut bytes = fs::read(&file).unwrap();
        bytes[700] ^= 4;
        fs::write(&file, bytes).unwrap();
        let (read, error) = read_all(file);
        assert_eq!(read.len(), 1);
        assert!(error.unwrap().to_string().contains("checksum"));
    }
}
