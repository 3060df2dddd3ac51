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

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 32 * 1024;
/// Bytes in front of each fragment.
const HEADER_BYTES: usize = 7;
/// Largest segment unless configured otherwise.
pub const SEGMENT_BYTES: u64 = 128 << 20;
/// Largest record that is believed when read: four segments' worth, decompressed.
const RECORD_BYTES_MAX: usize = 512 << 20;

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
pub fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut indices = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        indices.extend(
            name.to_str()
                .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|n| n.parse::<u32>().ok()),
        );
    }
    indices.sort_unstable();
    Ok(indices)
}

/// Appends records to the segments of one directory.
///
/// A record is with the operating system when [`append`](SegmentWriter::append) returns, which a kill of the process
/// survives; when it is fsynced is up to the caller, see [`current`](SegmentWriter::current).
#[derive(Debug)]
pub struct SegmentWriter {
    dir: PathBuf,
    file: File,
    index: u32,
    /// Bytes in the current segment.
    len: u64,
    segment_bytes: u64,
    compressor: Compressor,
    /// The fragments of the record being written.
    out: Vec<u8>,
    /// Full segments that have not been fsynced yet.
    full: Vec<File>,
}

struct Compressor {
    encoder: snap::raw::Encoder,
    compressed: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Compressor {
            encoder: snap::raw::Encoder::new(),
            compressed: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("snappy")
    }
}

impl SegmentWriter {
    /// Starts a new segment `index` in `dir`.
    ///
    /// # Errors
    ///
    /// When the file cannot be created; it must not exist yet.
    pub fn create(dir: &Path, index: u32, segment_bytes: u64) -> io::Result<Self> {
        let file = create_segment(dir, index)?;
        Ok(SegmentWriter {
            dir: dir.to_owned(),
            file,
            index,
            len: 0,
            segment_bytes: segment_bytes.next_multiple_of(PAGE_BYTES as u64),
            compressor: Compressor::default(),
            out: Vec::new(),
            full: Vec::new(),
        })
    }

    /// Returns the index of the segment that the next record goes to, unless it is full.
    pub fn index(&self) -> u32 {
        self.index
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
        let mut compressor = std::mem::take(&mut self.compressor);
        let result = match compressor.compress(record) {
            Some(compressed) => self.append_fragments(compressed, SNAPPY),
            None => self.append_fragments(record, 0),
        };
        self.compressor = compressor;
        result
    }

    /// Returns the current segment's file; syncing it and what [`take_full`](Self::take_full) returned makes everything
    /// appended so far survive a power cut.
    ///
    /// # Errors
    ///
    /// When the system is out of file handles.
    pub fn current(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Returns full segments that were not returned before and are to be synced by the caller.
    pub fn take_full(&mut self) -> Vec<File> {
        std::mem::take(&mut self.full)
    }

    /// Ends the current segment and starts the next.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn next_segment(&mut self) -> io::Result<()> {
        let next = create_segment(&self.dir, self.index + 1)?;
        self.full.push(std::mem::replace(&mut self.file, next));
        self.index += 1;
        self.len = 0;
        Ok(())
    }

