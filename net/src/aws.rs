//! Amazon's cloud: who we are there, and requests that prove it.

mod credentials;
mod signature;

pub use credentials::Credentials;
pub use signature::{Signing, authorization};
