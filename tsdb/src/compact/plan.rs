//! What to compact next: a pure decision over the blocks' metas.
//!
//! Blocks grow in steps: all that lie in one aligned range of a step become one block, when they fill it or when newer
//! data shows that no more will come.
//!
//! Source: Prometheus' leveled compaction, which this follows but in that a block whose compaction failed is left alone
//! where it overlaps others too: trying it again every minute helps nobody.

use std::path::PathBuf;

use crate::block::meta::{BlockMeta, HINT_SELECTED_SERIES, HINT_STALE_SERIES};
use crate::ulid::Ulid;

/// From one step to the next, ranges grow by this factor.
const STEP: i64 = 3;

/// A block as the planner sees it.
#[derive(Clone, Debug)]
pub struct PlannedBlock {
    /// Where it is.
    pub dir: PathBuf,
    /// What it is.
    pub meta: BlockMeta,
}

/// Returns the time ranges that blocks may have, ascending: `min`, three times as much, and so on, up to `max`.
///
/// ```
/// # use tsdb::compact::plan::block_ranges;
/// assert_eq!(block_ranges(2, 60), [2, 6, 18, 54]);
/// assert_eq!(block_ranges(2, 1), [2]);
/// ```
pub fn block_ranges(min: i64, max: i64) -> Vec<i64> {
    let next = |&range: &i64| range.checked_mul(STEP).filter(|&next| next <= max);
    std::iter::successors(Some(min), next).collect()
}

/// Returns the directories of the blocks to compact into one now, ascending in time; none when there is nothing to do.
///
/// Blocks that overlap come first; then groups that fill a range, the smallest range first; then blocks of which much is
/// deleted. The newest block is left alone unless it overlaps another. Blocks of series that had ended, or that an
/// operator chose, are compacted among their own only.
///
/// * `ranges`: as of [`block_ranges`]; with a single one, only overlaps and deletions lead to anything.
pub fn plan(blocks: &[PlannedBlock], ranges: &[i64]) -> Vec<PathBuf> {
    let kinds: [&dyn Fn(&BlockMeta) -> bool; 3] = [
        &|meta| !is_stale(meta) && !is_chosen(meta),
        &is_stale,
        &|meta| is_chosen(meta) && !is_stale(meta),
    ];
    let plans = kinds.iter().map(|is_kind| {
        let mut own: Vec<&PlannedBlock> = blocks.iter().filter(|b| is_kind(&b.meta)).collect();
        own.sort_by_key(|block| (block.meta.min_time, block.meta.ulid));
        plan_kind(&own, ranges)
    });
    let mut plans = plans.filter(|plan| !plan.is_empty());
    let planned = plans.next().unwrap_or_default();
    planned.iter().map(|block| block.dir.clone()).collect()
}

fn is_stale(meta: &BlockMeta) -> bool {
    meta.compaction.has_hint(HINT_STALE_SERIES)
}

fn is_chosen(meta: &BlockMeta) -> bool {
    meta.compaction.has_hint(HINT_SELECTED_SERIES)
}

fn plan_kind<'b>(blocks: &[&'b PlannedBlock], ranges: &[i64]) -> Vec<&'b PlannedBlock> {
    let overlapping = overlapping(blocks);
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest is left for a while, so that it can be copied away as it is.
    let Some((_, older)) = blocks.split_last() else {
        return Vec::new();
    };
    let group = full_group(older, ranges);
    if !group.is_empty() {
        return group;
    }
    mostly_deleted(older, ranges).into_iter().collect()
}

/// The first run of blocks each of which overlaps one before it, none of which has failed.
fn overlapping<'b>(blocks: &[&'b PlannedBlock]) -> Vec<&'b PlannedBlock> {
    let mut run: Vec<&PlannedBlock> = Vec::new();
    let mut max_time = i64::MIN;
    for &block in blocks {
        if max_time <= block.meta.min_time {
            if is_run(&run) {
                return run;
            }
            run.clear();
        }
        run.push(block);
        max_time = max_time.max(block.meta.max_time);
    }
    if is_run(&run) { run } else { Vec::new() }
}

