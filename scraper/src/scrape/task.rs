//! The scrape loop: one task per target that sleeps, fetches and stores, until it is told to end.
//!
//! Ticks lie on a grid in wall-clock time: multiples of the interval plus the target's offset. So a target is scraped at
//! the same places after a restart, and a reload that keeps its interval neither skips a tick nor adds one.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use metrics::Summary;
use model::trace::Tracer;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::WaitForCancellationFuture;

use super::ScrapeError;
use super::fetch::{self, Fetched};
use super::ingest::{Outcome, Scrape, SeriesState};
use super::scratch::Scratch;
use crate::failure_log::Failure;
use crate::job::Job;
use crate::manager::Shared;
use crate::metadata::MetadataSet;
use crate::target::Target;

/// Bodies up to this size are read right on the lane; longer ones would hold up other targets' timers.
const INLINE_BYTES_MAX: usize = 256 * 1024;
/// The same for compressed bodies, if their target's last one was short too.
const INLINE_COMPRESSED_BYTES_MAX: usize = INLINE_BYTES_MAX / 16;
/// How much earlier a timer is set than its tick: timers fire on the millisecond after the one that was asked for.
const TIMER_LEAD_MS: i64 = 1;

/// What a loop is told to do.
#[derive(Clone)]
pub(crate) enum Order {
    /// Scrape this.
    Scrape(Assignment),
    /// The target is gone: say so to storage if it does not come back soon, then stop.
    End,
}

/// What to scrape and how.
#[derive(Clone)]
pub(crate) struct Assignment {
    pub(crate) job: Arc<Job>,
    pub(crate) target: Arc<Target>,
    /// Why the target must not be scraped, if it must not; each scrape fails with it.
    pub(crate) forbidden: Option<Arc<str>>,
}

/// Whether the last scrape went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    /// It did.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// Returns the word that the HTTP API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// How the last scrape of a target went; written by its loop, read by the API.
#[derive(Default)]
pub(crate) struct TargetStatus(Mutex<Status>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub(crate) health: Health,
    pub(crate) last_error: String,
    /// When the last scrape began, milliseconds since the epoch; 0 before the first.
    pub(crate) last_scrape_ms: i64,
    pub(crate) last_duration_s: f64,
    pub(crate) metadata: Option<MetadataSet>,
}

impl TargetStatus {
    pub(crate) fn read(&self) -> Status {
        self.0.lock().clone()
    }
}

/// Scrapes one target.
pub(crate) struct Loop {
    shared: Arc<Shared>,
    orders: watch::Receiver<Order>,
    status: Arc<TargetStatus>,
    /// Away while a long body is worked on.
    state: Option<Box<SeriesState>>,
    /// What the lines of `state` were read with.
    read_with: Option<Assignment>,
    /// What is sent to the target besides its URL.
    headers: HeaderMap,
    /// How far apart the scrapes of its interval are.
    interval_length: Option<Summary>,
    last_tick_ms: i64,
    last_started: Option<Instant>,
}

/// Why a loop stopped doing what it did.
enum Interruption {
    NewOrder,
    Shutdown,
}

