//! Memory in huge pages, for what every scrape touches: one of the three islands of `unsafe` in this crate.
//!
//! A scrape of some hundred series touches as many places that nobody has looked at since the scrape before, so with pages
//! of 4 KiB each of them costs a walk through the page tables besides. In pages of 2 MiB, which the kernel gives where it is
//! asked to, they are a few dozen pages for all.
//!
//! ```text
//! span    address space of 32 MiB                    ─► as many as are needed, never given back
//! region  2 MiB of it, aligned: one huge page        ─► given back to the kernel when nothing in it is in use
//! unit    4 KiB of that; an allocation is some units in a row, in the first region that has them
//! ```
//!
//! The first region of all is in small pages until it is full, so that a small server does not pay for 2 MiB that it
//! does not need. What is in use is dense otherwise: the lowest place is taken first.
//!
//! Source: `madvise(2)`, `MADV_HUGEPAGE`; a kernel without it, or with `transparent_hugepage` at `never`, gives small pages.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by nature; what makes it sound is said below"
)]

use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use parking_lot::Mutex;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Bytes of a unit.
const UNIT: usize = 4096;
/// Bytes of a region: a huge page.
const REGION: usize = 2 << 20;
/// Bytes of address space that is asked for at once; a region more is, so that some are aligned.
const SPAN: usize = 32 << 20;
/// Units of a region.
const UNITS: usize = REGION / UNIT;
/// What is larger has its own pages anyway.
const POOLED_MAX: usize = 16 * UNIT;

static POOL: Mutex<Pool> = Mutex::new(Pool::EMPTY);

/// Allocates pieces of 4 to 64 KiB in huge pages, and anything else like [`Global`].
#[derive(Clone, Copy, Debug)]
pub struct HugePages;

/// Returns whether an allocation is one of the pool's. It depends on its layout alone, so that both ends agree.
fn is_pooled(layout: Layout) -> bool {
    (UNIT..=POOLED_MAX).contains(&layout.size()) && layout.align() <= UNIT
}

// SAFETY: memory of the pool is mapped for good, and its units are in use by one allocation at a time (`Region::take`);
// what is not the pool's is `Global`'s, which is told apart by the layout. All copies are the same allocator: they have no state.
unsafe impl Allocator for HugePages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if !is_pooled(layout) {
            return Global.allocate(layout);
        }
        let count = layout.size().div_ceil(UNIT);
        let address = POOL.lock().take(count).ok_or(AllocError)?;
        let pointer = std::ptr::with_exposed_provenance_mut::<u8>(address);
        let pointer = NonNull::new(pointer).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(pointer, count * UNIT))
    }

    unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        if is_pooled(layout) {
            let count = layout.size().div_ceil(UNIT);
            POOL.lock().give_back(pointer.addr().get(), count);
        } else {
            // SAFETY: `allocate` had it from there, with the same layout.
            unsafe { Global.deallocate(pointer, layout) };
        }
    }
}

/// All regions, by address.
struct Pool {
    regions: BTreeMap<usize, Region>,
    /// Those with free units.
    roomy: BTreeSet<usize>,
    /// Address space that no region has been made of: from here, this many bytes.
    rest: (usize, usize),
}

/// Which units of a region are in use.
struct Region {
    used: [u64; UNITS / 64],
}

impl Pool {
    const EMPTY: Pool = Pool {
        regions: BTreeMap::new(),
        roomy: BTreeSet::new(),
        rest: (0, 0),
    };

    /// Takes `count` units in a row; `None` when the system gives no memory.
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut roomy = self.roomy.iter();
        let found = roomy.find_map(|&at| {
            let unit = self.regions.get_mut(&at)?.take(count)?;
            Some((at, unit))
        });
        let (at, unit) = match found {
            Some(found) => found,
            None => {
                let at = self.add_region()?;
                (at, self.regions.get_mut(&at)?.take(count)?)
            }
        };
        if self.regions[&at].free() == 0 {
            self.roomy.remove(&at);
        }
        Some(at + unit * UNIT)
    }

    fn give_back(&mut self, address: usize, count: usize) {
        let at = address & !(REGION - 1);
        let Some(region) = self.regions.get_mut(&at) else {
            debug_assert!(false, "{address:#x} is not the pool's");
            return;
        };
        region.give_back((address - at) / UNIT, count);
        self.roomy.insert(at);
        if region.free() == UNITS {
            advise(at, Advice::LinuxDontNeed);
        }
    }

    fn add_region(&mut self) -> Option<usize> {
        if self.rest.1 < REGION {
            self.rest = map_span()?;
        }
        let at = self.rest.0;
        self.rest = (at + REGION, self.rest.1 - REGION);
        if let Some((&first, _)) = self.regions.first_key_value() {
            if self.regions.len() == 1 {
                // It is in small pages, and full now.
                advise(first, Advice::LinuxHugepage);
            }
            advise(at, Advice::LinuxHugepage);
        }
        self.regions.insert(at, Region::EMPTY);
        self.roomy.insert(at);
        Some(at)
    }
}

