//! What others send to Hearth in protocols of their own: today remote write ([`mod@write`]).
//!
//! Messages are read from borrowed bytes and stored through the traits of [`model::storage`]. Everything here is synchronous,
//! takes the time as an argument and does no I/O: headers, compression, bounds on bodies and what is answered are up to
//! whoever has the connection.

mod histogram;
mod proto;
pub mod write;

pub use proto::WireError;
