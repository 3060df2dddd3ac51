//! Writing an index: symbols, then series, both in order, then what follows from them.
//!
//! Memory is held for the symbols (9 bytes each) and for one batch of postings, not for the series: these are read
//! again from the file, once for each batch of label names, or of values of a name that most series have.

use std::io;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use super::symbols::SymbolNumbers;
use super::{HEADER_BYTES, MAGIC, SERIES_ALIGN, SeriesRef};
use crate::block::chunks::ChunkRef;
use crate::files::Files;
use crate::files::file_writer::FileWriter;
use crate::map::Map;
use crate::varint::{decode_uvarint, encode_uvarint, encode_varint};

/// The version that is written.
const VERSION: u8 = 2;
/// Postings that are gathered at a time: 8 bytes each.
const BATCH_POSTINGS: u64 = 4 << 20;
/// Into so many groups (as a power of two) the values of a label are counted.
const COUNTED_BITS: u32 = 16;
/// Postings are written in pieces of so many.
const PIECE_POSTINGS: usize = 16 << 10;

/// Where a chunk is and what time it covers, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the first sample, milliseconds since the epoch.
    pub mint: i64,
    /// Time of the last sample.
    pub maxt: i64,
    /// Where it is.
    pub chunk: ChunkRef,
}

/// Why an index could not be written; the block is then of no use.
#[derive(Debug, thiserror::Error)]
pub enum WriteIndexError {
    /// The file system failed.
    #[error("write {}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The source did not keep the order that the format needs.
    #[error("{what} out of order: {found}")]
    Order {
        /// Symbol, series, label or chunk.
        what: &'static str,
        /// Which one.
        found: String,
    },
    /// A label of a series is not among the symbols.
    #[error("label string that is no symbol: {0}")]
    UnknownSymbol(String),
    /// The format has no room for more.
    #[error("index too large: {0}")]
    TooLarge(&'static str),
}

/// First stage: takes the symbols.
pub struct SymbolWriter<'f> {
    files: &'f dyn Files,
    path: PathBuf,
    out: FileWriter,
    offsets: Vec<u32>,
    last: Vec<u8>,
    /// Checksum of the entries so far.
    crc: u32,
    scratch: Vec<u8>,
    batch_postings: u64,
}

impl<'f> SymbolWriter<'f> {
    /// Creates the index file `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// [`WriteIndexError::Io`].
    pub fn create(files: &'f dyn Files, path: &Path) -> Result<Self, WriteIndexError> {
        let io_error = at(path);
        let mut out = FileWriter::create(files, path).map_err(&io_error)?;
        out.write(&MAGIC).map_err(&io_error)?;
        out.write(&[VERSION]).map_err(&io_error)?;
        // Length and count are known at the end.
        out.write(&[0; 8]).map_err(&io_error)?;
        Ok(SymbolWriter {
            files,
            path: path.to_owned(),
            out,
            offsets: Vec::new(),
            last: Vec::new(),
            crc: 0,
            scratch: Vec::new(),
            batch_postings: BATCH_POSTINGS,
        })
    }

    /// So that tests see more than one batch.
    #[cfg(test)]
    pub(super) fn with_batches_of(mut self, postings: u64) -> Self {
        self.batch_postings = postings;
        self
    }

    /// Adds a symbol, which must be greater than the last.
    ///
    /// # Errors
    ///
    /// When the order is broken, the table gets too large, or the file system fails.
    pub fn add(&mut self, symbol: &str) -> Result<(), WriteIndexError> {
        let symbol = symbol.as_bytes();
        if !self.offsets.is_empty() && symbol <= &self.last[..] {
            return Err(out_of_order("symbol", String::from_utf8_lossy(symbol)));
        }
        let too_large = WriteIndexError::TooLarge("4 GiB of symbols");
        let offset = u32::try_from(self.out.len()).map_err(|_| too_large)?;
        self.offsets.push(offset);
        self.scratch.clear();
        encode_text(&mut self.scratch, symbol);
        self.crc = crc32c::crc32c_append(self.crc, &self.scratch);
        self.last.clear();
        self.last.extend_from_slice(symbol);
        self.out.write(&self.scratch).map_err(at(&self.path))
    }