fn is_run(run: &[&PlannedBlock]) -> bool {
    1 < run.len() && run.iter().all(|block| !block.meta.compaction.failed)
}

/// The first group of the smallest range that is full, or that newer blocks follow.
fn full_group<'b>(blocks: &[&'b PlannedBlock], ranges: &[i64]) -> Vec<&'b PlannedBlock> {
    let Some(newest) = blocks.last() else {
        return Vec::new();
    };
    for &range in ranges.iter().skip(1) {
        for group in aligned_groups(blocks, range) {
            let (first, last) = (&group[0].meta, &group[group.len() - 1].meta);
            let is_full = last.max_time - first.min_time == range;
            let is_past = last.max_time <= newest.meta.min_time;
            if (is_full || is_past) && is_run(&group) {
                return group;
            }
        }
    }
    Vec::new()
}

/// Groups of neighbours that lie in one range `[n·range, (n+1)·range)` each; blocks that lie in none are left out.
fn aligned_groups<'b>(blocks: &[&'b PlannedBlock], range: i64) -> Vec<Vec<&'b PlannedBlock>> {
    let mut groups: Vec<(i64, Vec<&PlannedBlock>)> = Vec::new();
    for &block in blocks {
        let slot = block.meta.min_time.div_euclid(range);
        let fits = block.meta.max_time <= (slot + 1).saturating_mul(range);
        match groups.last_mut() {
            _ if !fits => {}
            Some((last, group)) if *last == slot => group.push(block),
            _ => groups.push((slot, vec![block])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The newest block that is large and has tombstones for one in twenty series, or has them for all.
fn mostly_deleted<'b>(blocks: &[&'b PlannedBlock], ranges: &[i64]) -> Option<&'b PlannedBlock> {
    let large = *ranges.get(ranges.len() / 2)?;
    for &block in blocks.iter().rev() {
        let (meta, stats) = (&block.meta, &block.meta.stats);
        let is_candidate = !meta.compaction.failed && !meta.compaction.deletable;
        if meta.max_time - meta.min_time < large {
            let is_all = 0 < stats.num_tombstones && stats.num_series <= stats.num_tombstones;
            return (is_all && is_candidate).then_some(block);
        }
        if is_candidate && stats.num_series + 1 < 20 * stats.num_tombstones {
            return Some(block);
        }
    }
    None
}

