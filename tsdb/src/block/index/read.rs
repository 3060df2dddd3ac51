//! Reading an index through its map.
//!
//! Opening walks once over the symbols and the postings offset table, verifies their checksums, and keeps where every
//! 32nd entry is; everything else is found in the map when it is asked for, and its checksum verified then.

use std::path::{Path, PathBuf};

use model::Labels;
use model::storage::ReadError;
use smallvec::SmallVec;

use super::symbols::SymbolTable;
use super::write::ChunkMeta;
use super::{
    CRC_BYTES, Damage, HEADER_BYTES, MAGIC, SAMPLING, SERIES_ALIGN, SeriesRef, TOC_BYTES, checked,
    counted, decode_text, section,
};
use crate::block::OpenBlockError;
use crate::block::chunks::ChunkRef;
use crate::files::Files;
use crate::map::Map;
use crate::varint::{decode_uvarint, decode_varint};

/// The versions that are read.
const VERSION_MAX: u8 = 3;
/// Series and symbols are named by their offsets.
const VERSION_OFFSETS: u8 = 1;

/// A mapped index.
pub struct IndexReader {
    path: PathBuf,
    map: Map,
    version: u8,
    toc: Toc,
    symbols: SymbolTable,
    table: PostingsTable,
    /// Symbol → place among the names, ascending: half of all look-ups are for the few names.
    name_symbols: Vec<(u32, u32)>,
}

/// Where the sections begin.
#[derive(Clone, Copy, Debug)]
struct Toc {
    symbols: u64,
    series: u64,
    postings_table: u64,
}

/// What a series entry holds.
#[derive(Clone, Debug, Default)]
pub struct SeriesEntry {
    /// Symbols of names and values, in the order of the file.
    pub labels: SmallVec<[(u32, u32); 16]>,
    /// Where its chunks are, ascending in time.
    pub chunks: Vec<ChunkMeta>,
}

impl IndexReader {
    /// Maps the file and reads what opens it up.
    ///
    /// # Errors
    ///
    /// When the file system fails, the bytes are wrong, or a newer build wrote them.
    pub fn open(files: &dyn Files, path: &Path) -> Result<Self, OpenBlockError> {
        let map = files.map(path).map_err(|source| OpenBlockError::Io {
            path: path.to_owned(),
            source,
        })?;
        if map.len() < HEADER_BYTES || map[..4] != MAGIC {
            return Err(Damage::new(0, "no index file").at_open(path));
        }
        let version = map[4];
        if version == 0 || VERSION_MAX < version {
            return Err(OpenBlockError::Version {
                path: path.to_owned(),
                found: u32::from(version),
            });
        }
        let by_offset = version == VERSION_OFFSETS;
        let at_open = |damage: Damage| damage.at_open(path);
        let toc = read_toc(&map).map_err(at_open)?;
        let symbols = SymbolTable::open(&map, toc.symbols, by_offset).map_err(at_open)?;
        let table = PostingsTable::open(&map, toc.postings_table).map_err(at_open)?;
        let mut name_symbols: Vec<(u32, u32)> = (0u32..)
            .zip(&table.names)
            .filter_map(|(place, name)| Some((symbols.find(&map, &map[name.text()])?, place)))
            .collect();
        name_symbols.sort_unstable();
        Ok(IndexReader {
            path: path.to_owned(),
            map,
            version,
            toc,
            symbols,
            table,
            name_symbols,
        })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the format's version.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Returns how long the file is.
    pub fn file_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Returns the symbol table.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Returns the bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        let names: usize = self
            .table
            .names
            .iter()
            .map(|n| 4 * n.sampled.capacity())
            .sum();
        let each = size_of::<NameEntry>() + size_of::<(u32, u32)>();
        self.symbols.heap_bytes() + names + self.table.names.len() * each
    }

    /// Iterates over all symbols, ascending.
    pub fn iter_symbols(&self) -> impl Iterator<Item = Result<&str, ReadError>> {
        self.symbols
            .iter(&self.map)
            .map(|(_, text)| self.utf8(text))
    }

    /// Returns the string that a series entry names `symbol`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is no UTF-8.
    pub fn symbol(&self, symbol: u32) -> Result<&str, ReadError> {
        let cached = self.name_symbols.binary_search_by_key(&symbol, |&(s, _)| s);
        let text = match cached {
            Ok(at) => &self.map[self.table.names[self.name_symbols[at].1 as usize].text()],
            Err(_) => self
                .symbols
                .text(&self.map, symbol)
                .map_err(|damage| damage.at_read(&self.path))?,
        };
        self.utf8(text)
    }

