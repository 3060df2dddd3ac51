//! Alerting: rules, alert state, templates; routing, grouping and notification.
//!
//! ```text
//! rule files ── rule::RuleManager ── alerts ──► Notifier ─┬─► server::Alertmanager (built in) ── dispatch ──► receiver
//!                    │    ▲                               └─► notify::Sender ──► other Alertmanagers
//!        recorded samples │ PromQL
//!                    ▼    │
//!                    storage
//! ```
//!
//! **Invariant:** what decides (the rules' clock, alert states, groups and their timers, what is sent again) takes the
//! time as an argument and does no I/O; tasks, sockets and timers are in [`rule::manager`], [`server`], [`notify`],
//! [`cluster`] and [`receiver`].

pub mod alert;
pub mod api;
pub mod cluster;
pub mod config;
pub mod dispatch;
#[cfg(test)]
mod end_to_end;
mod http;
pub mod inhibit;
pub mod mesh;
pub mod notify;
pub mod page;
pub mod receiver;
pub mod rule;
pub mod server;
pub mod silence;
mod store;
pub mod template;
pub mod timeinterval;
mod yaml;

pub use alert::Alert;
pub use notify::Notifier;
pub use rule::manager::{RuleManager, RuleManagerOptions};
pub use server::{Alertmanager, AlertmanagerOptions};
