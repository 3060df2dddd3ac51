//! Head chunk files: full chunks of the head leave the heap for memory-mapped files.
//!
//! ```text
//! chunks_head/000001: 0x0130BC91 │ version 1 │ 3 × 0
//!                     (u64 series id │ i64 mint │ i64 maxt │ u8 encoding │ uvarint len │ data │ u32 CRC32C)*
//! ```
//!
//! The format is Prometheus': the encoding byte's high bit marks a chunk of out-of-order samples, and a reader takes
//! zeros for the end. The file in use has a tail in memory that is written out in batches; chunks in it are served from
//! there. Files are mapped when they are read, and again when they have grown since. Nothing here is fsynced before a
//! file is full: until then the WAL has the same samples, and a torn tail is found by its checksum and cut at the next
//! start.
//!
//! # Locks
//!
//! `tail` is held for copying bytes only; `writing` serializes the file writes and is taken first.

mod open;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::chunk::Encoding;
use crate::files::{Files, OpenFile};
use crate::map::Map;
use crate::varint::{decode_uvarint, encode_uvarint};

pub use open::OpenReport;

/// Name of the directory in the data directory.
pub const CHUNKS_DIR: &str = "chunks_head";
/// Largest head chunk file.
pub const FILE_BYTES: u64 = 128 << 20;
const MAGIC: [u8; 4] = 0x0130_BC91u32.to_be_bytes();
/// Bytes of a head chunk file before the first chunk.
pub const FILE_HEADER_BYTES: usize = 8;
/// Series id, mint, maxt, encoding.
const CHUNK_HEADER_BYTES: usize = 25;
const CRC_BYTES: usize = 4;
/// Largest chunk that is believed.
const CHUNK_BYTES_MAX: u64 = 16 << 20;
/// The tail is written out when it is this long.
const TAIL_BYTES: usize = 256 << 10;
/// Marks the encoding byte of a chunk whose samples came late.
const OUT_OF_ORDER: u8 = 0x80;

/// Where a chunk is: file number in the upper half, offset in the lower, as Prometheus counts. Valid until its file is
/// deleted by [`HeadChunks::truncate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRef(u64);

impl ChunkRef {
    fn new(file: u32, offset: u64) -> Self {
        ChunkRef(u64::from(file) << 32 | offset)
    }

    /// Returns the reference that a log or snapshot has as `number`; nothing need be behind it.
    pub const fn from_number(number: u64) -> Self {
        ChunkRef(number)
    }

    /// Returns the number that stands for this reference in a log or snapshot.
    pub const fn as_number(self) -> u64 {
        self.0
    }

    /// Returns the number of the file that it is in.
    pub fn file(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("the upper half")
    }

    /// Returns the offset of the chunk in its file.
    pub fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// What is known of a chunk without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Where it is.
    pub chunk: ChunkRef,
    /// Time of the first sample.
    pub mint: i64,
    /// Milliseconds from the first sample to the last; there is a list of these for every series, so they are small.
    span_ms: u32,
    /// How its bytes are to be read.
    pub encoding: Encoding,
}

impl ChunkMeta {
    /// Returns the meta of a chunk with samples from `mint` to `maxt`. A span of more than 49 days is not told from an
    /// endless one.
    pub fn new(chunk: ChunkRef, mint: i64, maxt: i64, encoding: Encoding) -> Self {
        let span_ms = u32::try_from(maxt.saturating_sub(mint)).unwrap_or(u32::MAX);
        ChunkMeta {
            chunk,
            mint,
            span_ms,
            encoding,
        }
    }

    /// Returns the milliseconds from the first sample to the last; `u32::MAX` of an endless one.
    pub fn span_ms(&self) -> u32 {
        self.span_ms
    }

    /// Returns the meta with a span as [`span_ms`](Self::span_ms) gives it.
    pub fn with_span(chunk: ChunkRef, mint: i64, span_ms: u32, encoding: Encoding) -> Self {
        ChunkMeta {
            chunk,
            mint,
            span_ms,
            encoding,
        }
    }

    /// Returns the time of the last sample.
    pub fn maxt(&self) -> i64 {
        match self.span_ms {
            u32::MAX => i64::MAX,
            span => self.mint.saturating_add(i64::from(span)),
        }
    }
}

