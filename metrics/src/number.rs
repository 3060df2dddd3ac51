//! A 64-bit float that threads may update without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bits of an `f64`. All operations are relaxed: an instrument orders nothing but itself.
#[derive(Debug, Default)]
pub(crate) struct AtomicF64(AtomicU64);

impl AtomicF64 {
    pub(crate) fn load(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `delta`, retrying while others change the value in between.
    pub(crate) fn add(&self, delta: f64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = (f64::from_bits(seen) + delta).to_bits();
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_zero_and_adds() {
        let number = AtomicF64::default();
        assert_eq!(number.load(), 0.0);
        number.store(1.5);
        number.add(-4.0);
        assert_eq!(number.load(), -2.5);
    }
}
