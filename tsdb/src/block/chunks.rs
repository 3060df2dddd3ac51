//! The chunk files of a block.
//!
//! ```text
//! chunks/000001: 0x85BD40DD │ version 1 │ 3 × 0 │ chunk*
//! chunk:         uvarint data length │ u8 encoding │ data │ u32 CRC32C of encoding and data
//! ```
//!
//! All numbers are big-endian. The chunks of one series are neighbours, in order of time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::storage::ReadError;

use super::{Damage, OpenBlockError};
use crate::chunk::Encoding;
use crate::files::Files;
use crate::files::file_writer::FileWriter;
use crate::map::Map;
use crate::varint::{decode_uvarint, encode_uvarint};

/// Name of the directory in a block's directory.
pub const CHUNKS_DIR: &str = "chunks";
/// How long a file gets at most, unless one chunk is longer: 512 MiB.
pub const SEGMENT_BYTES: u64 = 512 << 20;
const MAGIC: [u8; 4] = 0x85BD_40DDu32.to_be_bytes();
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
const CRC_BYTES: usize = 4;

/// Where a chunk is in its block: the file, counted from 0, in the upper half, the offset in the lower. Valid as long as
/// the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// Returns which file it is in, counted from 0.
    pub fn segment(self) -> usize {
        usize::try_from(self.0 >> 32).expect("32 bits are left")
    }

    /// Returns where it begins in its file.
    pub fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// Writes the chunk files of a new block.
#[derive(Debug)]
pub struct ChunkWriter<'f> {
    files: &'f dyn Files,
    dir: PathBuf,
    segment_bytes: u64,
    segment: Option<FileWriter>,
    segments: u32,
    scratch: Vec<u8>,
}

impl<'f> ChunkWriter<'f> {
    /// Returns a writer into the directory `dir`, which must exist and be empty.
    ///
    /// * `segment_bytes`: how long a file may get; below 4 GiB, since offsets have 32 bits.
    pub fn new(files: &'f dyn Files, dir: &Path, segment_bytes: u64) -> Self {
        assert!(segment_bytes < 1 << 32, "offsets have 32 bits");
        ChunkWriter {
            files,
            dir: dir.to_owned(),
            segment_bytes,
            segment: None,
            segments: 0,
            scratch: Vec::new(),
        }
    }

    /// Appends a chunk and returns where it is; references ascend.
    ///
    /// # Errors
    ///
    /// When the file system fails; the block is then of no use.
    pub fn write(&mut self, encoding: Encoding, data: &[u8]) -> io::Result<ChunkRef> {
        self.scratch.clear();
        encode_uvarint(&mut self.scratch, data.len() as u64);
        let checked_from = self.scratch.len();
        self.scratch.push(encoding.as_byte());
        self.scratch.extend_from_slice(data);
        let crc = crc32c::crc32c(&self.scratch[checked_from..]);
        self.scratch.extend_from_slice(&crc.to_be_bytes());
        let bytes = self.scratch.len() as u64;
        let fits = |s: &FileWriter| s.len() + bytes <= self.segment_bytes;
        if !self.segment.as_ref().is_some_and(fits) {
            self.next_segment()?;
        }
        let segment = self.segment.as_mut().expect("one has just begun");
        let at = ChunkRef(u64::from(self.segments - 1) << 32 | segment.len());
        segment.write(&self.scratch)?;
        Ok(at)
    }

    fn next_segment(&mut self) -> io::Result<()> {
        if let Some(full) = self.segment.take() {
            full.finish()?;
        }
        self.segments += 1;
        let path = self.dir.join(format!("{:06}", self.segments));
        let mut segment = FileWriter::create(self.files, &path)?;
        segment.write(&MAGIC)?;
        segment.write(&[VERSION, 0, 0, 0])?;
        self.segment = Some(segment);
        Ok(())
    }

    /// Makes all chunks durable, and the names of their files.
    ///
    /// # Errors
    ///
    /// When the file system fails; the block is then of no use.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(last) = self.segment.take() {
            last.finish()?;
        }
        self.files.sync_dir(&self.dir)
    }
}

/// A chunk in a mapped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk<'a> {
    /// How to decode it.
    pub encoding: Encoding,
    /// The chunk, without length and checksum.
    pub data: &'a [u8],
}

/// The mapped chunk files of a block.
pub struct ChunkReader {
    dir: PathBuf,
    /// By number from 0; a file that is missing leaves a hole, so that the others keep their numbers.
    segments: BTreeMap<usize, (PathBuf, Map)>,
}