/// A chunk found at start.
#[derive(Clone, Copy, Debug)]
pub struct FoundChunk {
    /// The series' id in the log.
    pub series_id: u64,
    /// Place, time range and encoding.
    pub meta: ChunkMeta,
    /// Whether its samples came late.
    pub is_out_of_order: bool,
    /// How many samples it has.
    pub samples: u16,
}

/// The head chunk files of one directory.
pub struct HeadChunks {
    files: Arc<dyn Files>,
    dir: PathBuf,
    writing: Mutex<()>,
    syncing: Mutex<()>,
    tail: Mutex<Tail>,
    maps: RwLock<Arc<Maps>>,
}

/// What is not in the files yet.
struct Tail {
    /// The number of the newest file; the next one follows.
    number: u32,
    /// Parts of files, oldest first: all but the last are full.
    parts: Vec<Part>,
    /// Full files that have not been fsynced yet.
    full: Vec<Arc<dyn OpenFile>>,
}

/// The end of a file, waiting to be written.
struct Part {
    number: u32,
    /// Created when it is first written to.
    file: Option<Arc<dyn OpenFile>>,
    /// Offset in the file of the first byte of `bytes`.
    start: u64,
    /// Handed out to the series, not yet in the file.
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Tail {
    /// Returns the part that `needed` more bytes go to.
    fn part_for(&mut self, needed: u64) -> &mut Part {
        let has_room = |part: &Part| part.end() + needed <= FILE_BYTES;
        if !self.parts.last().is_some_and(has_room) {
            self.number += 1;
            let mut header = vec![0; FILE_HEADER_BYTES];
            header[..4].copy_from_slice(&MAGIC);
            header[4] = 1;
            self.parts.push(Part {
                number: self.number,
                file: None,
                start: 0,
                bytes: header,
            });
        }
        self.parts
            .last_mut()
            .expect("just pushed if there was none")
    }
}

/// What a head chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkKind {
    /// How its bytes are to be read.
    pub encoding: Encoding,
    /// Whether its samples came late.
    pub is_out_of_order: bool,
}

impl ChunkKind {
    /// Returns the kind of a chunk whose samples came in order.
    pub const fn in_order(encoding: Encoding) -> Self {
        ChunkKind {
            encoding,
            is_out_of_order: false,
        }
    }

    const fn as_byte(self) -> u8 {
        self.encoding.as_byte()
            | if self.is_out_of_order {
                OUT_OF_ORDER
            } else {
                0
            }
    }
}

/// The mapped files, by number.
type Maps = BTreeMap<u32, Arc<Map>>;

/// The files as they were mapped at one time: what they have is read without a lock and without counting references, which
/// threads that read one chunk after the other would wait for.
pub struct MappedChunks<'a> {
    chunks: &'a HeadChunks,
    maps: Arc<Maps>,
}

impl MappedChunks<'_> {
    /// Returns the data of a chunk as [`HeadChunks::read`] does; it is copied only if it was not mapped at that time.
    ///
    /// # Errors
    ///
    /// As [`HeadChunks::read`].
    pub fn read(&self, chunk: ChunkRef) -> Result<Cow<'_, [u8]>, (PathBuf, String)> {
        let map = self.maps.get(&chunk.file());
        // Where the bytes were torn when the file was mapped, they do not match their checksum.
        if let Some((bytes, data)) = map.and_then(|map| data_in(map, chunk)) {
            return Ok(Cow::Borrowed(&bytes[data]));
        }
        let bytes = self.chunks.read(chunk)?;
        Ok(Cow::Owned(bytes.to_vec()))
    }
}

/// Bytes of a chunk, borrowed from a map or copied from the tail.
pub enum ChunkBytes {
    /// In a mapped file: the map and the range of the data in it.
    Mapped(Arc<Map>, std::ops::Range<usize>),
    /// Copied.
    Copied(Vec<u8>),
}

impl std::ops::Deref for ChunkBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ChunkBytes::Mapped(map, range) => &map[range.clone()],
            ChunkBytes::Copied(bytes) => bytes,
        }
    }
}

