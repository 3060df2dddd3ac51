//! Telling the processor what will be needed: one of the two islands of `unsafe` in this crate.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instruction has no safe form yet")
)]

/// Fetches the first and the last byte of `bytes` into the cache, without waiting for them. Where the processor has no
/// such instruction that we know, nothing happens.
#[inline]
pub(crate) fn ends(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(last) = bytes.last() {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing; both addresses are within a live slice all the same.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().cast());
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(last).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
