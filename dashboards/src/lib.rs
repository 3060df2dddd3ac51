//! The web page and the shipped Grafana dashboards, embedded.
//!
//! ```text
//! ui/*       ──► asset      the page and what it loads, each with its content type and entity tag
//! grafana/*  ──► grafana    dashboards to import into Grafana or to render
//! ```
//!
//! # Invariants
//!
//! 1. The page needs nothing but this crate's assets and the HTTP API: no other host, font or script.
//! 2. All its addresses are relative, so it works below any route prefix.
//! 3. Text from outside never becomes markup; the tests look for the ways in which it could.
//!
//! # Not here
//!
//! Serving: routes, caching headers and compression are the binary's.

mod asset;
mod grafana;

pub use asset::{ASSET_DIR, Asset, PAGES, asset, assets};
pub use grafana::{GrafanaDashboard, grafana_dashboards};