    /// Ends the symbols and goes on to the series.
    ///
    /// # Errors
    ///
    /// When the table is too large or the file system fails.
    pub fn finish(mut self) -> Result<IndexWriter<'f>, WriteIndexError> {
        const CONTENT_AT: u64 = HEADER_BYTES as u64 + 4;
        let too_large = || WriteIndexError::TooLarge("4 GiB of symbols");
        let len = u32::try_from(self.out.len() - CONTENT_AT).map_err(|_| too_large())?;
        let count = u32::try_from(self.offsets.len()).map_err(|_| too_large())?;
        let io_error = at(&self.path);
        let entries = usize::try_from(len - 4).map_err(|_| too_large())?;
        let crc = crc32c::crc32c_combine(crc32c::crc32c(&count.to_be_bytes()), self.crc, entries);
        self.out.write(&crc.to_be_bytes()).map_err(&io_error)?;
        let head = [len.to_be_bytes(), count.to_be_bytes()].concat();
        self.out.patch(&head, CONTENT_AT - 4).map_err(&io_error)?;
        let map = self.out.map(self.files).map_err(&io_error)?;
        let symbols = SymbolNumbers::new(map, self.offsets);
        Ok(IndexWriter {
            files: self.files,
            out: self.out,
            symbols,
            series_start: None,
            series_count: 0,
            names: HashMap::new(),
            last: Vec::new(),
            last_chunk: ChunkRef(0),
            scratch: Vec::new(),
            batch_postings: self.batch_postings,
            path: self.path,
        })
    }
}

/// Second stage: takes the series, then writes the rest.
pub struct IndexWriter<'f> {
    files: &'f dyn Files,
    path: PathBuf,
    out: FileWriter,
    symbols: SymbolNumbers,
    series_start: Option<u64>,
    series_count: u32,
    /// Symbol of a label name → how many series have it.
    names: HashMap<u32, u64>,
    /// Symbols of the last series' labels.
    last: Vec<(u32, u32)>,
    last_chunk: ChunkRef,
    scratch: Vec<u8>,
    batch_postings: u64,
}