impl ChunkReader {
    /// Maps all files of the directory `dir`. Files whose names are not numbers are passed over.
    ///
    /// # Errors
    ///
    /// When the file system fails or a file is no chunk file.
    pub fn open(files: &Arc<dyn Files>, dir: &Path) -> Result<Self, OpenBlockError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenBlockError::Io { path, source }
        };
        let mut segments = BTreeMap::new();
        for entry in files.list(dir).map_err(io_error(dir))? {
            let is_number = !entry.is_dir && entry.name.bytes().all(|b| b.is_ascii_digit());
            let number = entry.name.parse().ok().filter(|_| is_number);
            let Some(segment) = number.and_then(|number: usize| number.checked_sub(1)) else {
                continue;
            };
            let path = dir.join(entry.name);
            let map = files.map(&path).map_err(io_error(&path))?;
            match check_header(&map) {
                Ok(()) => segments.insert(segment, (path, map)),
                Err(damage) => return Err(damage.at_open(&path)),
            };
        }
        Ok(ChunkReader {
            dir: dir.to_owned(),
            segments,
        })
    }

    /// Returns the chunk at a reference. Its checksum has been verified.
    ///
    /// # Errors
    ///
    /// When there is no chunk there, or a damaged one.
    pub fn read(&self, at: ChunkRef) -> Result<StoredChunk<'_>, ReadError> {
        let Some((path, map)) = self.segments.get(&at.segment()) else {
            let path = self.path(at.segment());
            let what = "the chunk file is missing".to_owned();
            return Err(ReadError::Corrupt { path, what });
        };
        read_chunk(map, at.offset()).map_err(|damage| damage.at_read(path))
    }

    /// Returns the error that says that what is in a chunk is wrong.
    pub(crate) fn corrupt(&self, at: ChunkRef, what: &str) -> ReadError {
        ReadError::Corrupt {
            path: self.path(at.segment()),
            what: format!("{what} (chunk at byte {})", at.offset()),
        }
    }

    fn path(&self, segment: usize) -> PathBuf {
        self.dir.join(format!("{:06}", segment + 1))
    }

    /// Returns the mapped files with their paths.
    pub fn segments(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.segments
            .values()
            .map(|(path, map)| (path.as_path(), &map[..]))
    }
}

fn check_header(bytes: &[u8]) -> Result<(), Damage> {
    if bytes.len() < HEADER_BYTES || bytes[..4] != MAGIC {
        return Err(Damage::new(0, "no chunk file"));
    }
    if bytes[4] != VERSION {
        return Err(Damage::new(4, "unknown version of the chunk file"));
    }
    Ok(())
}

fn read_chunk(bytes: &[u8], offset: u64) -> Result<StoredChunk<'_>, Damage> {
    let corrupt = |what| Damage { offset, what };
    let chunk = usize::try_from(offset)
        .ok()
        .filter(|&at| HEADER_BYTES <= at)
        .and_then(|at| bytes.get(at..))
        .ok_or(corrupt("chunk outside of its file"))?;
    let (len, rest) = decode_uvarint(chunk).ok_or(corrupt("chunk without a length"))?;
    let end = usize::try_from(len)
        .ok()
        .and_then(|len| len.checked_add(1))
        .filter(|&end| end <= rest.len().saturating_sub(CRC_BYTES))
        .ok_or(corrupt("chunk goes on past the end of its file"))?;
    let (checked, rest) = rest.split_at(end);
    if rest[..CRC_BYTES] != crc32c::crc32c(checked).to_be_bytes() {
        return Err(corrupt("chunk with a wrong checksum"));
    }
    let encoding = Encoding::from_byte(checked[0]).ok_or(corrupt("chunk of unknown encoding"))?;
    Ok(StoredChunk {
        encoding,
        data: &checked[1..],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{Unsynced, overwrite};
    use proptest::prelude::*;

    fn write(dir: &Path, chunks: &[Vec<u8>], segment_bytes: u64) -> Vec<ChunkRef> {
        let mut writer = ChunkWriter::new(&Unsynced, dir, segment_bytes);
        let refs = chunks
            .iter()
            .map(|data| writer.write(Encoding::Xor, data).unwrap())
            .collect();
        writer.finish().unwrap();
        refs
    }

    fn open(dir: &Path) -> Result<ChunkReader, OpenBlockError> {
        let files: Arc<dyn Files> = Arc::new(Unsynced);
        ChunkReader::open(&files, dir)
    }

    #[test]
    fn layout_is_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        let refs = write(dir.path(), &[vec![7, 8], vec![9]], SEGMENT_BYTES);
        assert_eq!(refs, [ChunkRef(8), ChunkRef(8 + 8)]);
        let bytes = std::fs::read(dir.path().join("000001")).unwrap();
        assert_eq!(
            bytes[..12],
            [0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0, 2, 1, 7, 8]
        );
        assert_eq!(bytes[12..16], crc32c::crc32c(&[1, 7, 8]).to_be_bytes());
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = [vec![1, 2, 3], vec![], vec![4; 200]];
        let refs = write(dir.path(), &chunks, SEGMENT_BYTES);
        let path = dir.path().join("000001");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            overwrite(&path, &bytes);
            let bad = |reader: ChunkReader| refs.iter().any(|&at| reader.read(at).is_err());
            assert!(
                (5..8).contains(&at) || open(dir.path()).map_or(true, bad),
                "{at}"
            );
        }
    }

    #[test]
    fn references_to_nowhere_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[vec![1, 2, 3]], SEGMENT_BYTES);
        let reader = open(dir.path()).unwrap();
        for at in [0, 7, 9, 16, 17, 1 << 32, u64::MAX, u64::from(u32::MAX)] {
            assert!(reader.read(ChunkRef(at)).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn reads_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40), segment_bytes in 20u64..2000) {
            let dir = tempfile::tempdir().unwrap();
            let refs = write(dir.path(), &chunks, segment_bytes);
            prop_assert!(refs.is_sorted());
            let reader = open(dir.path()).unwrap();
            for (at, data) in refs.into_iter().zip(&chunks) {
                prop_assert_eq!(reader.read(at).unwrap(), StoredChunk { encoding: Encoding::Xor, data });
            }
        }
    }
}
