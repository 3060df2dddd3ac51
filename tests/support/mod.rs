//! What the end-to-end tests share: the programs under test, the servers that they talk to, and waiting for them.
//!
//! A `mod.rs`, unlike elsewhere in this tree, because cargo would take `tests/support.rs` for a test of its own.
//!
//! Everything listens on loopback, on ports that the kernel picks; processes are ended through their handle, also when
//! a test fails, and then their log is part of the failure.
#![allow(
    dead_code,
    reason = "each test takes its part of this module, and is compiled with all of it"
)]

pub(crate) mod answer;
pub(crate) mod exposition;
pub(crate) mod http;
pub(crate) mod monitor;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod protobuf;
pub(crate) mod small_disk;
pub(crate) mod smtp;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod webhook;