impl IndexWriter<'_> {
    /// Adds a series, whose labels must be greater than the last's.
    ///
    /// * `labels`: ascending by name; all strings are symbols.
    /// * `chunks`: ascending in time and reference, not overlapping.
    ///
    /// # Errors
    ///
    /// When an order is broken, a string is no symbol, the index gets too large, or the file system fails.
    pub fn add_series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        chunks: &[ChunkMeta],
    ) -> Result<(), WriteIndexError> {
        let pairs = self.numbers(labels)?;
        if self.series_start.is_some() && pairs <= self.last {
            return Err(out_of_order("series", self.describe(&pairs)));
        }
        self.check_chunks(chunks)?;
        let io_error = at(&self.path);
        self.out.pad(SERIES_ALIGN).map_err(&io_error)?;
        self.series_start.get_or_insert(self.out.len());
        let number = self.out.len() / SERIES_ALIGN;
        SeriesRef::try_from(number).map_err(|_| WriteIndexError::TooLarge("64 GiB of series"))?;

        self.scratch.clear();
        encode_series(&mut self.scratch, &pairs, chunks);
        let mut len = Vec::with_capacity(10);
        encode_uvarint(&mut len, self.scratch.len() as u64);
        let crc = crc32c::crc32c(&self.scratch);
        self.scratch.extend_from_slice(&crc.to_be_bytes());
        self.out.write(&len).map_err(&io_error)?;
        self.out.write(&self.scratch).map_err(&io_error)?;

        for &(name, _) in &pairs {
            *self.names.entry(name).or_default() += 1;
        }
        self.last_chunk = chunks.last().map_or(self.last_chunk, |chunk| chunk.chunk);
        self.last = pairs;
        self.series_count += 1;
        Ok(())
    }

    fn numbers<'a>(
        &self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<(u32, u32)>, WriteIndexError> {
        let number = |text: &str| {
            let unknown = || WriteIndexError::UnknownSymbol(text.to_owned());
            self.symbols.find(text.as_bytes()).ok_or_else(unknown)
        };
        let pairs = labels
            .map(|(name, value)| Ok((number(name)?, number(value)?)))
            .collect::<Result<Vec<_>, WriteIndexError>>()?;
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(out_of_order("label", self.describe(&pairs)));
        }
        Ok(pairs)
    }

    fn check_chunks(&self, chunks: &[ChunkMeta]) -> Result<(), WriteIndexError> {
        let mut last = self.last_chunk;
        let mut last_maxt = None;
        for chunk in chunks {
            let follows = last_maxt.is_none_or(|maxt| maxt < chunk.mint);
            if !follows || chunk.maxt < chunk.mint || chunk.chunk < last {
                return Err(out_of_order("chunk", format!("{chunk:?}")));
            }
            (last, last_maxt) = (chunk.chunk, Some(chunk.maxt));
        }
        Ok(())
    }

    fn describe(&self, pairs: &[(u32, u32)]) -> String {
        let text = |number| String::from_utf8_lossy(self.symbols.text(number));
        let pairs: Vec<String> = pairs
            .iter()
            .map(|&(name, value)| format!("{}={:?}", text(name), text(value)))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    }

    /// Writes postings, their table and the contents, and makes the file durable. Its name is not synced.
    ///
    /// # Errors
    ///
    /// When the index is too large or the file system fails.
    pub fn finish(mut self) -> Result<(), WriteIndexError> {
        let path = self.path.clone();
        let io_error = at(&path);
        let series = self.series_start.unwrap_or(self.out.len());
        let series_end = self.out.len();
        let map = self.out.map(self.files).map_err(&io_error)?;
        let scan = SeriesScan {
            file: &map,
            range: to_usize(series)..to_usize(series_end),
        };
        self.out.pad(4).map_err(&io_error)?;
        let postings = self.out.len();
        let mut table = OffsetTable::create(self.files, &self.path)?;
        self.write_all_postings(&scan, &mut table)?;
        for names in self.batches() {
            for values in self.value_ranges(&scan, &names) {
                self.write_batch(&scan, &names, values, &mut table)?;
            }
        }
        let table = table.append_to(&mut self.out)?;
        // Where label indices and their table would be.
        let toc = [series.min(series_end), series_end, table, postings, table];
        self.write_toc(toc).map_err(&io_error)?;
        self.out.finish().map_err(&io_error)
    }

    fn write_toc(
        &mut self,
        [series, label_indices, label_table, postings, table]: [u64; 5],
    ) -> io::Result<()> {
        let symbols = HEADER_BYTES as u64;
        let sections = [symbols, series, label_indices, label_table, postings, table];
        let bytes = sections.map(u64::to_be_bytes).concat();
        self.out.write(&bytes)?;
        self.out.write(&crc32c::crc32c(&bytes).to_be_bytes())
    }

    fn write_all_postings(
        &mut self,
        scan: &SeriesScan<'_>,
        table: &mut OffsetTable<'_>,
    ) -> Result<(), WriteIndexError> {
        table.add(&[], &[], self.out.len())?;
        let count = self.series_count;
        let refs = scan.series().map(|(series, _)| series);
        write_postings(&mut self.out, count, refs).map_err(at(&self.path))
    }

    /// Splits the label names, ascending, so that each batch has few enough postings; a name that has more is alone.
    fn batches(&self) -> Vec<Vec<u32>> {
        let mut names: Vec<(u32, u64)> = self.names.iter().map(|(&n, &c)| (n, c)).collect();
        names.sort_unstable();
        let mut batches: Vec<Vec<u32>> = Vec::new();
        let mut room = 0;
        for (name, count) in names {
            match batches.last_mut() {
                Some(batch) if count <= room => {
                    batch.push(name);
                    room -= count;
                }
                _ => {
                    batches.push(vec![name]);
                    room = self.batch_postings.saturating_sub(count);
                }
            }
        }
        batches
    }

    /// Splits the values of a label that alone has too many postings for a batch, by a walk that counts them. A single
    /// value that has too many is alone.
    fn value_ranges(&self, scan: &SeriesScan<'_>, names: &[u32]) -> Vec<RangeInclusive<u32>> {
        let all = 0..=u32::MAX;
        let [name] = names[..] else { return vec![all] };
        if self.names[&name] <= self.batch_postings {
            return vec![all];
        }
        // Symbols by their upper bits, so that the counts are few.
        let shift = self.symbols.len().ilog2().saturating_sub(COUNTED_BITS);
        let mut counts = vec![0u64; (self.symbols.len() >> shift) + 1];
        for (_, labels) in scan.series() {
            let values = labels.filter(|pair| pair.0 == name).map(|pair| pair.1);
            values.for_each(|value| counts[(value >> shift) as usize] += 1);
        }
        let mut ranges = Vec::new();
        let (mut from, mut gathered) = (0, 0);
        for (group, count) in (0u32..).zip(counts) {
            let start = group << shift;
            if 0 < gathered && self.batch_postings < gathered + count {
                ranges.push(from..=start - 1);
                (from, gathered) = (start, 0);
            }
            gathered += count;
        }
        ranges.push(from..=u32::MAX);
        ranges
    }

    /// Writes the postings of some values of some label names: gathered by one walk over the series.
    fn write_batch(
        &mut self,
        scan: &SeriesScan<'_>,
        names: &[u32],
        values: RangeInclusive<u32>,
        table: &mut OffsetTable<'_>,
    ) -> Result<(), WriteIndexError> {
        let place: HashMap<u32, usize> = names.iter().enumerate().map(|(i, &n)| (n, i)).collect();
        let room = |name| self.names[name].min(self.batch_postings);
        let mut gathered: Vec<Vec<(u32, SeriesRef)>> = names
            .iter()
            .map(|name| Vec::with_capacity(to_usize(room(name))))
            .collect();
        for (series, labels) in scan.series() {
            for (name, value) in labels {
                if let Some(&i) = place.get(&name)
                    && values.contains(&value)
                {
                    gathered[i].push((value, series));
                }
            }
        }
        for (&name, mut postings) in names.iter().zip(gathered) {
            postings.sort_unstable();
            for run in postings.chunk_by(|a, b| a.0 == b.0) {
                let value = run[0].0;
                table.add(
                    self.symbols.text(name),
                    self.symbols.text(value),
                    self.out.len(),
                )?;
                let count = u32::try_from(run.len()).expect("series are counted with 32 bits");
                let refs = run.iter().map(|&(_, series)| series);
                write_postings(&mut self.out, count, refs).map_err(at(&self.path))?;
            }
        }
        Ok(())
    }
}

