//! Computing with native histograms.

pub(crate) mod aggregate;
pub(crate) mod arithmetic;
pub(crate) mod binary;
pub(crate) mod interpolate;
pub(crate) mod reset;
pub(crate) mod total;
mod trim;

pub(crate) use arithmetic::{add, scaled, subtract};
