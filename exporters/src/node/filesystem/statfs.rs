//! Asking mounts how full they are, some of which never answer.
//!
//! statfs(2) on a mount whose server is gone hangs in the kernel, and nothing can call it back. So mounts are asked on
//! threads of their own:
//!
//! ```text
//! ask ── list of paths ──► worker (one; more if it takes long) ── results ──► ask, until all are in or time is up
//! ```
//!
//! # Invariants
//!
//! 1. [`Asker::ask`] returns within the timeout, with one result per path.
//! 2. A path that did not answer in time is stuck: it is not asked again until the thread that waits for it returns.
//! 3. There are at most [`THREADS_MAX`] threads, stuck ones included. With all of them taken, mounts that nobody asked
//!    are reported as not answering.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const THREADS_MAX: usize = 64;

/// A worker that has given nothing for this long gets company.
const PATIENCE: Duration = Duration::from_millis(50);

const TIMED_OUT: &str = "mountpoint timeout";

/// How full a file system is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    pub(super) size_bytes: f64,
    pub(super) free_bytes: f64,
    /// What is left for others than root.
    pub(super) avail_bytes: f64,
    pub(super) files: f64,
    pub(super) files_free: f64,
}

/// Asks mounts, and remembers which are stuck.
pub(super) struct Asker {
    timeout: Duration,
    workers_max: usize,
    shared: Arc<Shared>,
}

struct Shared {
    statfs: fn(&Path) -> io::Result<Usage>,
    stuck: Mutex<HashSet<PathBuf>>,
    threads: AtomicUsize,
}

/// One scrape's paths. Workers take them in order.
struct Batch {
    paths: Vec<PathBuf>,
    next: AtomicUsize,
    /// By path: whether its result is in. Locked after `Shared::stuck`.
    answered: Mutex<Vec<bool>>,
    results: Sender<(usize, Result<Usage, String>)>,
}

impl Asker {
    pub(super) fn new(timeout: Duration, workers_max: usize) -> Self {
        Self::with_statfs(timeout, workers_max, statfs)
    }

    fn with_statfs(
        timeout: Duration,
        workers_max: usize,
        statfs: fn(&Path) -> io::Result<Usage>,
    ) -> Self {
        let shared = Shared {
            statfs,
            stuck: Mutex::default(),
            threads: AtomicUsize::new(0),
        };
        Self {
            timeout,
            workers_max: workers_max.max(1),
            shared: Arc::new(shared),
        }
    }

