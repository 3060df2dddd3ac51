//! The symbol table of an index, and the one that is being written.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use rapidhash::fast::RandomState;

use super::{Damage, SAMPLING, counted, decode_text, section};
use crate::map::Map;

/// Where the symbols of a mapped index are.
#[derive(Debug)]
pub struct SymbolTable {
    /// Where the first symbol's entry begins in the file.
    start: usize,
    end: usize,
    count: u32,
    /// Where every 32nd symbol's entry begins in the file.
    sampled: Vec<u32>,
    /// Whether symbols are named by their offset in the file and not by their number.
    by_offset: bool,
}

impl SymbolTable {
    /// Walks over the table at `offset`, verifying checksum and lengths.
    pub(super) fn open(file: &[u8], offset: u64, by_offset: bool) -> Result<Self, Damage> {
        let (content, start) = section(file, offset)?;
        let corrupt = |what| Damage { offset, what };
        let (count, mut rest) = counted(content).ok_or(corrupt("symbol table without a count"))?;
        let end = start + content.len();
        let mut sampled = Vec::new();
        for number in 0..count {
            if (number as usize).is_multiple_of(SAMPLING) {
                let at = u32::try_from(end - rest.len());
                sampled.push(at.map_err(|_| corrupt("symbol table past 4 GiB"))?);
            }
            (_, rest) = decode_text(rest).ok_or(corrupt("symbols end early"))?;
        }
        sampled.shrink_to_fit();
        Ok(SymbolTable {
            start: start + 4,
            end,
            count,
            sampled,
            by_offset,
        })
    }

    /// Returns how many symbols there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        4 * self.sampled.capacity()
    }

    /// Returns the string that a series entry names `symbol`.
    pub(super) fn text<'a>(&self, file: &'a [u8], symbol: u32) -> Result<&'a [u8], Damage> {
        let damage = |what| Damage::new(self.start, what);
        if self.by_offset {
            let at = symbol as usize;
            if !(self.start..self.end).contains(&at) {
                return Err(damage("reference to a symbol that is not there"));
            }
            return decode_text(&file[at..self.end])
                .map(|(text, _)| text)
                .ok_or(damage("reference between symbols"));
        }
        if self.count <= symbol {
            return Err(damage("reference to a symbol that is not there"));
        }
        let mut rest = &file[self.sampled[symbol as usize / SAMPLING] as usize..self.end];
        for _ in 0..symbol as usize % SAMPLING {
            (_, rest) = decode_text(rest).ok_or(damage("symbols end early"))?;
        }
        decode_text(rest)
            .map(|(text, _)| text)
            .ok_or(damage("symbols end early"))
    }

    /// Iterates over the symbols, as they are in the file.
    pub(super) fn iter<'a>(
        &self,
        file: &'a [u8],
    ) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let (end, by_offset) = (self.end, self.by_offset);
        let mut rest = &file[self.start..self.end];
        (0..self.count).map_while(move |number| {
            let offset = end - rest.len();
            let (text, after) = decode_text(rest)?;
            rest = after;
            let symbol = if by_offset {
                u32::try_from(offset).ok()?
            } else {
                number
            };
            Some((symbol, text))
        })
    }

    /// Returns where each symbol's entry begins in the file.
    pub(super) fn offsets(&self, file: &[u8]) -> Vec<u32> {
        let mut rest = &file[self.start..self.end];
        let mut offsets = Vec::with_capacity(self.count as usize);
        for _ in 0..self.count {
            offsets.extend(u32::try_from(self.end - rest.len()));
            rest = decode_text(rest).map_or(&[], |(_, after)| after);
        }
        offsets
    }

    /// Returns what series entries call the string `text`, if it is a symbol. The table must be sorted.
    pub(super) fn find(&self, file: &[u8], text: &[u8]) -> Option<u32> {
        let first = |&at: &u32| {
            decode_text(&file[at as usize..self.end]).is_some_and(|(first, _)| first <= text)
        };
        let group = self.sampled.partition_point(first).checked_sub(1)?;
        let mut rest = &file[self.sampled[group] as usize..self.end];
        for i in 0..SAMPLING {
            let number = u32::try_from(group * SAMPLING + i).ok()?;
            if self.count <= number {
                break;
            }
            let offset = self.end - rest.len();
            let (found, after) = decode_text(rest)?;
            if found == text {
                let offset = u32::try_from(offset).ok()?;
                return Some(if self.by_offset { offset } else { number });
            }
            rest = after;
        }
        None
    }
}

/// From strings to numbers, for the symbols of an index that is being written: 9 bytes a symbol beside the map.
pub(super) struct SymbolNumbers {
    file: Map,
    /// Where each symbol's entry begins in the file.
    offsets: Vec<u32>,
    table: HashTable<u32>,
    state: RandomState,
}

impl SymbolNumbers {
    pub(super) fn new(file: Map, offsets: Vec<u32>) -> Self {
        let mut numbers = SymbolNumbers {
            file,
            offsets,
            table: HashTable::new(),
            state: RandomState::default(),
        };
        let count =
            u32::try_from(numbers.offsets.len()).expect("symbols are numbered with 32 bits");
        numbers
            .table
            .reserve(count as usize, |_| unreachable!("the table is empty"));
        for number in 0..count {
            let SymbolNumbers {
                file,
                offsets,
                table,
                state,
            } = &mut numbers;
            let hash = |&n: &u32| hash_of(state, text_at(file, offsets[n as usize]));
            table.insert_unique(hash(&number), number, hash);
        }
        numbers
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(super) fn text(&self, number: u32) -> &[u8] {
        text_at(&self.file, self.offsets[number as usize])
    }

    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = hash_of(&self.state, text);
        self.table
            .find(hash, |&number| self.text(number) == text)
            .copied()
    }
}

fn text_at(file: &[u8], offset: u32) -> &[u8] {
    decode_text(&file[offset as usize..]).map_or(&[], |(text, _)| text)
}

fn hash_of(state: &RandomState, text: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(text);
    hasher.finish()
}