impl HeadChunks {
    /// Takes a full chunk and returns where it will be. It can be read at once; [`write_out`](Self::write_out) brings it
    /// to the file.
    pub fn append(
        &self,
        series_id: u64,
        mint: i64,
        maxt: i64,
        kind: ChunkKind,
        data: &[u8],
    ) -> ChunkRef {
        let mut tail = self.tail.lock();
        let needed = CHUNK_HEADER_BYTES + 10 + data.len() + CRC_BYTES;
        let part = tail.part_for(needed as u64);
        let chunk = ChunkRef::new(part.number, part.end());
        let from = part.bytes.len();
        let out = &mut part.bytes;
        out.extend_from_slice(&series_id.to_be_bytes());
        out.extend_from_slice(&mint.to_be_bytes());
        out.extend_from_slice(&maxt.to_be_bytes());
        out.push(kind.as_byte());
        encode_uvarint(out, data.len() as u64);
        out.extend_from_slice(data);
        let crc = crc32c::crc32c(&out[from..]);
        out.extend_from_slice(&crc.to_be_bytes());
        chunk
    }

    /// Writes what waits to the files if it is long enough to be worth a system call, or in any case with `all`.
    ///
    /// # Errors
    ///
    /// When the disk fails; the chunks then stay readable in memory and the next call tries again.
    pub fn write_out(&self, all: bool) -> io::Result<()> {
        let due = |tail: &Tail| match &tail.parts[..] {
            [] => false,
            [part] => TAIL_BYTES <= part.bytes.len() || (all && !part.bytes.is_empty()),
            _ => true,
        };
        if !due(&self.tail.lock()) {
            return Ok(());
        }
        let _one_writer = match all {
            true => self.writing.lock(),
            // Whoever is at it writes this too, or the next batch does: no batch waits for a disk.
            false => match self.writing.try_lock() {
                Some(guard) => guard,
                None => return Ok(()),
            },
        };
        loop {
            let (number, file, start, bytes) = {
                let tail = self.tail.lock();
                if !due(&tail) {
                    return Ok(());
                }
                let part = &tail.parts[0];
                (
                    part.number,
                    part.file.clone(),
                    part.start,
                    part.bytes.clone(),
                )
            };
            let file = match file {
                Some(file) => file,
                None => self.create(number)?,
            };
            file.write_all_at(&bytes, start)?;
            let mut tail = self.tail.lock();
            let is_full = 1 < tail.parts.len();
            let part = &mut tail.parts[0];
            part.bytes.drain(..bytes.len());
            part.start += bytes.len() as u64;
            part.file = Some(Arc::clone(&file));
            if is_full && part.bytes.is_empty() {
                tail.parts.remove(0);
                tail.full.push(file);
            }
        }
    }

    fn create(&self, number: u32) -> io::Result<Arc<dyn OpenFile>> {
        let path = file_path(&self.dir, number);
        // An attempt that failed may have left it behind.
        if self.files.exists(&path) {
            self.files.remove_file(&path)?;
        }
        let file = self.files.create(&path)?;
        self.files.sync_dir(&self.dir)?;
        Ok(file)
    }

