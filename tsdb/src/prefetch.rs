//! Telling the processor what will be needed: one of the three islands of `unsafe` in this crate.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instruction has no safe form yet")
)]

/// Fetches the cache line in which `value` begins, without waiting for it. Where the processor has no such instruction that
/// we know, nothing happens.
#[inline]
pub(crate) fn line<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing; the address is that of a live value all the same.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