/// Returns the blocks that need not be kept: all their samples are deleted, or in another of `metas` that was made of
/// them.
pub fn superseded(metas: &[BlockMeta]) -> Vec<Ulid> {
    let parents = |meta: &BlockMeta| {
        meta.compaction
            .parents
            .iter()
            .map(|parent| parent.ulid)
            .collect::<Vec<_>>()
    };
    let made_into: std::collections::HashSet<Ulid> = metas.iter().flat_map(parents).collect();
    metas
        .iter()
        .filter(|meta| meta.compaction.deletable || made_into.contains(&meta.ulid))
        .map(|meta| meta.ulid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::meta::HINT_OUT_OF_ORDER;

    const RANGES: [i64; 3] = [20, 60, 180];

    /// `name:from-to`, then `!` failed, `s` stale, `o` out of order, `dN` N tombstones for 100 series.
    fn block(text: &str) -> PlannedBlock {
        let mut words = text.split(' ');
        let (name, range) = words.next().unwrap().split_once(':').unwrap();
        let (from, to) = range.split_once('~').unwrap();
        let ulid = Ulid::new(u64::from(name.as_bytes()[0]), 0);
        let mut meta = BlockMeta::new(ulid, from.parse().unwrap(), to.parse().unwrap());
        meta.stats.num_series = 100;
        for word in words {
            match word {
                "!" => meta.compaction.failed = true,
                "s" => meta.compaction.add_hint(HINT_STALE_SERIES),
                "o" => meta.compaction.add_hint(HINT_OUT_OF_ORDER),
                deleted => meta.stats.num_tombstones = deleted[1..].parse().unwrap(),
            }
        }
        let dir = name.into();
        PlannedBlock { dir, meta }
    }

    #[track_caller]
    fn check(blocks: &[&str], expected: &str) {
        let blocks: Vec<_> = blocks.iter().map(|text| block(text)).collect();
        let planned: String = plan(&blocks, &RANGES)
            .iter()
            .map(|dir| dir.to_str().unwrap())
            .collect();
        assert_eq!(planned, expected);
    }

    #[test]
    fn groups_wait_until_full_or_past() {
        check(&[], "");
        check(&["a:0~20"], "");
        check(&["a:0~20", "b:20~40", "c:40~60"], "");
        check(&["a:0~20", "b:20~40", "c:40~60", "d:60~80"], "abc");
        check(&["d:60~80", "c:40~60", "a:0~20", "b:20~40"], "abc");
        // Not full, and nothing newer but the newest.
        check(&["a:0~20", "b:20~40", "d:60~80"], "");
        check(&["a:0~20", "b:20~40", "d:60~80", "e:80~100"], "ab");
        check(&["a:0~20", "c:40~60", "d:60~80"], "ac");
        check(&["a:-60~-40", "b:-40~-20", "c:-20~0", "d:0~20"], "abc");
    }

    #[test]
    fn larger_ranges_follow() {
        check(&["a:0~60", "b:60~120", "c:120~180", "d:180~200"], "abc");
        check(
            &[
                "a:0~60",
                "b:60~120",
                "c:120~140",
                "d:140~160",
                "e:160~180",
                "f:180~200",
            ],
            "cde",
        );
        // Lies across the bounds of a range.
        check(&["a:0~60", "b:50~70", "c:120~140"], "ab");
        check(
            &[
                "a:10~70",
                "b:120~140",
                "c:140~160",
                "d:160~180",
                "e:180~200",
            ],
            "bcd",
        );
    }

    #[test]
    fn failed_blocks_are_left_alone() {
        check(&["a:0~20", "b:20~40 !", "c:40~60", "d:60~80"], "");
        check(&["a:0~20 !", "b:10~40", "c:60~80", "d:70~90"], "cd");
    }

    #[test]
    fn overlaps_come_first_and_take_in_the_newest() {
        check(&["a:0~20", "b:19~40", "c:40~60", "d:60~80"], "ab");
        check(
            &["a:0~20", "b:20~40", "c:40~60", "d:60~80", "e:70~80"],
            "de",
        );
        check(
            &["a:0~100", "b:10~20", "c:30~40", "d:99~110", "e:110~120"],
            "abcd",
        );
        check(&["a:0~20 o", "b:0~20", "c:20~40"], "ab");
    }

    #[test]
    fn deletions_lead_to_rewriting() {
        check(&["a:0~60 d5", "b:180~200"], "");
        check(&["a:0~60 d6", "b:180~200"], "a");
        check(&["a:0~60 d6", "b:180~200 d100", "c:200~220"], "b");
        check(&["a:0~60 d6", "b:180~200 d99", "c:200~220"], "");
        check(&["a:0~60 d6 !", "b:180~200"], "");
    }

    #[test]
    fn stale_series_keep_to_themselves() {
        check(&["a:0~20", "b:0~20 s", "c:20~40"], "");
        check(&["a:0~20 s", "b:0~20 s", "c:20~40"], "ab");
        check(&["a:0~20 s", "b:0~20 s", "c:20~40", "d:30~50"], "cd");
    }

    #[test]
    fn what_was_compacted_may_go() {
        let mut merged = block("x:0~60").meta;
        let (a, b, mut c) = (
            block("a:0~20").meta,
            block("b:20~40").meta,
            block("c:80~90").meta,
        );
        let parent = |meta: &BlockMeta| crate::block::meta::Parent {
            ulid: meta.ulid,
            min_time: 0,
            max_time: 0,
        };
        merged.compaction.parents = vec![parent(&a), parent(&b)];
        c.compaction.deletable = true;
        let (a_ulid, c_ulid) = (a.ulid, c.ulid);
        assert_eq!(superseded(&[a, merged, c]), [a_ulid, c_ulid]);
    }
}
