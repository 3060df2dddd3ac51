//! Isolation: a query never sees half of a batch.
//!
//! A [`View`] has a number, the *epoch*. Opening one waits until no batch is half applied; what is applied later is
//! hidden from it. Since the in-order samples of a series ascend, what a view may see of a series ends at a time: the
//! first batch that touches a series after a view was opened writes down the time before ([`Marks`]). Without open views
//! nothing is written down.
//!
//! Late (out-of-order) samples are not isolated, as in Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};
use smallvec::SmallVec;

/// Which views are open, and which batches are being applied.
#[derive(Default)]
pub struct Isolation {
    /// Shared while a batch is applied, exclusive while a view is opened.
    applying: RwLock<()>,
    open: Mutex<Open>,
    closed: Condvar,
    /// The newest open view's epoch, 0 without one.
    newest: AtomicU64,
    /// The oldest.
    oldest: AtomicU64,
}

#[derive(Default)]
struct Open {
    last: u64,
    /// Epoch → the earliest time that the view reads.
    views: BTreeMap<u64, i64>,
}

/// What one query may see. Dropping it ends it.
pub struct View<'a> {
    isolation: &'a Isolation,
    epoch: u64,
}

/// A batch being applied.
pub struct Applying<'a> {
    _guard: RwLockReadGuard<'a, ()>,
    /// The newest open view, 0 without one.
    pub newest: u64,
    /// The oldest open view, 0 without one.
    pub oldest: u64,
}

impl Isolation {
    /// Opens a view that reads from `mint` on: it sees what is applied by now and nothing later.
    pub fn view(&self, mint: i64) -> View<'_> {
        let _no_batch = self.applying.write();
        let mut open = self.open.lock();
        open.last += 1;
        let epoch = open.last;
        open.views.insert(epoch, mint);
        self.newest.store(epoch, Ordering::Release);
        let oldest = open.views.first_key_value().map_or(0, |(&epoch, _)| epoch);
        self.oldest.store(oldest, Ordering::Release);
        View {
            isolation: self,
            epoch,
        }
    }

    /// Begins to apply a batch. Its samples are seen by all views that are opened after the end, and no other.
    pub fn apply(&self) -> Applying<'_> {
        let guard = self.applying.read();
        Applying {
            _guard: guard,
            newest: self.newest.load(Ordering::Acquire),
            oldest: self.oldest.load(Ordering::Acquire),
        }
    }

    /// Waits until no view is open that was open at the call and reads before `mint`; gives up when `is_stopped` says
    /// so. Returns whether it is so.
    pub fn wait_for_readers_before(&self, mint: i64, is_stopped: &dyn Fn() -> bool) -> bool {
        let mut open = self.open.lock();
        let last = open.last;
        while open
            .views
            .iter()
            .any(|(&epoch, &from)| epoch <= last && from < mint)
        {
            if is_stopped() {
                return false;
            }
            self.closed.wait_for(&mut open, Duration::from_millis(100));
        }
        true
    }
}

impl View<'_> {
    /// Returns the view's number.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let mut open = self.isolation.open.lock();
        open.views.remove(&self.epoch);
        let newest = open.views.last_key_value().map_or(0, |(&epoch, _)| epoch);
        self.isolation.newest.store(newest, Ordering::Release);
        let oldest = open.views.first_key_value().map_or(0, |(&epoch, _)| epoch);
        self.isolation.oldest.store(oldest, Ordering::Release);
        drop(open);
        self.isolation.closed.notify_all();
    }
}

/// For the series of one page, by place: until when the open views see them.
#[derive(Default)]
pub struct Marks(HashMap<u8, SmallVec<[(u64, i64); 1]>>);

impl Marks {
    /// Writes down that the samples of a series after `before` are hidden from the views that are open, and forgets what
    /// only views needed that are closed.
    pub fn hide_after(&mut self, place: u8, applying: &Applying<'_>, before: i64) {
        let newest = applying.newest;
        if newest == 0 {
            if !self.0.is_empty() {
                self.0 = HashMap::new();
            }
            return;
        }
        let marks = self.0.entry(place).or_default();
        marks.retain(|&mut (epoch, _)| applying.oldest <= epoch);
        if marks.last().is_none_or(|&(epoch, _)| epoch < newest) {
            marks.push((newest, before));
        }
    }

    /// Returns the newest time at which the view sees a sample of the series; `i64::MAX` when it sees all.
    pub fn visible_until(&self, place: u8, epoch: u64) -> i64 {
        let Some(marks) = self.0.get(&place) else {
            return i64::MAX;
        };
        let first = marks.iter().find(|&&(hidden_from, _)| epoch <= hidden_from);
        first.map_or(i64::MAX, |&(_, before)| before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_sees_what_was_there_when_it_was_opened() {
        let isolation = Isolation::default();
        let mut marks = Marks::default();
        marks.hide_after(3, &isolation.apply(), 10);
        let first = isolation.view(0);
        marks.hide_after(3, &isolation.apply(), 20);
        marks.hide_after(3, &isolation.apply(), 30);
        let second = isolation.view(0);
        assert_eq!(marks.visible_until(3, first.epoch()), 20);
        assert_eq!(marks.visible_until(3, second.epoch()), i64::MAX);
        assert_eq!(marks.visible_until(4, first.epoch()), i64::MAX);
        marks.hide_after(3, &isolation.apply(), 40);
        assert_eq!(marks.visible_until(3, first.epoch()), 20);
        assert_eq!(marks.visible_until(3, second.epoch()), 40);
        drop(second);
        marks.hide_after(3, &isolation.apply(), 50);
        assert_eq!(marks.visible_until(3, first.epoch()), 20);
        let third = isolation.view(0);
        assert_eq!(marks.visible_until(3, third.epoch()), i64::MAX);
        drop((first, third));
        marks.hide_after(3, &isolation.apply(), 60);
        assert!(marks.0.is_empty());
    }

    #[test]
    fn waiting_ends_with_the_readers_that_were_there() {
        let isolation = Isolation::default();
        let never = || false;
        assert!(isolation.wait_for_readers_before(100, &never));
        let reads_later = isolation.view(100);
        assert!(isolation.wait_for_readers_before(100, &never));
        let view = isolation.view(99);
        assert!(!isolation.wait_for_readers_before(100, &|| true));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| isolation.wait_for_readers_before(100, &never));
            std::thread::sleep(Duration::from_millis(20));
            drop(view);
            assert!(waiting.join().unwrap());
        });
        drop(reads_later);
    }
}
