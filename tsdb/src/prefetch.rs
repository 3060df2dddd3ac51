//! Telling the processor what will be needed: one of the two islands of `unsafe` in this crate.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instruction has no safe form yet")
)]

/// Fetches the cache lines of `value`, of which there should be few, without waiting for them.
#[inline]
pub(crate) fn lines<T>(value: &T) {
    const LINE_BYTES: usize = 64;
    // Any place in a line will do, and the last byte is where a line more may begin.
    let bytes = std::ptr::from_ref(value).cast::<u8>();
    let last = size_of::<T>().saturating_sub(1);
    for at in (0..last).step_by(LINE_BYTES).chain([last]) {
        fetch(bytes.wrapping_add(at));
    }
}

/// Fetches the cache line in which `value` begins, without waiting for it. Where the processor has no such instruction that
/// we know, nothing happens.
#[inline]
pub(crate) fn line<T>(value: &T) {
    fetch(std::ptr::from_ref(value).cast());
}

#[inline]
fn fetch(byte: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing, wherever it points; here it is into a live value all the same.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(byte.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = byte;
}
