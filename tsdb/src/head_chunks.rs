//! Head chunk files: full chunks of the head leave the heap for memory-mapped files.
//!
//! ```text
//! chunks_head/000001: 0x0130BC91 │ version 1 │ 3 × 0
//!                     (u64 series id │ i64 mint │ i64 maxt │ u8 encoding │ uvarint len │ data │ u32 CRC32C)*
//! ```
//!
//! The format is Prometheus'. A file has [`FILE_BYTES`] from the start (sparse) and is cut to what it holds when the
//! next one begins; a reader takes zeros for the end. The file in use has a tail in memory that is written out in
//! batches; chunks in it are served from there. Nothing here is fsynced before a file is full: until then the WAL has
//! the same samples, and a torn tail is found by its checksum and cut at the next start.
//!
//! # Locks
//!
//! `tail` is held for copying bytes only; `writing` serializes the file writes and is taken first.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::chunk::Encoding;
use crate::map::Map;
use crate::varint::{decode_uvarint, encode_uvarint};

/// Largest head chunk file.
pub const FILE_BYTES: u64 = 128 << 20;
const MAGIC: [u8; 4] = 0x0130_BC91u32.to_be_bytes();
const FILE_HEADER_BYTES: usize = 8;
/// Series id, mint, maxt, encoding.
const CHUNK_HEADER_BYTES: usize = 25;
const CRC_BYTES: usize = 4;
/// Largest chunk that is believed.
const CHUNK_BYTES_MAX: u64 = 16 << 20;
/// The tail is written out when it is this long.
const TAIL_BYTES: usize = 256 << 10;

/// Where a chunk is: file number in the upper half, offset in the lower, as Prometheus counts. Valid until its file is
/// deleted by [`HeadChunks::truncate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRef(u64);

impl ChunkRef {
    fn new(file: u32, offset: u64) -> Self {
        ChunkRef(u64::from(file) << 32 | offset)
    }

    /// A reference that nothing is behind.
    #[cfg(test)]
    pub fn for_test(number: u64) -> Self {
        ChunkRef(number)
    }

    fn file(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("the upper half")
    }

    fn offset(self) -> u64 {
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
    /// Time of the last sample.
    pub maxt: i64,
}

/// A chunk found at start.
#[derive(Clone, Copy, Debug)]
pub struct FoundChunk {
    /// The series' id in the log.
    pub series_id: u64,
    /// Place and time range.
    pub meta: ChunkMeta,
    /// How many samples it has.
    pub samples: u16,
}

/// The head chunk files of one directory.
pub struct HeadChunks {
    dir: PathBuf,
    writing: Mutex<()>,
    tail: Mutex<Tail>,
    maps: RwLock<BTreeMap<u32, Arc<Map>>>,
}

/// The end of the file in use.
struct Tail {
    file: Option<Arc<File>>,
    number: u32,
    /// Offset in the file of the first byte of `bytes`.
    start: u64,
    /// Written to the series, not yet to the file.
    bytes: Vec<u8>,
    /// Full files that have not been fsynced yet.
    full: Vec<Arc<File>>,
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

/// What [`HeadChunks::open`] found wrong and how it dealt with it.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// One sentence per damaged file: it was cut, or set aside with the files after it.
    pub damages: Vec<String>,
}

impl HeadChunks {
    /// Opens the directory, creating it if need be, and calls `visit` with every chunk in order of writing.
    ///
    /// A torn chunk ends the reading of its file, which is cut there and kept whole beside as `NNNNNN.corrupt`; its
    /// samples are in the WAL. A damaged chunk between good ones is passed over.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn open(dir: &Path, mut visit: impl FnMut(FoundChunk)) -> io::Result<(Self, OpenReport)> {
        fs::create_dir_all(dir)?;
        let mut report = OpenReport::default();
        let mut maps = BTreeMap::new();
        let mut last = 0;
        for number in list(dir)? {
            last = number;
            let path = file_path(dir, number);
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let len = file.metadata()?.len();
            let whole = if len < FILE_HEADER_BYTES as u64 {
                None
            } else {
                read_chunks(&Map::of(&file)?, number, &mut visit)
            };
            let Some(Prefix {
                end,
                passed_over,
                is_torn,
            }) = whole
            else {
                let aside = set_aside(&path)?;
                report.damages.push(format!(
                    "{}: no head chunk file, kept as {aside}",
                    path.display()
                ));
                fs::remove_file(&path)?;
                continue;
            };
            for at in passed_over {
                report.damages.push(format!(
                    "{}: damaged chunk at byte {at}, passed over",
                    path.display()
                ));
            }
            if is_torn {
                let aside = set_aside(&path)?;
                let what =
                    format!("torn chunk at byte {end}, cut there, the whole is kept as {aside}");
                report.damages.push(format!("{}: {what}", path.display()));
            }
            if end < len {
                file.set_len(end)?;
                file.sync_all()?;
            }
            maps.insert(number, Arc::new(Map::of(&file)?));
        }
        let tail = Tail {
            file: None,
            number: last,
            start: FILE_BYTES,
            bytes: Vec::new(),
            full: Vec::new(),
        };
        let chunks = HeadChunks {
            dir: dir.to_owned(),
            writing: Mutex::new(()),
            tail: Mutex::new(tail),
            maps: RwLock::new(maps),
        };
        Ok((chunks, report))
    }

