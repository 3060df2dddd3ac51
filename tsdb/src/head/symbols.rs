//! Symbols: every label name and value of the head is stored once and named by a number.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use rapidhash::fast::RandomState;

/// A label string of one head. Valid as long as the head; of two symbols nothing follows about the order of their
/// strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

/// Strings, each once, end to end in one buffer.
#[derive(Default)]
pub struct Symbols {
    text: String,
    /// Where each symbol's string ends in `text`.
    ends: Vec<u32>,
    table: HashTable<Symbol>,
    state: RandomState,
}

impl Symbols {
    /// Returns the string of `symbol`.
    pub fn text(&self, symbol: Symbol) -> &str {
        text_of(&self.text, &self.ends, symbol)
    }

    /// Returns the symbol of `text`, if there is one.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        let hash = hash_of(&self.state, text);
        self.table
            .find(hash, |&symbol| self.text(symbol) == text)
            .copied()
    }

    /// Returns the symbol of `text`, new if need be; `None` when 4 GiB of strings are full.
    pub fn intern(&mut self, text: &str) -> Option<Symbol> {
        if let Some(symbol) = self.find(text) {
            return Some(symbol);
        }
        let symbol = Symbol(u32::try_from(self.ends.len()).ok()?);
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        self.text.push_str(text);
        self.ends.push(end);
        let Symbols {
            text: all,
            ends,
            table,
            state,
        } = self;
        table.insert_unique(hash_of(state, text), symbol, |&s| {
            hash_of(state, text_of(all, ends, s))
        });
        Some(symbol)
    }

    /// Forgets the symbols that are not `used`; returns the new number of each that is, by its old one.
    pub fn retain(&mut self, used: &[bool]) -> Vec<u32> {
        let old = std::mem::take(self);
        let mut renamed = vec![u32::MAX; used.len()];
        for (number, is_used) in (0u32..).zip(used) {
            if *is_used {
                let symbol = self.intern(text_of(&old.text, &old.ends, Symbol(number)));
                renamed[number as usize] = symbol.expect("fewer than before").0;
            }
        }
        renamed
    }

    /// Returns all strings end to end, and where each ends.
    pub fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Returns the table with the parts of another; `None` when they do not fit together.
    pub fn from_parts(text: String, ends: Vec<u32>) -> Option<Self> {
        let ascends = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        let fits = ends.last().map_or(0, |&end| end as usize) == text.len();
        let splits = ends.iter().all(|&end| text.is_char_boundary(end as usize));
        if !(ascends && fits && splits) {
            return None;
        }
        let count = u32::try_from(ends.len()).ok()?;
        let mut symbols = Symbols {
            text,
            ends,
            table: HashTable::with_capacity(count as usize),
            state: RandomState::default(),
        };
        let Symbols {
            text,
            ends,
            table,
            state,
        } = &mut symbols;
        for symbol in (0..count).map(Symbol) {
            let hash = hash_of(state, text_of(text, ends, symbol));
            table.insert_unique(hash, symbol, |&s| hash_of(state, text_of(text, ends, s)));
        }
        Some(symbols)
    }

    /// Returns how many symbols there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives back room that growing has taken and nothing has filled.
    pub fn shrink(&mut self) {
        if self.text.len() / 8 < self.text.capacity() - self.text.len() {
            self.text.shrink_to_fit();
            self.ends.shrink_to_fit();
        }
    }

    /// Returns the bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.text.capacity() + 4 * self.ends.capacity() + 5 * self.table.capacity()
    }
}

fn text_of<'a>(text: &'a str, ends: &[u32], Symbol(index): Symbol) -> &'a str {
    let index = index as usize;
    let start = if index == 0 {
        0
    } else {
        ends[index - 1] as usize
    };
    &text[start..ends[index] as usize]
}

fn hash_of(state: &RandomState, text: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_string_once() {
        let mut symbols = Symbols::default();
        let all: Vec<_> = (0..1000)
            .map(|i| symbols.intern(&format!("value-{}", i % 300)).unwrap())
            .collect();
        assert_eq!(symbols.len(), 300);
        for (i, symbol) in all.into_iter().enumerate() {
            assert_eq!(symbols.text(symbol), format!("value-{}", i % 300));
        }
        assert_eq!(symbols.find("other"), None);
        let empty = symbols.intern("").unwrap();
        assert_eq!(symbols.text(empty), "");
    }
}
