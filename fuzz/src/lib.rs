//! Fuzz targets of the decoders of bytes from outside: no panic, memory bounded by the input, and what is accepted encodes
//! back to the same meaning.
//!
//! `cargo fuzz run --features libfuzzer NAME` lets libFuzzer drive one of them (`cargo xtask fuzz` all of them), `cargo run
//! --release --bin mutate -- SECONDS` a plain loop of mutations that counts what is allocated, and `tests/decoders.rs` of `tsdb`,
//! `remote` and `scraper` a few thousand seeded rounds of those that are theirs.

pub mod bodies;
pub mod files;
pub mod mutation;
pub mod scrapes;
pub mod target;

use target::Target;

/// Returns all targets.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    let files_and_bodies = files::TARGETS.iter().chain(bodies::TARGETS);
    files_and_bodies.chain(scrapes::TARGETS)
}
