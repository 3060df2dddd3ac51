//! `promql`: commands on queries.

pub(super) mod edit;
pub(super) mod test;