fn encode_series(out: &mut Vec<u8>, pairs: &[(u32, u32)], chunks: &[ChunkMeta]) {
    encode_uvarint(out, pairs.len() as u64);
    for &(name, value) in pairs {
        encode_uvarint(out, u64::from(name));
        encode_uvarint(out, u64::from(value));
    }
    encode_uvarint(out, chunks.len() as u64);
    let mut last: Option<&ChunkMeta> = None;
    for chunk in chunks {
        let duration = chunk.maxt.wrapping_sub(chunk.mint).cast_unsigned();
        match last {
            None => {
                encode_varint(out, chunk.mint);
                encode_uvarint(out, duration);
                encode_uvarint(out, chunk.chunk.0);
            }
            Some(last) => {
                let gap = chunk.mint.wrapping_sub(last.maxt).cast_unsigned();
                encode_uvarint(out, gap);
                encode_uvarint(out, duration);
                let step = chunk.chunk.0.wrapping_sub(last.chunk.0).cast_signed();
                encode_varint(out, step);
            }
        }
        last = Some(chunk);
    }
}

/// Appends one list of postings with `count` series.
fn write_postings(
    out: &mut FileWriter,
    count: u32,
    series: impl Iterator<Item = SeriesRef>,
) -> io::Result<()> {
    let too_many = || io::Error::other("a postings list is longer than 4 GiB");
    let len = count.checked_mul(4).and_then(|n| n.checked_add(4));
    out.write(&len.ok_or_else(too_many)?.to_be_bytes())?;
    let mut piece = Vec::with_capacity(4 * PIECE_POSTINGS + 4);
    piece.extend_from_slice(&count.to_be_bytes());
    let mut crc = 0;
    for series in series {
        piece.extend_from_slice(&series.to_be_bytes());
        if 4 * PIECE_POSTINGS <= piece.len() {
            crc = crc32c::crc32c_append(crc, &piece);
            out.write(&piece)?;
            piece.clear();
        }
    }
    crc = crc32c::crc32c_append(crc, &piece);
    out.write(&piece)?;
    out.write(&crc.to_be_bytes())
}

