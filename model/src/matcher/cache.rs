//! Compiled regular expressions, kept for the next query: rules and dashboards ask the same again and again, and compiling
//! one takes as long as testing some hundred strings.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;

/// How many are kept; at this many all are forgotten, and those in use come back.
const KEPT_MAX: usize = 128;
/// Largest program that is kept, in bytes.
pub(super) const REGEX_BYTES_MAX: usize = 64 << 10;
/// Longest pattern that is kept, in bytes.
const PATTERN_BYTES_MAX: usize = 4 << 10;

static KEPT: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// Returns the compiled `pattern`, if it is kept.
pub(super) fn find(pattern: &str) -> Option<Regex> {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.get(pattern).cloned()
}

/// Keeps the compiled `pattern`, which is at most [`REGEX_BYTES_MAX`].
pub(super) fn keep(pattern: &str, regex: &Regex) {
    if PATTERN_BYTES_MAX < pattern.len() {
        return;
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if KEPT_MAX <= kept.len() {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), regex.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::compile_anchored;

    #[test]
    fn what_is_kept_is_bounded_and_found() {
        let first = compile_anchored("kept-[0-9]+").unwrap();
        assert_eq!(find("kept-[0-9]+").unwrap().as_str(), first.as_str());
        for i in 0..2 * KEPT_MAX {
            compile_anchored(&format!("many-{i}-[ab]")).unwrap();
            let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(kept.len() <= KEPT_MAX);
        }
        let large = "[a-z]{1000}".repeat(20);
        if compile_anchored(&large).is_ok() {
            assert!(find(&large).is_none(), "too large to be kept");
        }
    }
}