    /// Takes a full chunk and returns where it will be. It can be read at once; [`write_out`](Self::write_out) brings it
    /// to the file.
    ///
    /// # Errors
    ///
    /// When a new file is needed and cannot be created.
    pub fn append(
        &self,
        series_id: u64,
        mint: i64,
        maxt: i64,
        encoding: Encoding,
        data: &[u8],
    ) -> io::Result<ChunkRef> {
        let mut tail = self.tail.lock();
        let needed = (CHUNK_HEADER_BYTES + 10 + data.len() + CRC_BYTES) as u64;
        if FILE_BYTES < tail.start + tail.bytes.len() as u64 + needed {
            self.cut(&mut tail)?;
        }
        let from = tail.bytes.len();
        let chunk = ChunkRef::new(tail.number, tail.start + from as u64);
        let out = &mut tail.bytes;
        out.extend_from_slice(&series_id.to_be_bytes());
        out.extend_from_slice(&mint.to_be_bytes());
        out.extend_from_slice(&maxt.to_be_bytes());
        out.push(encoding.as_byte());
        encode_uvarint(out, data.len() as u64);
        out.extend_from_slice(data);
        let crc = crc32c::crc32c(&out[from..]);
        out.extend_from_slice(&crc.to_be_bytes());
        Ok(chunk)
    }

    /// Ends the file in use and begins the next; rare (once in 128 MiB).
    fn cut(&self, tail: &mut Tail) -> io::Result<()> {
        if let Some(file) = &tail.file {
            // The file keeps its length while maps of it live; it is cut at the next start.
            file.write_all_at(&tail.bytes, tail.start)?;
        }
        let number = tail.number + 1;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(file_path(&self.dir, number))?;
        file.set_len(FILE_BYTES)?;
        let mut header = [0; FILE_HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = 1;
        file.write_all_at(&header, 0)?;
        File::open(&self.dir)?.sync_all()?;
        self.maps.write().insert(number, Arc::new(Map::of(&file)?));
        tail.bytes.clear();
        let full = tail.file.replace(Arc::new(file));
        tail.full.extend(full);
        tail.number = number;
        tail.start = FILE_HEADER_BYTES as u64;
        Ok(())
    }

    /// Writes the tail to the file if it is long enough to be worth a system call, or in any case with `all`.
    ///
    /// # Errors
    ///
    /// When the disk fails; the chunks then stay readable in memory and the next call tries again.
    pub fn write_out(&self, all: bool) -> io::Result<()> {
        let due = |tail: &Tail| TAIL_BYTES <= tail.bytes.len() || (all && !tail.bytes.is_empty());
        if !due(&self.tail.lock()) {
            return Ok(());
        }
        let _one_writer = self.writing.lock();
        let (file, start, bytes, number) = {
            let tail = self.tail.lock();
            if !due(&tail) {
                return Ok(());
            }
            let Some(file) = tail.file.clone() else {
                return Ok(());
            };
            (file, tail.start, tail.bytes.clone(), tail.number)
        };
        file.write_all_at(&bytes, start)?;
        let mut tail = self.tail.lock();
        // A new file may have begun in the meantime; then everything was written there.
        if tail.number == number {
            tail.bytes.drain(..bytes.len());
            tail.start += bytes.len() as u64;
        }
        Ok(())
    }

    /// Writes out the tail and makes it survive a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.write_out(true)?;
        let _one_writer = self.writing.lock();
        let (full, current) = {
            let tail = self.tail.lock();
            (tail.full.clone(), tail.file.clone())
        };
        full.iter()
            .chain(&current)
            .try_for_each(|file| file.sync_data())?;
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
        let map = map.ok_or_else(|| error("file is gone".to_owned()))?;
        let at = usize::try_from(chunk.offset()).expect("offsets are below 128 MiB");
        let parsed = parse_chunk(map.get(at..).unwrap_or_default());
        match parsed {
            Some(parsed) => Ok(ChunkBytes::Mapped(
                map,
                at + parsed.data.start..at + parsed.data.end,
            )),
            None => Err(error(format!("bad chunk at byte {at}"))),
        }
    }

    fn read_tail(&self, chunk: ChunkRef) -> Option<ChunkBytes> {
        let tail = self.tail.lock();
        if chunk.file() != tail.number || chunk.offset() < tail.start {
            return None;
        }
        let at = usize::try_from(chunk.offset() - tail.start).ok()?;
        let bytes = tail.bytes.get(at..)?;
        let parsed = parse_chunk(bytes)?;
        Some(ChunkBytes::Copied(bytes[parsed.data].to_vec()))
    }

