//! Amazon's cloud: who we are there, and requests that prove it.
//!
//! [`Identity`] finds credentials where AWS' own libraries look for them, keeps them until shortly before they end, and signs
//! requests.
//!
//! # Not here
//!
//! Single sign-on of profiles: an error names it. Requests other than POST and GET.

mod credentials;
mod identity;
mod metadata;
mod process;
mod profile;
mod refusal;
mod signature;
mod sts;

pub use credentials::Credentials;
pub use identity::{Access, Identity, Post};
pub use refusal::AwsError;
pub use signature::{Signing, authorization};