    /// Returns what series entries call the string `text`, if it is a symbol.
    pub fn find_symbol(&self, text: &str) -> Option<u32> {
        self.symbols.find(&self.map, text.as_bytes())
    }

    /// Reads the entry of a series into `out`, whose content is replaced. Its checksum has been verified.
    ///
    /// # Errors
    ///
    /// When there is no series there, or a damaged one.
    pub fn series(&self, series: SeriesRef, out: &mut SeriesEntry) -> Result<(), ReadError> {
        let offset = self.series_offset(series);
        self.read_series(offset, out)
            .map_err(|what| Damage { offset, what }.at_read(&self.path))
    }

    /// Returns where the entry of a series begins in the file.
    pub fn series_offset(&self, series: SeriesRef) -> u64 {
        match self.version {
            VERSION_OFFSETS => u64::from(series),
            _ => u64::from(series) * SERIES_ALIGN,
        }
    }

    fn read_series(&self, offset: u64, out: &mut SeriesEntry) -> Result<(), &'static str> {
        let entry = usize::try_from(offset)
            .ok()
            .filter(|_| self.toc.series <= offset)
            .and_then(|at| self.map.get(at..))
            .ok_or("reference to a series outside of the file")?;
        let (len, rest) = decode_uvarint(entry).ok_or("series without a length")?;
        let len = usize::try_from(len).map_err(|_| "series without a length")?;
        out.labels.clear();
        out.chunks.clear();
        decode_series(checked(rest, len)?, out).ok_or("series that ends early")
    }

    /// Returns the labels of a series that has been read.
    ///
    /// # Errors
    ///
    /// When its symbols are not there.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels, ReadError> {
        labels_by(entry, |symbol| self.symbol(symbol))
    }

    /// Returns the same of one series after the other, with what was looked up last at hand.
    ///
    /// # Errors
    ///
    /// As [`labels`](IndexReader::labels).
    pub fn labels_among<'a>(
        &'a self,
        entry: &SeriesEntry,
        recent: &mut RecentSymbols<'a>,
    ) -> Result<Labels, ReadError> {
        labels_by(entry, |symbol| {
            let place = &mut recent.0[symbol as usize % RecentSymbols::COUNT];
            match *place {
                (known, Some(text)) if known == symbol => Ok(text),
                _ => {
                    let text = self.symbol(symbol)?;
                    *place = (symbol, Some(text));
                    Ok(text)
                }
            }
        })
    }

    /// Returns the names of all labels, ascending.
    ///
    /// # Errors
    ///
    /// When one is no UTF-8.
    pub fn label_names(&self) -> impl Iterator<Item = Result<&str, ReadError>> {
        self.table
            .names
            .iter()
            .map(|name| &self.map[name.text()])
            .filter(|name| !name.is_empty())
            .map(|name| self.utf8(name))
    }

    /// Returns how many values a label has.
    pub fn value_count(&self, name: &str) -> usize {
        self.table
            .name(&self.map, name)
            .map_or(0, |n| n.count as usize)
    }

    /// Iterates over the values of a label that begin with `prefix`, ascending, and where their postings are.
    pub fn values<'a>(
        &'a self,
        name: &str,
        prefix: &'a str,
    ) -> impl Iterator<Item = Result<(&'a str, PostingsAt), ReadError>> {
        let entries = self.table.name(&self.map, name).map(|name| {
            let from = self.table.lower_bound(&self.map, name, prefix.as_bytes());
            self.table.entries(&self.map, name, from)
        });
        entries
            .into_iter()
            .flatten()
            .take_while(move |(value, _)| value.starts_with(prefix.as_bytes()))
            .map(|(value, at)| Ok((self.utf8(value)?, at)))
    }

    /// Returns where the postings of a label pair are, if a series has it.
    pub fn find_postings(&self, name: &str, value: &str) -> Option<PostingsAt> {
        let entry = self.table.name(&self.map, name)?;
        let from = self.table.lower_bound(&self.map, entry, value.as_bytes());
        let (found, at) = self.table.entries(&self.map, entry, from).next()?;
        (found == value.as_bytes()).then_some(at)
    }

    /// Appends the series of one list of postings to `out`, ascending. Its checksum has been verified.
    ///
    /// # Errors
    ///
    /// When it is damaged.
    pub fn postings(&self, at: PostingsAt, out: &mut Vec<SeriesRef>) -> Result<(), ReadError> {
        let damage = |what| Damage { offset: at.0, what };
        let series = section(&self.map, at.0)
            .and_then(|(content, _)| {
                let (count, series) = counted(content).ok_or(damage("postings without a count"))?;
                let is_whole = series.len() as u64 == 4 * u64::from(count);
                is_whole
                    .then_some(series)
                    .ok_or(damage("postings of another length than counted"))
            })
            .map_err(|damage| damage.at_read(&self.path))?;
        let (series, _) = series.as_chunks::<4>();
        out.extend(series.iter().map(|bytes| SeriesRef::from_be_bytes(*bytes)));
        Ok(())
    }

    /// Returns how many series a list of postings has, without verifying it.
    pub fn postings_len(&self, at: PostingsAt) -> usize {
        let count = usize::try_from(at.0)
            .ok()
            .and_then(|at| self.map.get(at..)?.get(4..))
            .and_then(counted);
        count.map_or(0, |(count, _)| count as usize)
    }

    /// Returns all series, ascending.
    ///
    /// # Errors
    ///
    /// When their list is missing or damaged.
    pub fn all_series(&self) -> Result<Vec<SeriesRef>, ReadError> {
        let missing = || Damage {
            offset: self.toc.postings_table,
            what: "no list of all series",
        };
        let at = self
            .find_postings("", "")
            .ok_or_else(|| missing().at_read(&self.path))?;
        let mut all = Vec::new();
        self.postings(at, &mut all)?;
        Ok(all)
    }

    /// Iterates over all symbols, ascending whatever their order in the file: that of the earliest indexes is not known.
    pub(crate) fn iter_symbols_sorted(
        &self,
    ) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
        if self.version != VERSION_OFFSETS {
            return Box::new(self.iter_symbols());
        }
        let texts = self.symbols.iter(&self.map).map(|(_, text)| text);
        let sorted: std::collections::BTreeSet<&[u8]> = texts.collect();
        Box::new(sorted.into_iter().map(|text| self.utf8(text)))
    }

    /// Returns a table that makes walking over all series quick: 4 bytes a symbol.
    pub(crate) fn symbol_offsets(&self) -> SymbolOffsets<'_> {
        let offsets = match self.version {
            // Symbols are named by their offsets as it is.
            VERSION_OFFSETS => None,
            _ => Some(self.symbols.offsets(&self.map)),
        };
        SymbolOffsets {
            file: &self.map,
            offsets,
        }
    }

    fn utf8<'a>(&self, text: &'a [u8]) -> Result<&'a str, ReadError> {
        std::str::from_utf8(text).map_err(|_| ReadError::Corrupt {
            path: self.path.clone(),
            what: format!(
                "label string that is no UTF-8: {:?}",
                String::from_utf8_lossy(text)
            ),
        })
    }
}

