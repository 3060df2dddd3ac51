//! The threads that scrape loops run on.
//!
//! A loop stays on one thread for good, so what it reads and writes each time (its line cache, the buffers, the ends of its
//! series) is in that processor's caches, and no other thread has to be woken for it. Decision 19 has the figures.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many lanes there are at most: a lane scrapes some millions of samples a second.
const LANES_MAX: usize = 8;
/// How many threads of its own a lane may have at once, for host names that are resolved and for long bodies.
const BLOCKING_THREADS_MAX: usize = 64;

/// A few threads, each with a runtime of its own.
pub(crate) struct Lanes {
    handles: Vec<Handle>,
    next: AtomicUsize,
    tasks: TaskTracker,
}

impl Lanes {
    /// Starts a lane for every two processors. They end when `shutdown` is said and `tasks` is closed and empty.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no poll instance.
    pub(crate) fn start(shutdown: &CancellationToken, tasks: &TaskTracker) -> io::Result<Lanes> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let lanes = (processors / 2).clamp(1, LANES_MAX);
        let handles: io::Result<Vec<Handle>> = (0..lanes)
            .map(|lane| start_lane(lane, shutdown.clone(), tasks.clone()))
            .collect();
        Ok(Lanes {
            handles: handles?,
            next: AtomicUsize::new(0),
            tasks: tasks.clone(),
        })
    }

    /// Runs `task` on the lane whose turn it is.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = &self.handles[turn % self.handles.len()];
        self.tasks.spawn_on(task, lane);
    }
}

fn start_lane(lane: usize, shutdown: CancellationToken, tasks: TaskTracker) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    let handle = runtime.handle().clone();
    let run = move || {
        runtime.block_on(async move {
            shutdown.cancelled().await;
            tasks.wait().await;
        });
    };
    std::thread::Builder::new()
        .name(format!("scrape-{lane}"))
        .spawn(run)?;
    Ok(handle)
}
