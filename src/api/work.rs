//! Where the work of requests is done.

use std::panic::AssertUnwindSafe;

use tokio::sync::Semaphore;

use super::Handled;
use super::error::ApiError;

/// Runs `work` on a thread that may block.
pub(super) async fn blocking(work: impl FnOnce() -> Handled + Send + 'static) -> Handled {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ended_badly(&error)))
}

fn ended_badly(why: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(error = %why, "a request handler ended badly");
    ApiError::Internal("the request could not be processed; the log says why".to_owned())
}

/// Work that is done where its request was read, as waking another thread and waiting for it takes as long: some
/// milliseconds at most, and never on all of the runtime's threads at once.
pub(crate) struct AtOnce {
    permits: Semaphore,
}

impl AtOnce {
    /// For a runtime of so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        AtOnce {
            permits: Semaphore::new(threads.saturating_sub(1)),
        }
    }

    /// Runs `work` here if it `is_short` and another thread is left for all else, otherwise as [`blocking`] does.
    pub(super) async fn run(
        &self,
        is_short: bool,
        work: impl FnOnce() -> Handled + Send + 'static,
    ) -> Handled {
        let permit = if is_short {
            self.permits.try_acquire().ok()
        } else {
            None
        };
        if permit.is_none() {
            return blocking(work).await;
        }
        // Nothing that `work` has is looked at afterwards.
        std::panic::catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(ended_badly(&"it panicked")))
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{ThreadId, current};
    use std::time::Duration;

    use axum::response::IntoResponse as _;
    use http::StatusCode;

    use super::*;

    /// Runs work that tells which thread it is on.
    async fn thread_of(at_once: &AtOnce, is_short: bool) -> ThreadId {
        let (tell, told) = std::sync::mpsc::channel();
        let work = move || {
            tell.send(current().id()).unwrap();
            Ok(StatusCode::OK.into_response())
        };
        assert!(at_once.run(is_short, work).await.is_ok());
        told.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    #[tokio::test]
    async fn short_work_stays_while_another_thread_is_left() {
        let here = current().id();
        let two = AtOnce::new(2);
        assert_eq!(thread_of(&two, true).await, here);
        assert_ne!(thread_of(&two, false).await, here);
        // The permit has come back; while one is out, all else goes elsewhere.
        assert_eq!(thread_of(&two, true).await, here);
        let held = two.permits.try_acquire().unwrap();
        assert_ne!(thread_of(&two, true).await, here);
        drop(held);
        for threads in [0, 1] {
            assert_ne!(thread_of(&AtOnce::new(threads), true).await, here);
        }
    }

    #[tokio::test]
    async fn panics_are_answers() {
        let two = AtOnce::new(2);
        for is_short in [true, false, true] {
            let outcome = two.run(is_short, || panic!("on purpose")).await;
            assert!(matches!(outcome, Err(ApiError::Internal(_))));
        }
    }
}