impl Region {
    const EMPTY: Region = Region {
        used: [0; UNITS / 64],
    };

    /// Returns how many units are not in use.
    fn free(&self) -> usize {
        self.used
            .iter()
            .map(|word| word.count_zeros() as usize)
            .sum()
    }

    fn is_used(&self, unit: usize) -> bool {
        self.used[unit / 64] >> (unit % 64) & 1 != 0
    }

    /// Marks the first `count` free units in a row as used and returns the first of them.
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut run = 0;
        let mut unit = 0;
        while unit < UNITS && run < count {
            if unit % 64 == 0 && self.used[unit / 64] == u64::MAX {
                (unit, run) = (unit + 64, 0);
                continue;
            }
            run = if self.is_used(unit) { 0 } else { run + 1 };
            unit += 1;
        }
        if run < count {
            return None;
        }
        let first = unit - count;
        for unit in first..unit {
            self.used[unit / 64] |= 1 << (unit % 64);
        }
        Some(first)
    }

    fn give_back(&mut self, first: usize, count: usize) {
        for unit in first..first + count {
            debug_assert!(self.is_used(unit), "given back twice");
            self.used[unit / 64] &= !(1 << (unit % 64));
        }
    }
}

/// Maps address space, less of it where there is not as much, and returns where the first region in it begins, and how many
/// bytes from there are its whole regions.
fn map_span() -> Option<(usize, usize)> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    [SPAN, REGION].into_iter().find_map(|bytes| {
        // SAFETY: new memory where the system likes, which is nobody's yet.
        let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes + REGION, access, flags) };
        let address = mapped.ok()?.expose_provenance();
        Some((address.next_multiple_of(REGION), bytes))
    })
}

/// Tells the kernel about a region. It need not listen.
fn advise(region: usize, advice: Advice) {
    let pointer = std::ptr::with_exposed_provenance_mut(region);
    // SAFETY: the region is a part of what `map_span` returned. What drops its content is only said of regions in which
    // nothing is in use.
    unsafe { madvise(pointer, REGION, advice) }.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::boxed::Box;
    use allocator_api2::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is taken and given back, nothing is in use twice, and what is given back is found again.
        #[test]
        fn units_are_in_use_once(steps in prop::collection::vec((1usize..=16, any::<u16>()), 1..400)) {
            let mut region = Region::EMPTY;
            let mut taken: std::vec::Vec<(usize, usize)> = std::vec::Vec::new();
            for (count, choice) in steps {
                if choice % 3 == 0 && !taken.is_empty() {
                    let (first, count) = taken.swap_remove(usize::from(choice) % taken.len());
                    region.give_back(first, count);
                } else if let Some(first) = region.take(count) {
                    let overlaps = |&(other, length): &(usize, usize)| {
                        first < other + length && other < first + count
                    };
                    prop_assert!(!taken.iter().any(overlaps) && first + count <= UNITS);
                    taken.push((first, count));
                } else {
                    // There is no such run: every one of that length has a used unit.
                    let used = |unit: usize| taken.iter().any(|&(f, n)| (f..f + n).contains(&unit));
                    prop_assert!((0..=UNITS - count).all(|from| (from..from + count).any(used)));
                }
                let used: usize = taken.iter().map(|&(_, count)| count).sum();
                prop_assert_eq!(region.free(), UNITS - used);
            }
        }
    }

    #[test]
    fn pieces_of_all_sizes_keep_what_they_hold() {
        let sizes = [1, UNIT - 1, UNIT, UNIT + 1, POOLED_MAX, POOLED_MAX + 1];
        let vectors = sizes.map(|size| {
            let mut bytes: Vec<u8, HugePages> = Vec::with_capacity_in(size, HugePages);
            bytes.resize(size, u8::try_from(size % 251).unwrap());
            bytes
        });
        for (size, bytes) in sizes.into_iter().zip(&vectors) {
            let expected = u8::try_from(size % 251).unwrap();
            assert!(bytes.len() == size && bytes.iter().all(|&byte| byte == expected));
        }
    }

    #[test]
    fn regions_are_aligned_and_used_again() {
        let mut pool = Pool::EMPTY;
        let all: std::vec::Vec<usize> = (0..3 * UNITS).map(|_| pool.take(1).unwrap()).collect();
        assert_eq!(pool.regions.len(), 3);
        assert!(pool.regions.keys().all(|at| at % REGION == 0) && pool.roomy.is_empty());
        let distinct: BTreeSet<&usize> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        for &address in &all[UNITS..] {
            pool.give_back(address, 1);
        }
        assert_eq!(pool.take(16), Some(all[UNITS]));
        assert_eq!(pool.regions.len(), 3);
    }

    #[test]
    fn a_region_that_was_given_back_is_as_good_as_new() {
        let block = || Box::new_in([7u64; UNIT / 8], HugePages);
        for _ in 0..3 {
            let blocks: std::vec::Vec<_> = (0..2 * UNITS).map(|_| block()).collect();
            assert!(blocks.iter().all(|block| **block == [7; UNIT / 8]));
        }
    }
}