impl Loop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        orders: watch::Receiver<Order>,
        status: Arc<TargetStatus>,
    ) -> Self {
        Loop {
            shared,
            orders,
            status,
            state: Some(Box::default()),
            read_with: None,
            headers: HeaderMap::new(),
            interval_length: None,
            last_tick_ms: i64::MIN,
            last_started: None,
        }
    }

    /// Scrapes until told to end, or until everything shuts down.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        // Waited for beside all else, so it is made once.
        let mut shutdown = pin!(shared.shutdown.cancelled());
        loop {
            let order = self.orders.borrow_and_update().clone();
            let interruption = match order {
                Order::Scrape(assignment) => {
                    self.scrape_on_ticks(&assignment, shutdown.as_mut()).await
                }
                Order::End => return self.end().await,
            };
            if let Interruption::Shutdown = interruption {
                return;
            }
        }
    }

    async fn scrape_on_ticks(
        &mut self,
        assignment: &Assignment,
        mut shutdown: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Interruption {
        let target = &assignment.target;
        let interval_ms = target.interval.as_ms();
        let offset_ms = target.offset_ms(assignment.job.offset_seed);
        self.adapt_to(assignment);
        loop {
            let now_ms = self.shared.clock.now_ms();
            let tick_ms = next_tick(self.last_tick_ms, now_ms, interval_ms, offset_ms);
            tokio::select! {
                biased;
                () = shutdown.as_mut() => return Interruption::Shutdown,
                changed = self.orders.changed() => {
                    // The pool drops the sender only when everything shuts down.
                    return if changed.is_ok() { Interruption::NewOrder } else { Interruption::Shutdown };
                }
                () = sleep_ms(tick_ms - now_ms - TIMER_LEAD_MS) => (),
            }
            self.last_tick_ms = tick_ms;
            let t = self.timestamp(tick_ms, interval_ms);
            if !self.scrape(assignment, t, shutdown.as_mut()).await {
                return Interruption::Shutdown;
            }
        }
    }

    /// Forgets what became of lines if that is different now.
    fn adapt_to(&mut self, assignment: &Assignment) {
        let reads_like = |before: &Assignment| {
            before.job.reads_like(&assignment.job)
                && before.target.labels == assignment.target.labels
        };
        if !self.read_with.as_ref().is_none_or(reads_like)
            && let Some(state) = &mut self.state
        {
            state.invalidate();
        }
        self.headers = assignment.job.headers_for(&assignment.target);
        self.interval_length = None;
        self.read_with = Some(assignment.clone());
    }

    /// Returns the time of the tick if that is nearly now: timestamps at equal distances compress to nearly nothing.
    fn timestamp(&self, tick_ms: i64, interval_ms: i64) -> i64 {
        let now_ms = self.shared.clock.now_ms();
        let tolerance = model::Duration::from(self.shared.options.timestamp_tolerance);
        let is_close = (now_ms - tick_ms).abs() <= tolerance.as_ms().min(interval_ms / 100);
        if is_close { tick_ms } else { now_ms }
    }

    /// Scrapes once. Returns `false` if everything shuts down meanwhile.
    async fn scrape(
        &mut self,
        assignment: &Assignment,
        t: i64,
        shutdown: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> bool {
        let started = Instant::now();
        let last = self.last_started.replace(started);
        if let Some(last) = last {
            let length = self.interval_length.get_or_insert_with(|| {
                let interval = assignment.target.interval.to_string();
                self.shared.metrics.interval_length.with(&[&interval])
            });
            length.observe((started - last).as_secs_f64());
        }
        let mut scratch = self.shared.scratches.take();
        let fetched = tokio::select! {
            biased;
            () = shutdown => return false,
            fetched = fetch_unless_forbidden(assignment, &self.headers, &mut scratch, &self.shared.options.tracer) => fetched,
        };
        let outcome = self.ingest(assignment, scratch, fetched, t, started).await;
        self.log_failure(assignment, &outcome);
        self.report(outcome, t);
        true
    }

    /// Stores what was fetched, here or on a thread of its own.
    async fn ingest(
        &mut self,
        assignment: &Assignment,
        mut scratch: Box<Scratch>,
        fetched: Result<Fetched, ScrapeError>,
        t: i64,
        started: Instant,
    ) -> Outcome {
        let mut state = self.state.take().unwrap_or_default();
        let is_short = is_short(&fetched, scratch.raw.len(), state.body_bytes());
        let shared = Arc::clone(&self.shared);
        let assignment = assignment.clone();
        let work = move || {
            let scrape = Scrape {
                job: &assignment.job,
                target: &assignment.target,
                storage: &*shared.storage,
                metrics: &shared.metrics,
                interner: &shared.interner,
                t,
                started,
            };
            let outcome = scrape.ingest_unwinding(&mut state, &mut scratch, fetched);
            shared.scratches.give(scratch);
            (state, outcome)
        };
        let done = if is_short {
            Ok(work())
        } else {
            // Closed never.
            let _permit = self.shared.long_work.acquire().await;
            tokio::task::spawn_blocking(work).await
        };
        let Ok((state, outcome)) = done else {
            let error = Some(ScrapeError::Forced("the scrape was cancelled".to_owned()));
            return Outcome {
                duration_s: started.elapsed().as_secs_f64(),
                error,
            };
        };
        self.state = Some(state);
        outcome
    }

    /// Adds a line to the job's log of failed scrapes, if this was one.
    fn log_failure(&self, assignment: &Assignment, outcome: &Outcome) {
        if let (Some(path), Some(error)) = (&assignment.job.failure_log, &outcome.error) {
            let failure = Failure {
                at_ms: self.shared.clock.now_ms(),
                job: &assignment.job.config.job_name,
                target: &assignment.target.url.to_string(),
                error: &error.to_string(),
            };
            self.shared.failure_logs.write(path, failure);
        }
    }

    fn report(&self, outcome: Outcome, t: i64) {
        let mut status = self.status.0.lock();
        status.health = if outcome.error.is_none() {
            Health::Up
        } else {
            Health::Down
        };
        status.last_error.clear();
        if let Some(error) = &outcome.error {
            use std::fmt::Write as _;
            write!(status.last_error, "{error}").ok();
        }
        status.last_scrape_ms = t;
        status.last_duration_s = outcome.duration_s;
        let metadata = self.state.as_ref().and_then(|state| state.metadata());
        if let Some(metadata) = metadata
            && !status
                .metadata
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, metadata))
        {
            status.metadata = Some(Arc::clone(metadata));
        }
    }

    /// Says that the target's series ended, a little more than two intervals later: until then the target may come back
    /// under another loop, whose samples the markers must not get in the way of.
    async fn end(mut self) {
        let Some(Assignment { job, target, .. }) = self.read_with.clone() else {
            return;
        };
        let interval_ms = target.interval.as_ms();
        let now_ms = self.shared.clock.now_ms();
        let tick_ms = next_tick(
            self.last_tick_ms,
            now_ms,
            interval_ms,
            target.offset_ms(job.offset_seed),
        );
        let wait_ms = tick_ms - now_ms + interval_ms + interval_ms / 10;
        tokio::select! {
            biased;
            () = self.shared.shutdown.cancelled() => return,
            () = sleep_ms(wait_ms) => (),
        }
        let Some(state) = &mut self.state else {
            return;
        };
        let mut scratch = self.shared.scratches.take();
        let scrape = Scrape {
            job: &job,
            target: &target,
            storage: &*self.shared.storage,
            metrics: &self.shared.metrics,
            interner: &self.shared.interner,
            t: tick_ms,
            started: Instant::now(),
        };
        scrape.end(state, &mut scratch);
        self.shared.scratches.give(scratch);
    }
}

