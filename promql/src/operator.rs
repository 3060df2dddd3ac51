//! What stands between selectors and the result.

pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod group;
pub(crate) mod invariant;
pub(crate) mod map;
pub(crate) mod merge;
pub(crate) mod parallel;
pub(crate) mod range;
pub(crate) mod selector;
