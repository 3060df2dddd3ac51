//! Commands on PromQL: its expressions and its test scripts.

pub(super) mod test;
