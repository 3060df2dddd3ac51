//! Fuzz targets of the decoders of bytes from outside: no panic, memory bounded by the input, and what is accepted encodes
//! back to the same meaning.
//!
//! `cargo fuzz run --features libfuzzer NAME` lets libFuzzer drive one of them (`cargo xtask fuzz` all of them), `cargo run
//! --release --bin mutate -- SECONDS` a plain loop of mutations that counts what is allocated, and the tests of `tsdb` a few
//! thousand seeded rounds. The decoder of remote write has its own test beside it, `remote/src/write/tests.rs`.

pub mod files;
pub mod mutation;
pub mod target;
