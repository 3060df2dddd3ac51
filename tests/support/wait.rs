//! Waiting with a deadline, and the time of day.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a process may take to be ready, a target to be scraped, a page to come: long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the first success of `attempt`, asked every 50 ms; fails with the last reason after `limit`.
#[track_caller]
pub(crate) fn eventually<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) => assert!(
                started.elapsed() < limit,
                "{what}: not within {limit:?}: {reason}"
            ),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is behind 1970");
    i64::try_from(since_epoch.as_millis()).expect("the clock is ahead of every calendar")
}

/// Returns `ms` milliseconds as the decimal seconds that the HTTP API takes.
pub(crate) fn as_seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Returns a moment `seconds` from now as the Alertmanager's API has it.
pub(crate) fn moment(seconds: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(now_ms() + seconds * 1_000)
        .expect("the clock is ahead of every calendar");
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
