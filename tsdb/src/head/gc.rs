//! Housekeeping: what is in blocks leaves the head, and the WAL is folded into a checkpoint.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::lines::Lines;
use super::marks::HeadMarks;
use super::page::Page;
use super::series::MemSeries;
use super::snapshot::SLOTS_PER_PAGE;
use super::{Head, PAGE_SERIES};
use crate::head_chunks::ChunkRef;
use crate::wal::{checkpoint, segment};

/// The WAL is folded when it has this many full segments.
const SEGMENTS_BEFORE_CHECKPOINT: usize = 3;

/// What of the late samples is to become blocks.
#[derive(Clone, Copy, Debug)]
pub struct LateMark {
    /// The chunks before this place.
    pub end: ChunkRef,
    /// The log up to this segment.
    last_segment: Option<u32>,
}

impl Head {
    /// Changes the marks that the next start goes by.
    fn mark(&self, change: impl FnOnce(&mut HeadMarks)) -> io::Result<()> {
        let mut marks = self.marks.lock();
        let mut changed = *marks;
        change(&mut changed);
        changed.write(&*self.files, &self.dir)?;
        *marks = changed;
        Ok(())
    }

    /// Says that in-order samples before `end` are in blocks: the next start leaves them out of the log. None may be
    /// appended any more.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn mark_in_blocks(&self, end: i64) -> io::Result<()> {
        self.in_blocks_until.fetch_max(end, Ordering::Relaxed);
        let segment = self.log_position().segment;
        self.mark(|marks| (marks.head_from, marks.segment) = (end, segment))
    }

    /// Forgets samples before `mint`, and series that have none left; deletes head chunk files that nothing names any
    /// more.
    ///
    /// Whole chunks only: samples somewhat older than `mint` stay until their chunk is old.
    ///
    /// # Errors
    ///
    /// When files cannot be deleted.
    pub fn truncate(&self, mint: i64) -> io::Result<()> {
        if self.time_range().is_none_or(|(oldest, _)| mint <= oldest) {
            return Ok(());
        }
        self.metrics.truncations.inc();
        self.valid_from.fetch_max(mint, Ordering::Relaxed);
        // The file in use now is kept whatever happens meanwhile.
        let mut oldest_file = self.chunks.current_file();
        let (mut oldest, mut chunks_removed) = (i64::MAX, 0);
        self.mint_since.store(i64::MAX, Ordering::SeqCst);
        self.retain_series(|_, series, lines| {
            let removed = series.truncate(lines, mint);
            chunks_removed += removed;
            let late = series.late().into_iter().flat_map(|late| late.full());
            for chunk in series.full().iter().chain(late) {
                oldest_file = oldest_file.min(chunk.chunk.file());
            }
            oldest = oldest.min(series.first_in_order_t().unwrap_or(i64::MAX));
            series.first_t().is_some() || removed == 0
        });
        self.truncate_tombstones(self.oldest_needed(mint));
        {
            // A batch may have brought an older sample to a series that had been looked at.
            let _nothing_commits = self.committing.write();
            let oldest = oldest.min(self.mint_since.load(Ordering::SeqCst));
            // A chunk that is older in part stays; what counts of it begins at `mint`.
            self.mint.store(oldest.max(mint), Ordering::Relaxed);
        }
        self.metrics.chunks_removed.add(chunks_removed as f64);
        self.metrics.chunks.sub(chunks_removed as f64);
        self.chunks
            .truncate(oldest_file)
            .inspect_err(|_| self.metrics.truncations_failed.inc())
    }

    /// Makes chunks of all late samples and begins a new log for those to come. Returns what is to become blocks.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn begin_late_compaction(&self) -> io::Result<LateMark> {
        let mark = self.cut_late()?;
        self.chunks.sync()?;
        Ok(mark)
    }

    fn cut_late(&self) -> io::Result<LateMark> {
        // No batch may be between its log and its list.
        let _nothing_commits = self.committing.write();
        let with_starts = self.options.chunks.encodings.histogram_starts;
        for page in self.pages().iter() {
            for series in &mut page.lock().series {
                let id = series.id;
                if let Some(late) = series.late_mut().filter(|late| late.has_open()) {
                    let chunks = late.cut(id, with_starts, |chunk| self.hand_over(chunk, true));
                    self.count_new_chunks(u32::try_from(chunks).unwrap_or(u32::MAX));
                }
            }
        }
        let mut wbl = self.wbl.lock();
        let last_segment = match &mut *wbl {
            Some(writer) => {
                let last = writer.index();
                writer.next_segment()?;
                Some(last)
            }
            None if self.files.exists(&self.wbl_dir) => {
                segment::list(&*self.files, &self.wbl_dir)?.pop()
            }
            None => None,
        };
        Ok(LateMark {
            end: self.chunks.end(),
            last_segment,
        })
    }

    /// Returns from when on deletions and exemplars matter, if in-order samples are in blocks up to `mint`: late samples may
    /// be older.
    fn oldest_needed(&self, mint: i64) -> i64 {
        self.late_range().map_or(mint, |(late, _)| mint.min(late))
    }

    /// Returns the time range of the late chunks before `end`, if there are any.
    pub fn late_chunk_range(&self, end: ChunkRef) -> Option<(i64, i64)> {
        let mut range: Option<(i64, i64)> = None;
        for page in self.pages().iter() {
            for series in &page.lock().series {
                let late = series.late().into_iter().flat_map(|late| late.full());
                for chunk in late.filter(|chunk| chunk.chunk < end) {
                    let (mint, maxt) = range.unwrap_or((chunk.mint, chunk.maxt()));
                    range = Some((mint.min(chunk.mint), maxt.max(chunk.maxt())));
                }
            }
        }
        range
    }

    /// Forgets the late samples that are in blocks now, and their log.
    ///
    /// # Errors
    ///
    /// When files cannot be deleted.
    pub fn end_late_compaction(&self, mark: &LateMark) -> io::Result<()> {
        let (mut mint, mut maxt, mut removed) = (i64::MAX, i64::MIN, 0);
        // Memory only, and no late sample comes in between.
        let nothing_commits = self.committing.write();
        for page in self.pages().iter() {
            for series in &mut page.lock().series {
                let Some(late) = series.late_mut() else {
                    continue;
                };
                removed += late.forget_full(|chunk| chunk.chunk < mark.end);
                mint = mint.min(late.mint().unwrap_or(i64::MAX));
                maxt = maxt.max(late.maxt().unwrap_or(i64::MIN));
                if late.is_empty() {
                    series.drop_late();
                }
            }
        }
        self.late_mint.store(mint, Ordering::Relaxed);
        self.late_maxt.store(maxt, Ordering::Relaxed);
        drop(nothing_commits);
        self.metrics.chunks_removed.add(removed as f64);
        self.metrics.chunks.sub(removed as f64);
        // From here on neither the chunks nor the log of them are read at a start.
        self.mark(|marks| marks.late_end = mark.end)?;
        let Some(last) = mark.last_segment else {
            return Ok(());
        };
        for number in segment::list(&*self.files, &self.wbl_dir)? {
            if number <= last {
                let path = segment::path(&self.wbl_dir, number);
                self.files.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Forgets series that had no sample at the last call and have none now: scrapes that failed leave them behind.
    pub fn drop_empty_series(&self) {
        self.retain_series(|_, series, _| {
            let is_empty = series.first_t().is_none();
            let was_empty = std::mem::replace(&mut series.seen_empty, is_empty);
            !(was_empty && series.seen_empty)
        });
    }

    /// Forgets the series that `keep` says no to by slot, in ascending order. Handles to them are unknown from then on.
    pub(super) fn retain_series(
        &self,
        mut keep: impl FnMut(u32, &mut MemSeries, &mut Lines) -> bool,
    ) {
        let pages = self.pages();
        let mut candidates = Vec::new();
        for (page_number, page) in (0u32..).zip(pages.iter()) {
            let mut page = page.lock();
            let Page { series, lines, .. } = &mut *page;
            for (place, series) in (0u32..).zip(series) {
                // Asked for since the last look, it may be about to get a sample of a batch that is being put together.
                let is_wanted = std::mem::take(&mut series.is_wanted);
                let slot = page_number * SLOTS_PER_PAGE + place;
                if series.id != 0 && !keep(slot, series, lines) && !is_wanted {
                    candidates.push(slot);
                }
            }
            page.tidy();
        }
        if candidates.is_empty() {
            return;
        }
        // Only now, so that new series and queries do not wait for the walk; what was asked for meanwhile stays.
        let mut index = self.index.write();
        let (mut dropped, mut ids) = (Vec::new(), Vec::new());
        for run in candidates.chunk_by(|a, b| a / SLOTS_PER_PAGE == b / SLOTS_PER_PAGE) {
            let page_number = run[0] / SLOTS_PER_PAGE;
            let mut page = pages[page_number as usize].lock();
            for &slot in run {
                let series = &mut page.series[super::place_in_page(slot)];
                if series.first_t().is_none() && !series.is_wanted {
                    // The place stays, so that an old handle finds nobody there.
                    ids.push(series.id);
                    *series = MemSeries::default();
                    dropped.push(slot);
                }
            }
            let is_last = page_number as usize + 1 == self.pages.read().len();
            if !is_last && page.series.iter().all(|series| series.id == 0) {
                *page = Page::empty();
            }
        }
        if dropped.is_empty() {
            return;
        }
        index.remove(&dropped);
        self.metrics.series.set(index.len() as f64);
        drop(index);
        self.aliases
            .lock()
            .retain(|_, slot| dropped.binary_search(slot).is_err());
        self.drop_extras(&ids);
        self.metrics.series_removed.add(dropped.len() as f64);
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails; the next call tries the same files again.
    pub fn sync(&self) -> io::Result<()> {
        let mut full = self.unsynced.lock();
        let current = {
            let mut wal = self.wal.lock();
            full.extend(wal.take_full());
            wal.current()
        };
        let late = self.wbl.lock().as_mut().map(|wbl| {
            full.extend(wbl.take_full());
            wbl.current()
        });
        let start = Instant::now();
        full.iter()
            .chain([&current])
            .chain(&late)
            .try_for_each(|file| file.sync())?;
        full.clear();
        self.metrics
            .wal_fsync
            .observe(start.elapsed().as_secs_f64());
        self.chunks.sync()
    }

    /// Folds the older two thirds of the WAL into a checkpoint when there are many segments and something in them has
    /// come into a block since the last time.
    ///
    /// The checkpoint keeps the labels of live series and the samples that are not in blocks: those in head chunk files
    /// too, so that a damaged chunk can be made again from the log.
    ///
    /// # Errors
    ///
    /// When the file system fails; the log is as it was then.
    pub fn checkpoint_if_due(&self) -> io::Result<()> {
        let _alone = self.checkpointing.lock();
        checkpoint::clean(&*self.files, &self.wal_dir)?;
        let current = self.wal.lock().index();
        let full: Vec<u32> = segment::list(&*self.files, &self.wal_dir)?
            .into_iter()
            .filter(|&s| s < current)
            .collect();
        let in_blocks = self.in_blocks_until.load(Ordering::Relaxed);
        let is_done = in_blocks <= self.checkpointed_from.load(Ordering::Relaxed);
        if full.len() < SEGMENTS_BEFORE_CHECKPOINT || is_done {
            return Ok(());
        }
        self.write_checkpoint(full[full.len() * 2 / 3 - 1])?;
        self.checkpointed_from.store(in_blocks, Ordering::Relaxed);
        Ok(())
    }

    /// Folds the segments up to `last`, which must be full, into a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`checkpoint_if_due`](Head::checkpoint_if_due).
    pub fn checkpoint(&self, last: u32) -> io::Result<()> {
        let _alone = self.checkpointing.lock();
        self.write_checkpoint(last)
    }

    fn write_checkpoint(&self, last: u32) -> io::Result<()> {
        self.metrics.checkpoints.inc();
        self.try_checkpoint(last)
            .inspect_err(|_| self.metrics.checkpoints_failed.inc())
    }

    fn try_checkpoint(&self, last: u32) -> io::Result<()> {
        let mut live: Vec<(u64, u32)> = Vec::new();
        let pages = self.pages();
        for (page_number, page) in pages.iter().enumerate() {
            let page = page.lock();
            for (place, series) in page.series.iter().enumerate() {
                if series.logged {
                    let slot = page_number * PAGE_SERIES + place;
                    live.push((series.id, u32::try_from(slot).expect("slots are u32")));
                }
            }
        }
        live.extend(self.aliases.lock().iter().map(|(&id, &slot)| (id, slot)));
        live.sort_unstable();
        let is_live = |id: u64| live.binary_search_by_key(&id, |&(id, _)| id).is_ok();
        let in_blocks = self.in_blocks_until.load(Ordering::Relaxed);
        let files = std::sync::Arc::clone(&self.files);
        let mut writer =
            checkpoint::CheckpointWriter::create(files, &self.wal_dir, last, self.options.segment)?;
        for batch in live.chunks(1_000) {
            let index = self.index.read();
            let with_labels = batch
                .iter()
                .filter_map(|&(id, slot)| Some((id, index.pairs(slot)?)));
            let record = checkpoint::series_record(with_labels);
            drop(index);
            writer.append(&record)?;
        }
        writer.copy(&checkpoint::Keep {
            sample: &|id, t| in_blocks <= t && is_live(id),
            series: &is_live,
            from: self.oldest_needed(in_blocks),
        })?;
        writer.finish()
    }

    /// Gives back memory that growing has taken and nothing has filled.
    pub fn shrink(&self) {
        let mut index = self.index.write();
        index.compact_if_due();
        index.shrink();
    }

    /// Brings the gauges up to date that nobody updates on the way.
    pub fn update_gauges(&self) {
        let pages = self.pages();
        let stale = pages.iter().map(|page| {
            let page = page.lock();
            page.series.iter().filter(|s| s.is_stale()).count()
        });
        self.metrics.stale_series.set(stale.sum::<usize>() as f64);
        if let Some((mint, maxt)) = self.time_range() {
            self.metrics.min_time.set(mint as f64);
            self.metrics.max_time.set(maxt as f64);
            self.metrics.min_time_seconds.set(mint as f64 / 1e3);
            self.metrics.max_time_seconds.set(maxt as f64 / 1e3);
        }
        self.metrics
            .symbol_table_bytes
            .set(self.index.read().symbols().heap_bytes() as f64);
        self.metrics
            .wal_bytes
            .set(crate::files::tree_bytes(&*self.files, &self.wal_dir) as f64);
        if let Some(dir) = self.wal_dir.parent() {
            let bytes = crate::files::tree_bytes(&*self.files, &dir.join("chunks_head"));
            self.metrics.head_chunk_bytes.set(bytes as f64);
        }
    }
}
