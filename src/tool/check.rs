//! `check …`: files that are right or wrong. What is right goes to standard output and what is wrong to standard error, in
//! promtool's words.

pub(in crate::tool) mod config;
mod lint;
pub(in crate::tool) mod metrics;
mod references;
pub(in crate::tool) mod rules;
pub(in crate::tool) mod service_discovery;
pub(in crate::tool) mod web_config;