    /// Deletes the files before number `keep_from`.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn truncate(&self, keep_from: u32) -> io::Result<()> {
        let in_use = self.tail.lock().number;
        let old: Vec<u32> = self
            .maps
            .read()
            .range(..keep_from.min(in_use))
            .map(|(&number, _)| number)
            .collect();
        for number in old {
            fs::remove_file(file_path(&self.dir, number))?;
            self.maps.write().remove(&number);
        }
        Ok(())
    }

    /// Returns the number of the file in use.
    pub fn current_file(&self) -> u32 {
        self.tail.lock().number
    }

    /// Returns the number of the file that `chunk` is in, for [`truncate`](Self::truncate).
    pub fn file_of(chunk: ChunkRef) -> u32 {
        chunk.file()
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
struct Prefix {
    /// Where the last whole chunk ends.
    end: u64,
    /// Where damaged chunks are that good ones follow.
    passed_over: Vec<usize>,
    /// Whether what follows the end is neither a chunk nor empty.
    is_torn: bool,
}

/// Visits the whole chunks of a file. `None` when it is no head chunk file at all.
fn read_chunks(map: &[u8], number: u32, visit: &mut impl FnMut(FoundChunk)) -> Option<Prefix> {
    if !map.starts_with(&MAGIC) || map.get(4) != Some(&1) {
        return None;
    }
    let (mut at, mut passed_over) = (FILE_HEADER_BYTES, Vec::new());
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
        let known = Encoding::from_byte(parsed.encoding).is_some();
        if let (true, Ok(samples)) = (known, crate::chunk::xor::count(data)) {
            let chunk = ChunkRef::new(number, at as u64);
            let meta = ChunkMeta {
                chunk,
                mint: parsed.mint,
                maxt: parsed.maxt,
            };
            visit(FoundChunk {
                series_id: parsed.series_id,
                meta,
                samples,
            });
        }
        at += parsed.len;
    }
}

/// Returns how far it is from a damaged chunk to the next, if its length is to be believed: when a good one follows.
fn whole_chunk_after(bytes: &[u8]) -> Option<usize> {
    let len = chunk_len(bytes)?;
    parse_chunk(bytes.get(len..)?).map(|_| len)
}

/// Keeps a copy of a damaged file for a person to look at; returns its name.
fn set_aside(path: &Path) -> io::Result<String> {
    let aside = path.with_extension("corrupt");
    fs::copy(path, &aside)?;
    Ok(aside.display().to_string())
}

fn file_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:06}"))
}

fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> (HeadChunks, Vec<FoundChunk>, OpenReport) {
        let mut found = Vec::new();
        let (chunks, report) = HeadChunks::open(dir, |chunk| found.push(chunk)).unwrap();
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
        let first = chunks.append(7, 10, 20, Encoding::Xor, &data(1)).unwrap();
        assert_eq!(*chunks.read(first).unwrap(), data(1));
        chunks.write_out(true).unwrap();
        assert!(matches!(chunks.read(first), Ok(ChunkBytes::Mapped(..))));
        assert_eq!(*chunks.read(first).unwrap(), data(1));
        let second = chunks.append(8, 30, 40, Encoding::Xor, &data(2)).unwrap();
        chunks.write_out(true).unwrap();
        drop(chunks);

        let (chunks, found, report) = open(dir.path());
        assert!(report.damages.is_empty());
        let seen: Vec<_> = found
            .iter()
            .map(|f| (f.series_id, f.meta.mint, f.meta.maxt, f.samples))
            .collect();
        assert_eq!(seen, [(7, 10, 20, 1), (8, 30, 40, 1)]);
        assert_eq!(*chunks.read(second).unwrap(), data(2));
        let third = chunks.append(9, 50, 60, Encoding::Xor, &data(3)).unwrap();
        assert_eq!(third.file(), 2);
        chunks.truncate(2).unwrap();
        assert!(chunks.read(second).is_err());
        assert_eq!(*chunks.read(third).unwrap(), data(3));
    }

    #[test]
    fn torn_tail_is_cut_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (chunks, ..) = open(dir.path());
        let first = chunks.append(7, 10, 20, Encoding::Xor, &data(1)).unwrap();
        chunks.append(8, 30, 40, Encoding::Xor, &data(2)).unwrap();
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
    fn a_damaged_chunk_between_good_ones_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (chunks, ..) = open(dir.path());
        for id in 1..=3 {
            chunks.append(id, 10, 20, Encoding::Xor, &data(1)).unwrap();
        }
        chunks.write_out(true).unwrap();
        drop(chunks);
        let path = file_path(dir.path(), 1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[8 + 132 + 60] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (_, found, report) = open(dir.path());
        assert_eq!(
            found.iter().map(|f| f.series_id).collect::<Vec<_>>(),
            [1, 3]
        );
        assert_eq!(report.damages.len(), 1, "{report:?}");
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