/// Returns whether working on what was fetched is a matter of a moment.
///
/// * `last_bytes`: how long the body before was, uncompressed, if that is known.
fn is_short(
    fetched: &Result<Fetched, ScrapeError>,
    raw_bytes: usize,
    last_bytes: Option<usize>,
) -> bool {
    let was_short = last_bytes.map(|bytes| bytes <= INLINE_BYTES_MAX);
    match fetched {
        Ok(fetched) if fetched.is_compressed() => {
            raw_bytes <= INLINE_COMPRESSED_BYTES_MAX && was_short == Some(true)
        }
        Ok(_) => raw_bytes <= INLINE_BYTES_MAX,
        // All that there was ends.
        Err(_) => was_short != Some(false),
    }
}

async fn fetch_unless_forbidden(
    assignment: &Assignment,
    headers: &HeaderMap,
    scratch: &mut Scratch,
    tracer: &Tracer,
) -> Result<Fetched, ScrapeError> {
    match &assignment.forbidden {
        Some(reason) => Err(ScrapeError::Forced(reason.to_string())),
        None => {
            fetch::fetch(
                &assignment.job,
                &assignment.target,
                headers,
                &mut scratch.raw,
                tracer,
            )
            .await
        }
    }
}

async fn sleep_ms(ms: i64) {
    tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap_or(0))).await;
}

