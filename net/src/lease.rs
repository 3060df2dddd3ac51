//! What ends, and is asked for again before it does: credentials and tokens of clouds.

use std::future::Future;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

/// How long before its end something is asked for anew.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// Something that ends, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease<T> {
    /// What it is.
    pub value: T,
    /// When it ends; `None`: it does not.
    pub ends: Option<Timestamp>,
}

impl<T> Lease<T> {
    /// Returns a lease that does not end.
    pub fn endless(value: T) -> Self {
        Lease { value, ends: None }
    }

    /// Whether it ends within five minutes, or has ended.
    fn is_short(&self, now: Timestamp) -> bool {
        self.ends
            .is_some_and(|ends| ends.duration_since(now) <= MARGIN)
    }

    /// Whether it has ended.
    fn is_over(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// The newest lease. One serves all requests; while a new one is asked for, others wait.
#[derive(Debug)]
pub struct Leases<T>(Mutex<Option<Lease<T>>>);

impl<T> Default for Leases<T> {
    fn default() -> Self {
        Leases(Mutex::new(None))
    }
}

impl<T: Clone> Leases<T> {
    /// Returns what is valid now: what we have, or, if that ends within five minutes, what `renew` comes to.
    ///
    /// # Errors
    ///
    /// That of `renew`, if what we have has ended. The next call tries again.
    pub async fn get<E>(&self, renew: impl Future<Output = Result<Lease<T>, E>>) -> Result<T, E> {
        let mut held = self.0.lock().await;
        let now = Timestamp::now();
        if let Some(lease) = held.as_ref().filter(|lease| !lease.is_short(now)) {
            return Ok(lease.value.clone());
        }
        match renew.await {
            Ok(lease) => Ok(held.insert(lease).value.clone()),
            Err(error) => match held.as_ref().filter(|lease| !lease.is_over(now)) {
                Some(lease) => Ok(lease.value.clone()),
                None => Err(error),
            },
        }
    }

    /// Forgets what we have, because it was refused.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_in(minutes: i64) -> Option<Timestamp> {
        Some(Timestamp::now() + SignedDuration::from_mins(minutes))
    }

    /// What three calls return, the second and third of which would get something new or an error.
    async fn three(ends: Option<Timestamp>) -> Vec<Result<u8, &'static str>> {
        let leases = Leases::default();
        let renewals = [
            Ok(Lease { value: 1, ends }),
            Err("refused"),
            Ok(Lease::endless(3)),
        ];
        let mut seen = Vec::new();
        for renewal in renewals {
            seen.push(leases.get(async move { renewal }).await);
        }
        seen
    }

    #[tokio::test]
    async fn leases_are_renewed_before_they_end_and_used_until_then() {
        assert_eq!(three(None).await, [Ok(1), Ok(1), Ok(1)]);
        assert_eq!(three(ends_in(10)).await, [Ok(1), Ok(1), Ok(1)]);
        assert_eq!(three(ends_in(4)).await, [Ok(1), Ok(1), Ok(3)]);
        assert_eq!(three(ends_in(-1)).await, [Ok(1), Err("refused"), Ok(3)]);
    }

    #[tokio::test]
    async fn what_was_refused_is_forgotten() {
        let leases = Leases::default();
        let renew = |value| async move { Ok::<_, ()>(Lease::endless(value)) };
        leases.get(renew(1)).await.unwrap();
        leases.forget().await;
        assert_eq!(leases.get(renew(2)).await, Ok(2));
    }
}
