//! What others send to Hearth in protocols of their own: remote write ([`mod@write`]) and OTLP metrics ([`otlp`]).
//!
//! Messages are read from borrowed bytes and stored through the traits of [`model::storage`]. Everything here is synchronous,
//! takes the time as an argument and does no I/O: headers, compression, bounds on bodies and what is answered are up to
//! whoever has the connection.
//!
//! # Bounds
//!
//! Malformed bytes are an error and never a panic. What a request takes in memory is bounded by its length and a constant, also
//! where it names one long string again and again.

mod histogram;
#[cfg(test)]
#[path = "../tests/support/message.rs"]
#[expect(unreachable_pub, reason = "others use it too")]
mod message;
pub mod otlp;
mod proto;
pub mod write;

pub use proto::WireError;
