//! Commands on PromQL: its expressions and its test scripts.

pub(super) mod edit;
pub(super) mod explain;
pub(super) mod test;
