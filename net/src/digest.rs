//! Digests as text.

use std::fmt::Write as _;

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// Returns the SHA-256 of `bytes` in small hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    of(&SHA256, bytes)
}

/// Returns the SHA-1 of `bytes` in small hexadecimal digits: for those who still ask for it.
pub fn sha1_hex(bytes: &[u8]) -> String {
    of(&SHA1_FOR_LEGACY_USE_ONLY, bytes)
}

fn of(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    hex(digest(algorithm, bytes).as_ref())
}

/// Returns `bytes` in small hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_nothing() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(sha1_hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    }
}