/// Symbols that were looked up not long ago: finding one walks over those before it in the file, and series that follow each
/// other have most of theirs in common.
pub struct RecentSymbols<'a>([(u32, Option<&'a str>); RecentSymbols::COUNT]);

impl RecentSymbols<'_> {
    const COUNT: usize = 256;
}

impl Default for RecentSymbols<'_> {
    fn default() -> Self {
        RecentSymbols([(0, None); RecentSymbols::COUNT])
    }
}

/// Returns the labels whose symbols `text` knows.
fn labels_by<'a>(
    entry: &SeriesEntry,
    mut text: impl FnMut(u32) -> Result<&'a str, ReadError>,
) -> Result<Labels, ReadError> {
    let mut pairs = SmallVec::<[(&str, &str); 16]>::new();
    for &(name, value) in &entry.labels {
        pairs.push((text(name)?, text(value)?));
    }
    Ok(labels_of(&pairs))
}

/// Returns labels from pairs that should be sorted, unique and without empty values, but came from a file.
pub(crate) fn labels_of(pairs: &[(&str, &str)]) -> Labels {
    let is_sorted = pairs.is_sorted_by(|a, b| a.0 < b.0);
    if is_sorted && pairs.iter().all(|(_, value)| !value.is_empty()) {
        Labels::from_sorted(pairs.iter().copied())
    } else {
        Labels::from_pairs(pairs.iter().copied())
    }
}

