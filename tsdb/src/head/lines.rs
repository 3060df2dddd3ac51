//! Where open chunks of floats are: in lines of one cache line each, which a page of series shares.
//!
//! A chunk is a chain of lines, so it grows without being moved and without an allocation of its own, and what the next
//! sample is written to is one cache line, mostly beside that of the series before.

use std::num::NonZeroU32;

use allocator_api2::boxed::Box;

use crate::chunk::bits::BitSink;
use crate::huge::HugePages;

/// Bits in a line.
const LINE_BITS: u16 = 480;
/// Bytes in a line.
const LINE_BYTES: usize = LINE_BITS as usize / 8;
/// Words of 32 bits in a line.
const WORDS: usize = LINE_BYTES / 4;

/// Lines that are allocated at once.
const BLOCK_LINES: usize = 64;

/// A piece of a chunk: its bits from the highest of the first word on, and where it goes on.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    words: [u32; WORDS],
    next: Option<LineId>,
}

/// Names a line of one [`Lines`], as long as it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineId(NonZeroU32);

impl LineId {
    /// Names no line that anybody uses.
    pub const NOWHERE: LineId = LineId(NonZeroU32::MIN);

    fn of_index(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        LineId(number.expect("fewer than 2^32 lines: they are 256 GiB"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The lines of one page of series.
#[derive(Debug, Default)]
pub struct Lines {
    blocks: Vec<Box<[Line; BLOCK_LINES], HugePages>>,
    /// The first line that is free; the others follow it.
    free: Option<LineId>,
    used: usize,
}

impl Lines {
    fn line(&self, id: LineId) -> &Line {
        &self.blocks[id.index() / BLOCK_LINES][id.index() % BLOCK_LINES]
    }

    #[inline]
    fn line_mut(&mut self, id: LineId) -> &mut Line {
        &mut self.blocks[id.index() / BLOCK_LINES][id.index() % BLOCK_LINES]
    }

    /// Takes a free line, all zeros.
    fn take(&mut self) -> LineId {
        let id = match self.free {
            Some(id) => id,
            None => self.add_block(),
        };
        let line = self.line_mut(id);
        let next = line.next.take();
        line.words = [0; WORDS];
        self.free = next;
        self.used += 1;
        id
    }

    #[cold]
    fn add_block(&mut self) -> LineId {
        let first = self.blocks.len() * BLOCK_LINES;
        let free = Line {
            words: [0; WORDS],
            next: None,
        };
        let mut block = Box::new_in([free; BLOCK_LINES], HugePages);
        // They are taken in the order in which they are in memory.
        for (index, line) in block.iter_mut().enumerate().take(BLOCK_LINES - 1) {
            line.next = Some(LineId::of_index(first + index + 1));
        }
        self.blocks.push(block);
        LineId::of_index(first)
    }

    /// Frees the lines of a chunk.
    fn give_back(&mut self, chain: Chain) {
        self.line_mut(chain.last).next = self.free;
        self.free = Some(chain.first);
        self.used -= usize::from(chain.count);
    }

    /// Returns whether more than half of what is allocated, and more than one block, is free.
    pub fn is_sparse(&self) -> bool {
        let allocated = self.blocks.len() * BLOCK_LINES;
        2 * (self.used + BLOCK_LINES) < allocated
    }

    /// Tells the processor that the next bits of `chain` will be written soon.
    #[inline]
    pub fn prefetch(&self, chain: &Chain) {
        if let Some(block) = self.blocks.get(chain.last.index() / BLOCK_LINES) {
            crate::prefetch::line(&block[chain.last.index() % BLOCK_LINES]);
        }
    }
}

/// The bits of one chunk: a chain of lines. It belongs to one [`Lines`], and has to be given back there.
#[derive(Debug)]
pub struct Chain {
    first: LineId,
    last: LineId,
    /// Bits of the last line that are in use.
    used: u16,
    /// How many lines there are.
    count: u8,
}

impl Default for Chain {
    fn default() -> Self {
        Chain::EMPTY
    }
}

impl Chain {
    /// Without bits and without lines.
    pub const EMPTY: Chain = Chain {
        first: LineId::NOWHERE,
        last: LineId::NOWHERE,
        used: 0,
        count: 0,
    };

    /// The most bytes that a chain holds.
    pub const BYTES_MAX: usize = u8::MAX as usize * LINE_BYTES;

    /// Returns the bytes of a chunk, of whose last one `free` low bits are unused, as a chain.
    ///
    /// # Panics
    ///
    /// When there are more than [`BYTES_MAX`](Chain::BYTES_MAX).
    pub fn of(bytes: &[u8], free: u8, lines: &mut Lines) -> Self {
        let mut chain = Chain::EMPTY;
        for part in bytes.chunks(LINE_BYTES) {
            chain.add_line(lines);
            let line = lines.line_mut(chain.last);
            for (word, bytes) in line.words.iter_mut().zip(part.chunks(4)) {
                let mut padded = [0; 4];
                padded[..bytes.len()].copy_from_slice(bytes);
                *word = u32::from_be_bytes(padded);
            }
            chain.used = 8 * u16::try_from(part.len()).unwrap_or(0);
        }
        chain.used = chain.used.saturating_sub(u16::from(free));
        chain
    }

    /// Returns how many bytes it has, of which the last one may be begun only.
    #[inline]
    pub fn byte_count(&self) -> usize {
        usize::from(self.count).saturating_sub(1) * LINE_BYTES + usize::from(self.used.div_ceil(8))
    }

    /// Replaces what is in `out` by the bytes, the last one padded with zeros.
    pub fn copy_to(&self, lines: &Lines, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(usize::from(self.count) * LINE_BYTES);
        let mut next = (self.count != 0).then_some(self.first);
        while let Some(id) = next {
            let line = lines.line(id);
            let mut bytes = [0; LINE_BYTES];
            for (place, word) in bytes.chunks_exact_mut(4).zip(&line.words) {
                place.copy_from_slice(&word.to_be_bytes());
            }
            out.extend_from_slice(&bytes);
            next = line.next;
        }
        out.truncate(self.byte_count());
    }

    /// Gives the lines back.
    pub fn release(&mut self, lines: &mut Lines) {
        if self.count != 0 {
            lines.give_back(std::mem::take(self));
        }
    }

    /// Copies it from `old`, which is about to go, to `new`.
    pub fn move_to(&mut self, old: &Lines, new: &mut Lines) {
        let mut bytes = Vec::new();
        self.copy_to(old, &mut bytes);
        #[expect(clippy::cast_possible_truncation, reason = "below 8")]
        let free = (8 * self.used.div_ceil(8) - self.used) as u8;
        *self = Chain::of(&bytes, free, new);
    }

    fn add_line(&mut self, lines: &mut Lines) {
        let id = lines.take();
        if self.count == 0 {
            self.first = id;
        } else {
            lines.line_mut(self.last).next = Some(id);
        }
        self.count = self.count.checked_add(1).expect("chunks are cut before");
        (self.last, self.used) = (id, 0);
    }

    /// Returns what appends to it.
    #[inline]
    pub fn pen<'a>(&'a mut self, lines: &'a mut Lines) -> Pen<'a> {
        Pen { chain: self, lines }
    }
}

/// Appends bits to a chain.
pub struct Pen<'a> {
    chain: &'a mut Chain,
    lines: &'a mut Lines,
}

impl Pen<'_> {
    /// Writes bits for which there is room in the last line, or none.
    #[inline]
    fn write(&mut self, value: u64, count: u8) {
        if count == 0 {
            return;
        }
        let line = self.lines.line_mut(self.chain.last);
        // Left-aligned, so that what is above the low `count` bits falls off.
        let (mut bits, mut left) = (value << (64 - count), u16::from(count));
        while left != 0 {
            let (word, offset) = (usize::from(self.chain.used / 32), self.chain.used % 32);
            line.words[word] |= high_word(bits) >> offset;
            let written = left.min(32 - offset);
            bits <<= written;
            left -= written;
            self.chain.used += written;
        }
    }
}

impl BitSink for Pen<'_> {
    #[inline]
    fn push(&mut self, value: u64, count: u8) {
        let room = match self.chain.count {
            0 => 0,
            _ => LINE_BITS - self.chain.used,
        };
        if u16::from(count) <= room {
            return self.write(value, count);
        }
        // Less than what is to be written, so at most 63.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let room = room as u8;
        if room != 0 {
            self.write(value >> (count - room), room);
        }
        self.chain.add_line(self.lines);
        self.write(value, count - room);
    }
}

/// Returns the high half.
const fn high_word(bits: u64) -> u32 {
    (bits >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::bits::BitWriter;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    proptest! {
        /// Chains that grow side by side, end and begin anew hold what writers of their own hold.
        #[test]
        fn chains_hold_what_was_pushed(
            steps in prop::collection::vec((0usize..5, any::<u64>(), 0u8..=64, 0u8..40), 0..2_000),
        ) {
            let mut lines = Lines::default();
            let mut chains: [Chain; 5] = Default::default();
            let mut plain: [BitWriter; 5] = Default::default();
            for (at, value, count, event) in steps {
                match event {
                    0 => {
                        chains[at].release(&mut lines);
                        plain[at].clear();
                    }
                    1 => {
                        // All move to a place of their own.
                        let old = std::mem::take(&mut lines);
                        for chain in &mut chains {
                            chain.move_to(&old, &mut lines);
                        }
                    }
                    _ => {
                        chains[at].pen(&mut lines).push(value, count);
                        plain[at].push(value, count);
                    }
                }
                prop_assert_eq!(chains[at].byte_count(), plain[at].bytes().len());
            }
            let mut copy = vec![1];
            for (chain, plain) in chains.iter_mut().zip(&plain) {
                chain.copy_to(&lines, &mut copy);
                prop_assert_eq!(&copy[..], plain.bytes());
                chain.release(&mut lines);
                prop_assert_eq!(chain.byte_count(), 0);
            }
            prop_assert_eq!(lines.used, 0);
        }
    }

    #[test]
    fn freed_lines_are_used_again() {
        let mut lines = Lines::default();
        let mut chains: Vec<Chain> = Vec::new();
        for _ in 0..10 {
            for _ in 0..20 {
                chains.push(Chain::of(&[7; 199], 0, &mut lines));
            }
            for mut chain in chains.drain(..) {
                let mut copy = Vec::new();
                chain.copy_to(&lines, &mut copy);
                assert_eq!(copy, [7; 199]);
                chain.release(&mut lines);
            }
        }
        assert_eq!(lines.blocks.len(), (20 * 4usize).div_ceil(BLOCK_LINES));
        assert!(!lines.is_sparse());
    }
}
