//! Hearth's own instruments: counters, gauges, histograms, summaries, a registry and exposition encoders.
//!
//! ```text
//! Counter, Gauge, Histogram, Summary ── Family (label values → instrument) ──┐
//!                                                                           ├─► Registry::gather ─► [MetricFamily] ─► encode
//! Collector (families made at scrape time) ──────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. A handle ([`Counter`], …, [`Family`], [`Registry`]) is an `Arc` inside: cheap to clone, `Send` and `Sync`.
//! 2. Updating an instrument takes no lock, but for [`Summary`], whose reservoir has a mutex held for a few stores.
//! 3. What [`Registry::gather`] returns is sorted: families by name, label pairs by label name, series by label values.
//!
//! # Not here
//!
//! HTTP (the binary serves what [`encode`] writes), protobuf exposition, exemplars.
//!
//! ```
//! let registry = metrics::Registry::new();
//! let requests = registry.counter_vec("requests_total", "Requests served.", &["code"]);
//! requests.with(&["200"]).inc();
//!
//! let mut body = Vec::new();
//! metrics::encode::text(&registry.gather(), &mut body);
//! let expected = "# HELP requests_total Requests served.\n# TYPE requests_total counter\nrequests_total{code=\"200\"} 1\n";
//! assert_eq!(String::from_utf8(body).unwrap(), expected);
//! ```

mod counter;
pub mod encode;
mod family;
mod gauge;
mod histogram;
mod number;
mod process;
mod registry;
mod snapshot;
mod summary;

pub use counter::Counter;
pub use family::{Family, Instrument};
pub use gauge::Gauge;
pub use histogram::Histogram;
pub use process::process_collector;
pub use registry::{Collector, Registry};
pub use snapshot::{MetricFamily, MetricKind, MetricSeries, MetricValue, normalize};
pub use summary::Summary;