    /// Writes out what waits and makes it survive a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.write_out(true)?;
        let _one_syncs = self.syncing.lock();
        let (full, current) = {
            let tail = self.tail.lock();
            let current = tail.parts.last().and_then(|part| part.file.clone());
            (tail.full.clone(), current)
        };
        full.iter()
            .chain(&current)
            .try_for_each(|file| file.sync())?;
        // Only now, so that a failure is tried again.
        self.tail.lock().full.drain(..full.len());
        Ok(())
    }

    /// Returns the data of a chunk, or says what is wrong with it.
    ///
    /// # Errors
    ///
    /// When the chunk's file is gone or its bytes do not match their checksum.
    pub fn read(&self, chunk: ChunkRef) -> Result<ChunkBytes, (PathBuf, String)> {
        if let Some(bytes) = self.read_tail(chunk) {
            return Ok(bytes);
        }
        let error = |what: String| (file_path(&self.dir, chunk.file()), what);
        let map = self.maps.read().get(&chunk.file()).cloned();
        if let Some(bytes) = map.and_then(|map| chunk_in(map, chunk)) {
            return Ok(bytes);
        }
        // The file has grown since it was mapped.
        let path = file_path(&self.dir, chunk.file());
        let map = self.files.map(&path).map(Arc::new);
        let map = map.map_err(|source| error(source.to_string()))?;
        Arc::make_mut(&mut self.maps.write()).insert(chunk.file(), Arc::clone(&map));
        let bad = || error(format!("bad chunk at byte {}", chunk.offset()));
        chunk_in(map, chunk).ok_or_else(bad)
    }

    /// Returns the files as they are mapped now.
    pub fn mapped(&self) -> MappedChunks<'_> {
        MappedChunks {
            chunks: self,
            maps: Arc::clone(&self.maps.read()),
        }
    }

    fn read_tail(&self, chunk: ChunkRef) -> Option<ChunkBytes> {
        let tail = self.tail.lock();
        let part = tail.parts.iter().find(|part| part.number == chunk.file())?;
        let at = usize::try_from(chunk.offset().checked_sub(part.start)?).ok()?;
        let bytes = part.bytes.get(at..)?;
        let parsed = parse_chunk(bytes)?;
        Some(ChunkBytes::Copied(bytes[parsed.data].to_vec()))
    }

    /// Deletes the files before number `keep_from`; chunks in them that are being read stay readable.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn truncate(&self, keep_from: u32) -> io::Result<()> {
        let keep_from = keep_from.min(self.tail.lock().number);
        for (number, _) in list(&*self.files, &self.dir)? {
            if number < keep_from {
                self.files.remove_file(&file_path(&self.dir, number))?;
                Arc::make_mut(&mut self.maps.write()).remove(&number);
            }
        }
        Ok(())
    }

    /// Returns the numbers of the files in `dir` with what tells them from others of that number: the header of the first
    /// chunk.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn fingerprints(files: &dyn Files, dir: &Path) -> io::Result<Vec<(u32, Vec<u8>)>> {
        const FINGERPRINT_BYTES: usize = FILE_HEADER_BYTES + CHUNK_HEADER_BYTES;
        if !files.exists(dir) {
            return Ok(Vec::new());
        }
        let mut fingerprints = Vec::new();
        for (number, _) in list(files, dir)? {
            let map = files.map(&file_path(dir, number))?;
            let begin = &map[..map.len().min(FINGERPRINT_BYTES)];
            fingerprints.push((number, begin.to_vec()));
        }
        Ok(fingerprints)
    }

    /// Returns the path of the file with this number in the directory `dir`.
    pub fn path(dir: &Path, number: u32) -> PathBuf {
        file_path(dir, number)
    }

    /// Returns the number of the file in use.
    pub fn current_file(&self) -> u32 {
        self.tail.lock().number
    }

    /// Returns where the next chunk will be, at the earliest: all chunks so far are before.
    pub fn end(&self) -> ChunkRef {
        let tail = self.tail.lock();
        match tail.parts.last() {
            Some(part) => ChunkRef::new(part.number, part.end()),
            None => ChunkRef::new(tail.number + 1, 0),
        }
    }
}

struct Parsed {
    series_id: u64,
    mint: i64,
    maxt: i64,
    encoding: u8,
    /// Range of the data.
    data: std::ops::Range<usize>,
    /// Bytes of the whole chunk.
    len: usize,
}

/// Returns where the data of the chunk at the start of `bytes` is, as its header says.
fn data_range(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let rest = bytes.get(CHUNK_HEADER_BYTES..)?;
    let length_bytes = &rest[..rest.len().min(10)];
    let (data_len, after) = decode_uvarint(length_bytes)?;
    if CHUNK_BYTES_MAX < data_len {
        return None;
    }
    let start = CHUNK_HEADER_BYTES + length_bytes.len() - after.len();
    Some(start..start + usize::try_from(data_len).ok()?)
}

/// Returns a file's bytes from a chunk on and where in them its data is, if there is a whole one.
fn data_in(map: &Map, chunk: ChunkRef) -> Option<(&[u8], std::ops::Range<usize>)> {
    let bytes = map.get(usize::try_from(chunk.offset()).ok()?..)?;
    Some((bytes, parse_chunk(bytes)?.data))
}

/// Returns the data of a chunk in its file, if there is a whole one.
fn chunk_in(map: Arc<Map>, chunk: ChunkRef) -> Option<ChunkBytes> {
    let (bytes, data) = data_in(&map, chunk)?;
    let at = map.len() - bytes.len();
    Some(ChunkBytes::Mapped(map, at + data.start..at + data.end))
}

/// Returns how long the chunk at the start of `bytes` is, as its header says.
fn chunk_len(bytes: &[u8]) -> Option<usize> {
    data_range(bytes).map(|data| data.end + CRC_BYTES)
}