    /// Returns usage or what is wrong, in the order of `paths`.
    pub(super) fn ask(&self, paths: Vec<PathBuf>) -> Vec<Result<Usage, String>> {
        let mut answers = vec![Err(TIMED_OUT.to_owned()); paths.len()];
        let stuck = self.shared.stuck.lock().clone();
        let (places, paths): (Vec<_>, Vec<_>) = paths
            .into_iter()
            .enumerate()
            .filter(|(_, path)| !stuck.contains(path))
            .unzip();
        if paths.is_empty() {
            return answers;
        }
        let (results, received) = mpsc::channel();
        let answered = Mutex::new(vec![false; paths.len()]);
        let batch = Arc::new(Batch {
            paths,
            next: AtomicUsize::new(0),
            answered,
            results,
        });
        let deadline = Instant::now() + self.timeout;
        let (mut workers, mut missing) = (0, places.len());
        self.add_worker(&batch, &mut workers);
        while 0 < missing {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if workers < self.workers_max {
                left.min(PATIENCE)
            } else {
                left
            };
            match received.recv_timeout(wait) {
                Ok((index, answer)) => {
                    answers[places[index]] = answer;
                    missing -= 1;
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {
                    self.add_worker(&batch, &mut workers)
                }
                Err(_) => {
                    self.shared.give_up(&batch);
                    break;
                }
            }
        }
        answers
    }

    /// Starts a worker, unless there are too many threads. One that cannot start is not missed: others go on, or time
    /// runs out.
    fn add_worker(&self, batch: &Arc<Batch>, workers: &mut usize) {
        *workers += 1;
        let threads = &self.shared.threads;
        if THREADS_MAX <= threads.fetch_add(1, Ordering::Relaxed) {
            threads.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (shared, batch) = (Arc::clone(&self.shared), Arc::clone(batch));
        let worker = thread::Builder::new()
            .name("statfs".to_owned())
            .stack_size(64 << 10);
        let started = worker.spawn(move || {
            shared.work(&batch);
            shared.threads.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            threads.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn work(&self, batch: &Batch) {
        loop {
            let index = batch.next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = batch.paths.get(index) else {
                return;
            };
            let answer = (self.statfs)(path).map_err(|error| describe(&error));
            {
                let mut stuck = self.stuck.lock();
                batch.answered.lock()[index] = true;
                stuck.remove(path);
            }
            // Nobody listens once time is up.
            if batch.results.send((index, answer)).is_err() {
                return;
            }
        }
    }

    /// Marks what was asked and did not answer as stuck, and keeps workers from taking more.
    fn give_up(&self, batch: &Batch) {
        let mut stuck = self.stuck.lock();
        let taken = batch.next.fetch_add(batch.paths.len(), Ordering::Relaxed);
        let answered = batch.answered.lock();
        let asked = batch.paths.iter().zip(&*answered).take(taken);
        for (path, _) in asked.filter(|(_, answered)| !**answered) {
            tracing::warn!(path = %path.display(), "mount does not answer; it is left out until it does");
            stuck.insert(path.clone());
        }
    }
}

fn statfs(path: &Path) -> io::Result<Usage> {
    let stat = rustix::fs::statfs(path)?;
    let block_bytes = stat.f_bsize as f64;
    Ok(Usage {
        size_bytes: stat.f_blocks as f64 * block_bytes,
        free_bytes: stat.f_bfree as f64 * block_bytes,
        avail_bytes: stat.f_bavail as f64 * block_bytes,
        files: stat.f_files as f64,
        files_free: stat.f_ffree as f64,
    })
}

/// Describes an error as Go does: in lower case, without the number.
fn describe(error: &io::Error) -> String {
    const ESTALE: i32 = 116;
    if error.raw_os_error() == Some(ESTALE) {
        return "stale NFS file handle".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        size_bytes: 1.0,
        free_bytes: 1.0,
        avail_bytes: 1.0,
        files: 1.0,
        files_free: 1.0,
    };

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    /// Blocks on `/stuck` for as long as the lock is held.
    static STUCK: Mutex<()> = Mutex::new(());

    fn fake(path: &Path) -> io::Result<Usage> {
        match path.to_str() {
            Some("/stuck") => drop(STUCK.lock()),
            Some("/gone") => return Err(io::Error::from_raw_os_error(2)),
            _ => {}
        }
        Ok(USAGE)
    }

    #[test]
    fn a_stuck_mount_costs_one_timeout_and_comes_back() {
        let asker = Asker::with_statfs(Duration::from_millis(200), 4, fake);
        let timed_out = Err(TIMED_OUT.to_owned());
        let held = STUCK.lock();
        let answers = asker.ask(paths(&["/a", "/stuck", "/b", "/gone"]));
        let gone = Err("no such file or directory".to_owned());
        assert_eq!(answers, [Ok(USAGE), timed_out.clone(), Ok(USAGE), gone]);

        // Now that it is known to be stuck, nobody waits for it.
        let patient = Asker {
            timeout: Duration::from_secs(3_600),
            workers_max: 1,
            shared: Arc::clone(&asker.shared),
        };
        assert_eq!(
            patient.ask(paths(&["/stuck", "/a"])),
            [timed_out.clone(), Ok(USAGE)]
        );
        assert_eq!(patient.ask(paths(&["/stuck"])), [timed_out]);

        drop(held);
        while !asker.shared.stuck.lock().is_empty() {
            thread::yield_now();
        }
        assert_eq!(asker.ask(paths(&["/stuck"])), [Ok(USAGE)]);
    }

    #[test]
    fn no_mounts_no_threads() {
        let asker = Asker::with_statfs(Duration::ZERO, 0, fake);
        assert_eq!(asker.ask(Vec::new()), []);
        assert_eq!(asker.shared.threads.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn more_threads_than_allowed_are_not_started() {
        let asker = Asker::with_statfs(Duration::from_millis(10), 1, fake);
        asker.shared.threads.store(THREADS_MAX, Ordering::Relaxed);
        assert_eq!(asker.ask(paths(&["/a"])), [Err(TIMED_OUT.to_owned())]);
        assert!(asker.shared.stuck.lock().is_empty());
        assert_eq!(asker.shared.threads.load(Ordering::Relaxed), THREADS_MAX);
    }

    #[test]
    fn errors_read_like_those_of_go() {
        let describe = |code| super::describe(&io::Error::from_raw_os_error(code));
        assert_eq!(describe(13), "permission denied");
        assert_eq!(describe(107), "transport endpoint is not connected");
        assert_eq!(describe(116), "stale NFS file handle");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_root_answers() {
        let usage = Asker::new(Duration::from_secs(5), 4)
            .ask(paths(&["/"]))
            .remove(0)
            .unwrap();
        assert!(0.0 < usage.size_bytes);
    }
}