fn read_toc(file: &[u8]) -> Result<Toc, Damage> {
    let at = file.len().saturating_sub(TOC_BYTES);
    if at < HEADER_BYTES {
        return Err(Damage::new(0, "index without contents"));
    }
    let content = checked(&file[at..], TOC_BYTES - CRC_BYTES)
        .map_err(|_| Damage::new(at, "table of contents with a wrong checksum"))?;
    let (words, _) = content.as_chunks::<8>();
    let word = |i: usize| u64::from_be_bytes(words[i]);
    Ok(Toc {
        symbols: word(0),
        series: word(1),
        postings_table: word(5),
    })
}

fn decode_series(mut src: &[u8], out: &mut SeriesEntry) -> Option<()> {
    let uvarint = |src: &mut &[u8]| {
        let (value, rest) = decode_uvarint(src)?;
        *src = rest;
        Some(value)
    };
    let varint = |src: &mut &[u8]| {
        let (value, rest) = decode_varint(src)?;
        *src = rest;
        Some(value)
    };
    for _ in 0..uvarint(&mut src)? {
        let name = u32::try_from(uvarint(&mut src)?).ok()?;
        let value = u32::try_from(uvarint(&mut src)?).ok()?;
        out.labels.push((name, value));
    }
    let chunks = uvarint(&mut src)?;
    let mut last: Option<ChunkMeta> = None;
    for _ in 0..chunks {
        let mint = match last {
            None => varint(&mut src)?,
            Some(last) => last.maxt.checked_add_unsigned(uvarint(&mut src)?)?,
        };
        let maxt = mint.checked_add_unsigned(uvarint(&mut src)?)?;
        let chunk = match last {
            None => uvarint(&mut src)?,
            Some(last) => last.chunk.0.checked_add_signed(varint(&mut src)?)?,
        };
        let chunk = ChunkRef(chunk);
        last = Some(ChunkMeta { mint, maxt, chunk });
        out.chunks.extend(last);
    }
    Some(())
}

/// Where all symbols of an index are, see [`IndexReader::symbol_offsets`].
pub(crate) struct SymbolOffsets<'a> {
    file: &'a [u8],
    offsets: Option<Vec<u32>>,
}

impl<'a> SymbolOffsets<'a> {
    /// Returns the string of a symbol, if it is there and UTF-8.
    pub(crate) fn text(&self, symbol: u32) -> Option<&'a str> {
        let at = match &self.offsets {
            Some(offsets) => *offsets.get(symbol as usize)?,
            None => symbol,
        };
        let (text, _) = decode_text(self.file.get(at as usize..)?)?;
        std::str::from_utf8(text).ok()
    }
}

/// Where a list of postings begins in its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostingsAt(u64);

impl PostingsAt {
    /// Returns the offset in the file.
    pub fn offset(self) -> u64 {
        self.0
    }
}

/// The postings offset table: from label pairs to where their postings are.
#[derive(Debug)]
struct PostingsTable {
    /// Where the table begins in the file.
    start: usize,
    /// Where its entries end.
    end: usize,
    /// Ascending.
    names: Vec<NameEntry>,
    /// Of how many values of a name one is in `sampled`: 1 when they are not in order in the file.
    step: usize,
}

#[derive(Debug)]
struct NameEntry {
    /// Where the name's text begins in the file.
    start: usize,
    len: u32,
    /// How many values it has.
    count: u32,
    /// Where the entry of every `step`th value begins, ascending by value; relative to the table's start.
    sampled: Vec<u32>,
}

impl NameEntry {
    fn text(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len as usize
    }
}

/// One entry of the table, as it is in the file.
struct RawEntry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    at: PostingsAt,
}

fn decode_entry(src: &[u8]) -> Option<(RawEntry<'_>, &[u8])> {
    let (parts, rest) = decode_uvarint(src)?;
    if parts != 2 {
        return None;
    }
    let (name, rest) = decode_text(rest)?;
    let (value, rest) = decode_text(rest)?;
    let (at, rest) = decode_uvarint(rest)?;
    let at = PostingsAt(at);
    Some((RawEntry { name, value, at }, rest))
}