/// Reads the chunk at the start of `bytes` and verifies it; `None` when it is torn or damaged.
fn parse_chunk(bytes: &[u8]) -> Option<Parsed> {
    let header = bytes.first_chunk::<CHUNK_HEADER_BYTES>()?;
    let word = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let data = data_range(bytes)?;
    let crc = bytes.get(data.end..data.end + CRC_BYTES)?;
    if crc32c::crc32c(&bytes[..data.end]).to_be_bytes() != crc {
        return None;
    }
    Some(Parsed {
        series_id: word(0),
        mint: word(8).cast_signed(),
        maxt: word(16).cast_signed(),
        encoding: header[24],
        len: data.end + CRC_BYTES,
        data,
    })
}

/// What [`read_chunks`] found.
#[derive(Debug)]
pub struct Prefix {
    /// Where the last whole chunk ends.
    pub end: u64,
    /// Where damaged chunks are that good ones follow.
    pub passed_over: Vec<usize>,
    /// Whether what follows the end is neither a chunk nor empty.
    pub is_torn: bool,
}

/// Visits the whole chunks of file `number`, whose bytes are `map`, with their data, from byte `start` on, where one begins
/// ([`FILE_HEADER_BYTES`] for all); chunks of an encoding that is not known are left out. `None` when it is no head chunk
/// file at all.
pub fn read_chunks(
    map: &[u8],
    number: u32,
    start: usize,
    mut visit: impl FnMut(FoundChunk, &[u8]),
) -> Option<Prefix> {
    if !map.starts_with(&MAGIC) || map.get(4) != Some(&1) {
        return None;
    }
    let (mut at, mut passed_over) = (start.min(map.len()), Vec::new());
    loop {
        let rest = &map[at.min(map.len())..];
        // Zeros up to the checksum are the unused end of a file.
        if rest.iter().take(CHUNK_HEADER_BYTES).all(|&byte| byte == 0) {
            return Some(Prefix {
                end: at as u64,
                passed_over,
                is_torn: false,
            });
        }
        let Some(parsed) = parse_chunk(rest) else {
            let Some(step) = whole_chunk_after(rest) else {
                return Some(Prefix {
                    end: at as u64,
                    passed_over,
                    is_torn: true,
                });
            };
            passed_over.push(at);
            at += step;
            continue;
        };
        let data = &rest[parsed.data.clone()];
        let encoding = Encoding::from_byte(parsed.encoding & !OUT_OF_ORDER);
        if let (Some(encoding), Some(count)) = (encoding, data.first_chunk()) {
            let chunk = ChunkRef::new(number, at as u64);
            let found = FoundChunk {
                series_id: parsed.series_id,
                meta: ChunkMeta::new(chunk, parsed.mint, parsed.maxt, encoding),
                is_out_of_order: parsed.encoding & OUT_OF_ORDER != 0,
                samples: u16::from_be_bytes(*count),
            };
            visit(found, data);
        }
        at += parsed.len;
    }
}

/// Returns how far it is from a damaged chunk to the next, if its length is to be believed: when a good one follows.
fn whole_chunk_after(bytes: &[u8]) -> Option<usize> {
    let len = chunk_len(bytes)?;
    parse_chunk(bytes.get(len..)?).map(|_| len)
}

/// Returns the path of file `number` in `dir`.
pub fn file_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:06}"))
}