/// The series that have just been written, read back.
struct SeriesScan<'a> {
    file: &'a Map,
    range: Range<usize>,
}

impl<'a> SeriesScan<'a> {
    /// Walks over references and label pairs.
    fn series(
        &self,
    ) -> impl Iterator<Item = (SeriesRef, impl Iterator<Item = (u32, u32)> + use<'a>)> {
        const MINE: &str = "this writer wrote it";
        let file: &'a [u8] = self.file;
        let (mut next, end) = (self.range.start, self.range.end);
        std::iter::from_fn(move || {
            let at = next.next_multiple_of(to_usize(SERIES_ALIGN));
            if end <= at {
                return None;
            }
            let (len, content) = decode_uvarint(&file[at..end]).expect(MINE);
            next = end - content.len() + to_usize(len) + super::CRC_BYTES;
            let (pairs, mut rest) = decode_uvarint(content).expect(MINE);
            let mut number = move || {
                let (number, after) = decode_uvarint(rest).expect(MINE);
                rest = after;
                u32::try_from(number).expect(MINE)
            };
            let series = u32::try_from(at / to_usize(SERIES_ALIGN)).expect(MINE);
            Some((series, (0..pairs).map(move |_| (number(), number()))))
        })
    }
}

/// The postings offset table, which is gathered in a file beside the index.
struct OffsetTable<'f> {
    files: &'f dyn Files,
    path: PathBuf,
    out: FileWriter,
    count: u32,
    crc: u32,
    scratch: Vec<u8>,
}

impl<'f> OffsetTable<'f> {
    fn create(files: &'f dyn Files, index: &Path) -> Result<Self, WriteIndexError> {
        let path = index.with_extension("postings.tmp");
        Ok(OffsetTable {
            files,
            out: FileWriter::create(files, &path).map_err(at(&path))?,
            path,
            count: 0,
            crc: 0,
            scratch: Vec::new(),
        })
    }

    fn add(&mut self, name: &[u8], value: &[u8], offset: u64) -> Result<(), WriteIndexError> {
        self.scratch.clear();
        encode_uvarint(&mut self.scratch, 2);
        encode_text(&mut self.scratch, name);
        encode_text(&mut self.scratch, value);
        encode_uvarint(&mut self.scratch, offset);
        self.crc = crc32c::crc32c_append(self.crc, &self.scratch);
        let too_large = WriteIndexError::TooLarge("four billion label pairs");
        self.count = self.count.checked_add(1).ok_or(too_large)?;
        self.out.write(&self.scratch).map_err(at(&self.path))
    }

    /// Moves the table to the end of the index and returns where it begins.
    fn append_to(mut self, index: &mut FileWriter) -> Result<u64, WriteIndexError> {
        let io_error = at(&self.path);
        let start = index.len();
        let entries = self.out.map(self.files).map_err(&io_error)?;
        let len = u32::try_from(4 + entries.len());
        let len = len.map_err(|_| WriteIndexError::TooLarge("postings offset table of 4 GiB"))?;
        let count = self.count.to_be_bytes();
        let crc = crc32c::crc32c_combine(crc32c::crc32c(&count), self.crc, entries.len());
        index.write(&len.to_be_bytes()).map_err(&io_error)?;
        index.write(&count).map_err(&io_error)?;
        for piece in entries.chunks(256 << 10) {
            index.write(piece).map_err(&io_error)?;
        }
        index.write(&crc.to_be_bytes()).map_err(&io_error)?;
        drop(entries);
        self.files.remove_file(&self.path).map_err(&io_error)?;
        Ok(start)
    }
}

fn encode_text(out: &mut Vec<u8>, text: &[u8]) {
    encode_uvarint(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("mapped files are addressable")
}

fn at(path: &Path) -> impl Fn(io::Error) -> WriteIndexError + use<> {
    let path = path.to_owned();
    move |source| WriteIndexError::Io {
        path: path.clone(),
        source,
    }
}

fn out_of_order(what: &'static str, found: impl Into<String>) -> WriteIndexError {
    let found = found.into();
    WriteIndexError::Order { what, found }
}