    fn append_fragments(&mut self, mut data: &[u8], flags: u8) -> io::Result<()> {
        if self.segment_bytes < self.len + bytes_needed(data.len()) && 0 < self.len {
            self.next_segment()?;
        }
        self.out.clear();
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
        if let Err(error) = self.file.write_all(&self.out) {
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

impl Compressor {
    fn compress(&mut self, record: &[u8]) -> Option<&[u8]> {
        self.compressed
            .resize(snap::raw::max_compress_len(record.len()), 0);
        let len = self.encoder.compress(record, &mut self.compressed).ok()?;
        (len < record.len()).then(|| &self.compressed[..len])
    }
}

fn create_segment(dir: &Path, index: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path(dir, index))?;
    File::open(dir)?.sync_all()?;
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

/// Reads the records of one segment.
pub struct SegmentReader {
    path: PathBuf,
    file: io::BufReader<File>,
    /// Bytes read so far.
    offset: u64,
    /// Bytes up to the end of the last whole record.
    whole: u64,
    raw: Vec<u8>,
    record: Vec<u8>,
}

impl SegmentReader {
    /// Opens the segment at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(path: PathBuf) -> Result<Self, SegmentError> {
        match File::open(&path) {
            Ok(file) => Ok(SegmentReader {
                path,
                file: io::BufReader::with_capacity(8 * PAGE_BYTES, file),
                offset: 0,
                whole: 0,
                raw: Vec::new(),
                record: Vec::new(),
            }),
            Err(source) => Err(SegmentError::Io { path, source }),
        }
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
        self.raw.clear();
        let mut fragments = 0;
        let flags = loop {
            let Some((kind, flags)) = self.read_fragment()? else {
                if fragments == 0 {
                    return Ok(None);
                }
                return Err(self.corrupt(TORN));
            };
            if matches!(kind, FULL | FIRST) != (fragments == 0) {
                return Err(self.corrupt("fragments out of order"));
            }
            fragments += 1;
            if RECORD_BYTES_MAX < self.raw.len() {
                return Err(self.corrupt("record larger than 512 MiB"));
            }
            if matches!(kind, FULL | LAST) {
                break flags;
            }
        };
        self.decompress(flags)?;
        self.whole = self.offset;
        Ok(Some(if flags == 0 { &self.raw } else { &self.record }))
    }

    /// Reads one fragment's data to the end of `raw`. `None` at the end of the file.
    fn read_fragment(&mut self) -> Result<Option<(u8, u8)>, SegmentError> {
        let before = self.raw.len();
        loop {
            let left = page_left(self.offset);
            if left < HEADER_BYTES {
                self.skip(left)?;
                continue;
            }
            let mut header = [0; HEADER_BYTES];
            let got = self.read_up_to(&mut header)?;
            if got == 0 {
                return Ok(None);
            }
            let kind = header[0] & TYPE_MASK;
            if kind == 0 {
                if header[..got].iter().any(|&byte| byte != 0) {
                    return Err(self.corrupt("unexpected bytes in the empty rest of a page"));
                }
                // The rest of the page is empty; a file that ends within it ends here.
                if got < HEADER_BYTES {
                    return Ok(None);
                }
                self.skip(left - HEADER_BYTES)?;
                continue;
            }
            if got < HEADER_BYTES {
                return Err(self.corrupt(TORN));
            }
            let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
            if LAST < kind || left - HEADER_BYTES < len {
                return Err(self.corrupt("impossible fragment"));
            }
            self.raw.resize(before + len, 0);
            let mut raw = std::mem::take(&mut self.raw);
            let got = self.read_up_to(&mut raw[before..]);
            self.raw = raw;
            if got? < len {
                return Err(self.corrupt(TORN));
            }
            let expected = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
            if crc32c::crc32c(&self.raw[before..]) != expected {
                return Err(self.corrupt("checksum mismatch"));
            }
            return Ok(Some((kind, header[0] & (SNAPPY | ZSTD))));
        }
    }

    fn decompress(&mut self, flags: u8) -> Result<(), SegmentError> {
        match flags {
            0 => Ok(()),
            SNAPPY => {
                let len = snap::raw::decompress_len(&self.raw).unwrap_or(usize::MAX);
                if RECORD_BYTES_MAX < len {
                    return Err(self.corrupt("record larger than 512 MiB"));
                }
                self.record.resize(len, 0);
                let done = snap::raw::Decoder::new().decompress(&self.raw, &mut self.record);
                done.map(|_| ())
                    .map_err(|_| self.corrupt("record does not decompress"))
            }
            ZSTD => {
                self.record.clear();
                let limit = RECORD_BYTES_MAX as u64 + 1;
                let done = zstd::stream::read::Decoder::with_buffer(&self.raw[..])
                    .and_then(|decoder| decoder.take(limit).read_to_end(&mut self.record));
                match done {
                    Ok(len) if len <= RECORD_BYTES_MAX => Ok(()),
                    Ok(_) => Err(self.corrupt("record larger than 512 MiB")),
                    Err(_) => Err(self.corrupt("record does not decompress")),
                }
            }
            _ => Err(self.corrupt("unknown compression")),
        }
    }

    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, SegmentError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.file.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(SegmentError::Io {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
        self.offset += got as u64;
        Ok(got)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), SegmentError> {
        let mut rest = [0; PAGE_BYTES];
        let got = self.read_up_to(&mut rest[..bytes])?;
        // A short file ends here; pretend to be past the page so that the next read finds the end.
        self.offset += (bytes - got) as u64;
        if rest[..got].iter().any(|&byte| byte != 0) {
            return Err(self.corrupt("unexpected bytes in the empty rest of a page"));
        }
        Ok(())
    }

    fn corrupt(&self, what: &'static str) -> SegmentError {
        SegmentError::Corrupt {
            path: self.path.clone(),
            offset: self.whole,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(path: PathBuf) -> (Vec<Vec<u8>>, Option<SegmentError>) {
        let mut reader = SegmentReader::open(path).unwrap();
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
            let mut writer = SegmentWriter::create(dir.path(), 0, SEGMENT_BYTES).unwrap();
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
    fn full_segments_are_followed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SegmentWriter::create(dir.path(), 5, 4 * PAGE_BYTES as u64).unwrap();
        let records: Vec<_> = (1..20).map(|i| noise(20_000, i)).collect();
        for record in &records {
            writer.append(record).unwrap();
        }
        let segments = list(dir.path()).unwrap();
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
        let mut writer = SegmentWriter::create(dir.path(), 0, SEGMENT_BYTES).unwrap();
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
        let mut writer = SegmentWriter::create(dir.path(), 0, SEGMENT_BYTES).unwrap();
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