/// Returns numbers and lengths of the files in `dir`, ascending.
///
/// # Errors
///
/// When the directory cannot be listed.
pub fn list(files: &dyn Files, dir: &Path) -> io::Result<Vec<(u32, u64)>> {
    let entries = files.list(dir)?.into_iter().filter(|entry| !entry.is_dir);
    let mut numbers: Vec<_> = entries
        .filter_map(|entry| Some((entry.name.parse().ok()?, entry.len)))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use std::fs::{self, OpenOptions};

    const XOR: ChunkKind = ChunkKind::in_order(Encoding::Xor);

    fn open(dir: &Path) -> (HeadChunks, Vec<FoundChunk>, OpenReport) {
        let mut found = Vec::new();
        let (chunks, report) = HeadChunks::open(Arc::new(Disk), dir, ChunkRef(0), None, |chunk| {
            found.push(chunk)
        })
        .unwrap();
        (chunks, found, report)
    }

    fn data(seed: u8) -> Vec<u8> {
        [&[0, 1][..], &[seed; 100]].concat()
    }

    #[test]
    fn chunks_read_back_from_tail_file_and_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (chunks, found, _) = open(dir.path());
        assert!(found.is_empty());
        let first = chunks.append(7, 10, 20, XOR, &data(1));
        assert_eq!(*chunks.read(first).unwrap(), data(1));
        chunks.write_out(true).unwrap();
        assert!(matches!(chunks.read(first), Ok(ChunkBytes::Mapped(..))));
        assert_eq!(*chunks.read(first).unwrap(), data(1));
        let second = chunks.append(8, 30, 40, XOR, &data(2));
        chunks.write_out(true).unwrap();
        drop(chunks);

        let (chunks, found, report) = open(dir.path());
        assert!(report.damages.is_empty());
        let seen: Vec<_> = found
            .iter()
            .map(|f| (f.series_id, f.meta.mint, f.meta.maxt(), f.samples))
            .collect();
        assert_eq!(seen, [(7, 10, 20, 1), (8, 30, 40, 1)]);
        assert_eq!(*chunks.read(second).unwrap(), data(2));
        let third = chunks.append(9, 50, 60, XOR, &data(3));
        assert_eq!(third.file(), 2);
        chunks.truncate(2).unwrap();
        assert!(chunks.read(second).is_err());
        assert_eq!(*chunks.read(third).unwrap(), data(3));
    }

    #[test]
    fn what_is_mapped_has_all_chunks_and_those_that_are_deleted_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let (chunks, ..) = open(dir.path());
        let first = chunks.append(7, 10, 20, XOR, &data(1));
        chunks.write_out(true).unwrap();
        chunks.read(first).unwrap();
        let mapped = chunks.mapped();
        let second = chunks.append(8, 30, 40, XOR, &data(2));
        assert!(matches!(mapped.read(first), Ok(Cow::Borrowed(bytes)) if *bytes == data(1)));
        // In the tail, and then in the part of the file that was not there when it was mapped.
        assert_eq!(*mapped.read(second).unwrap(), data(2));
        chunks.write_out(true).unwrap();
        assert_eq!(*mapped.read(second).unwrap(), data(2));
        assert!(matches!(chunks.mapped().read(second), Ok(Cow::Borrowed(_))));
        drop(mapped);
        drop(chunks);

        let (chunks, ..) = open(dir.path());
        let third = chunks.append(9, 50, 60, XOR, &data(3));
        let mapped = chunks.mapped();
        chunks.truncate(third.file()).unwrap();
        assert!(chunks.read(second).is_err());
        assert_eq!(*mapped.read(second).unwrap(), data(2));
        assert!(chunks.mapped().read(second).is_err());
        let nowhere = ChunkRef::new(77, 8);
        assert!(mapped.read(nowhere).is_err());
    }

    #[test]
    fn torn_tail_is_cut_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (chunks, ..) = open(dir.path());
        let first = chunks.append(7, 10, 20, XOR, &data(1));
        chunks.append(8, 30, 40, XOR, &data(2));
        chunks.write_out(true).unwrap();
        drop(chunks);
        let path = file_path(dir.path(), 1);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(8 + 130 + 60).unwrap();

        let (chunks, found, report) = open(dir.path());
        assert_eq!(found.len(), 1);
        assert_eq!(report.damages.len(), 1, "{report:?}");
        assert_eq!(*chunks.read(first).unwrap(), data(1));
        drop(chunks);
        assert!(
            open(dir.path()).2.damages.is_empty(),
            "cut once, whole afterwards"
        );
    }

    #[test]
    fn what_comes_after_a_damaged_chunk_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (chunks, ..) = open(dir.path());
        for id in 1..=3 {
            chunks.append(id, 10, 20, XOR, &data(1));
        }
        chunks.write_out(true).unwrap();
        drop(chunks);
        let path = file_path(dir.path(), 1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[8 + 132 + 60] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (_, found, report) = open(dir.path());
        assert_eq!(found.iter().map(|f| f.series_id).collect::<Vec<_>>(), [1]);
        assert_eq!(report.damages.len(), 1, "{report:?}");
        assert!(dir.path().join("000001.corrupt").exists());
        assert!(open(dir.path()).2.damages.is_empty(), "reported once");
    }

    #[test]
    fn what_is_no_chunk_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file_path(dir.path(), 1), b"something else").unwrap();
        fs::write(file_path(dir.path(), 2), b"").unwrap();
        let (_, found, report) = open(dir.path());
        assert!(found.is_empty());
        assert_eq!(report.damages.len(), 2);
    }
}