/// Returns the next tick of the grid `offset + n · interval` after `last`: the one that was missed last, or else the first
/// that comes. `last` is `i64::MIN` before the first.
fn next_tick(last_ms: i64, now_ms: i64, interval_ms: i64, offset_ms: i64) -> i64 {
    let passed_ms = now_ms - (now_ms - offset_ms).rem_euclid(interval_ms);
    let is_now = passed_ms == now_ms;
    // A tick that passed while the scrape before it still ran is made up for at once; older ones are not.
    let is_missed = last_ms != i64::MIN && last_ms < passed_ms;
    match passed_ms + interval_ms {
        _ if is_missed || is_now && last_ms < now_ms => passed_ms,
        // The timer came early.
        next_ms if next_ms == last_ms => next_ms + interval_ms,
        next_ms => next_ms,
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let (Some(metadata), Some(Assignment { job, .. })) = (
            self.state.as_ref().and_then(|state| state.metadata()),
            &self.read_with,
        ) {
            self.shared
                .forget_metadata(&job.config.job_name, metadata.len());
        }
        if std::thread::panicking() {
            tracing::error!("a scrape loop panicked; its target is not scraped any more");
            let mut status = self.status.0.lock();
            status.health = Health::Down;
            "the scrape loop panicked, see the log".clone_into(&mut status.last_error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{BodyFormat, Format};

    #[test]
    fn compressed_bodies_must_prove_that_they_are_short() {
        let plain = || Ok(Fetched::plain(BodyFormat::Lines(Format::Text)));
        let zstd = || Ok(Fetched::zstd(BodyFormat::Lines(Format::Text)));
        let failed = || Err(ScrapeError::SampleLimit);
        let (short, long) = (Some(INLINE_BYTES_MAX), Some(INLINE_BYTES_MAX + 1));
        assert!(is_short(&plain(), INLINE_BYTES_MAX, long));
        assert!(!is_short(&plain(), INLINE_BYTES_MAX + 1, short));
        assert!(is_short(&zstd(), INLINE_BYTES_MAX / 16, short));
        assert!(!is_short(&zstd(), INLINE_BYTES_MAX / 16 + 1, short));
        assert!(!is_short(&zstd(), 1, long));
        assert!(!is_short(&zstd(), 1, None));
        assert!(is_short(&failed(), 0, None));
        assert!(!is_short(&failed(), 0, long));
    }

    #[test]
    fn ticks_lie_on_the_grid() {
        assert_eq!(next_tick(i64::MIN, 1_000, 100, 30), 1_030);
        assert_eq!(next_tick(i64::MIN, 1_030, 100, 30), 1_030);
        assert_eq!(next_tick(1_030, 1_030, 100, 30), 1_130);
        assert_eq!(next_tick(1_030, 1_050, 100, 30), 1_130);
        // The scrape took longer than the interval: one tick is made up for, however many passed.
        assert_eq!(next_tick(1_030, 1_140, 100, 30), 1_130);
        assert_eq!(next_tick(1_030, 1_540, 100, 30), 1_530);
        // The timer came early.
        assert_eq!(next_tick(1_030, 1_029, 100, 30), 1_130);
        // The clock went back.
        assert_eq!(next_tick(1_030, 900, 100, 30), 930);
    }
}