impl PostingsTable {
    fn open(file: &[u8], offset: u64) -> Result<Self, Damage> {
        let (content, start) = section(file, offset)?;
        let corrupt = |what| Damage { offset, what };
        let (count, entries) = counted(content).ok_or(corrupt("offset table without a count"))?;
        let end = start + content.len();
        let mut table = PostingsTable {
            start,
            end,
            names: Vec::new(),
            step: SAMPLING,
        };
        let mut rest = entries;
        let mut last: Option<(&[u8], &[u8])> = None;
        for _ in 0..count {
            let at = end - rest.len();
            let (entry, after) = decode_entry(rest).ok_or(corrupt("offset table ends early"))?;
            rest = after;
            if last.is_some_and(|last| (entry.name, entry.value) <= last) {
                return Self::of_unsorted(file, start, end, count)
                    .ok_or(corrupt("offset table ends early"));
            }
            if last.is_none_or(|(name, _)| name != entry.name) {
                table.begin_name(file, &entry);
            }
            let name = table.names.last_mut().expect("one has begun");
            if (name.count as usize).is_multiple_of(SAMPLING) {
                name.sampled.push(offset_in_table(at - start));
            }
            name.count += 1;
            last = Some((entry.name, entry.value));
        }
        table
            .names
            .iter_mut()
            .for_each(|name| name.sampled.shrink_to_fit());
        Ok(table)
    }

    /// Early indexes have their entries in no order: all of them are kept in memory.
    fn of_unsorted(file: &[u8], start: usize, end: usize, count: u32) -> Option<Self> {
        let mut rest = &file[start + 4..end];
        let mut entries = Vec::new();
        for _ in 0..count {
            let at = end - rest.len();
            let (entry, after) = decode_entry(rest)?;
            rest = after;
            entries.push((entry, at));
        }
        entries.sort_by(|(a, _), (b, _)| (a.name, a.value).cmp(&(b.name, b.value)));
        let mut table = PostingsTable {
            start,
            end,
            names: Vec::new(),
            step: 1,
        };
        for run in entries.chunk_by(|(a, _), (b, _)| a.name == b.name) {
            table.begin_name(file, &run[0].0);
            let name = table.names.last_mut()?;
            name.count = u32::try_from(run.len()).ok()?;
            name.sampled = run
                .iter()
                .map(|&(_, at)| offset_in_table(at - start))
                .collect();
        }
        Some(table)
    }

    fn begin_name(&mut self, file: &[u8], entry: &RawEntry<'_>) {
        let start = entry.name.as_ptr().addr() - file.as_ptr().addr();
        self.names.push(NameEntry {
            start,
            len: offset_in_table(entry.name.len()),
            count: 0,
            sampled: Vec::new(),
        });
    }

    fn name(&self, file: &[u8], name: &str) -> Option<&NameEntry> {
        let at = self
            .names
            .binary_search_by(|entry| file[entry.text()].cmp(name.as_bytes()))
            .ok()?;
        self.names.get(at)
    }

    /// Returns the number of the first value that is not below `value`.
    fn lower_bound(&self, file: &[u8], name: &NameEntry, value: &[u8]) -> usize {
        let below = |&at: &u32| {
            decode_entry(&file[self.start + at as usize..self.end])
                .is_some_and(|(entry, _)| entry.value < value)
        };
        let groups = name.sampled.partition_point(below);
        if self.step == 1 {
            return groups;
        }
        let from = groups.saturating_sub(1) * self.step;
        let skipped = self
            .entries(file, name, from)
            .take(self.step)
            .take_while(|(found, _)| *found < value)
            .count();
        from + skipped
    }

    /// Iterates over the values of a name from number `from` on.
    fn entries<'a>(
        &'a self,
        file: &'a [u8],
        name: &'a NameEntry,
        from: usize,
    ) -> impl Iterator<Item = (&'a [u8], PostingsAt)> {
        let mut rest: &[u8] = &[];
        let mut skip = from % self.step;
        let mut number = from - skip;
        let count = name.count as usize;
        std::iter::from_fn(move || {
            loop {
                if count <= number {
                    return None;
                }
                if number.is_multiple_of(self.step) {
                    let at = name.sampled[number / self.step];
                    rest = &file[self.start + at as usize..self.end];
                }
                let (entry, after) = decode_entry(rest)?;
                rest = after;
                number += 1;
                if skip == 0 {
                    return Some((entry.value, entry.at));
                }
                skip -= 1;
            }
        })
    }
}

fn offset_in_table(at: usize) -> u32 {
    u32::try_from(at).expect("a table has less than 4 GiB")
}
