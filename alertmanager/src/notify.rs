//! Where rules send their alerts: the built-in Alertmanager, others by HTTP, or several of them.
//!
//! ```text
//! rules ── FanOut (relabelling for all) ─┬─► built-in Alertmanager
//!                                        └─► Sender ── set (relabelling, HTTP client) ── target: a queue and a task
//! ```
//!
//! # Not here
//!
//! Which Alertmanagers there are. Service discovery and relabelling are other rooms' work; whoever joins them says to a
//! [`Set`] which URLs it has now, and gives a [`Relabel`] where alerts are to be rewritten.

mod metrics;
mod posted;
mod sender;
mod target;

use std::borrow::Borrow;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use model::LabelsBuilder;

pub(crate) use metrics::{SenderMetrics, TargetMetrics};
pub use net::outbound::ClientError;
pub use sender::{Link, Sender, SenderOptions, Set, Signer};

use crate::alert::Alert;

/// Takes the alerts that rules send.
///
/// Called from worker threads, often; it must not block on I/O. What it cannot take it drops and counts: rules send firing
/// alerts again.
pub trait Notifier: Send + Sync {
    /// Takes alerts over.
    fn notify(&self, alerts: &[Alert]);
}

/// Rewrites the labels of an alert; returns whether it is sent.
pub type Relabel = Arc<dyn Fn(&mut LabelsBuilder) -> bool + Send + Sync>;

/// A notifier that relabels alerts and hands them to each of a list of others.
pub struct FanOut {
    targets: Vec<Arc<dyn Notifier>>,
    relabel: ArcSwapOption<Relabel>,
}

impl FanOut {
    /// Returns a notifier that hands on to `targets`, everything as it is.
    pub fn new(targets: Vec<Arc<dyn Notifier>>) -> Self {
        FanOut {
            targets,
            relabel: ArcSwapOption::empty(),
        }
    }

    /// Says what becomes of alerts from now on, as at a reload.
    pub fn set_relabel(&self, relabel: Option<Relabel>) {
        self.relabel.store(relabel.map(Arc::new));
    }
}

impl Notifier for FanOut {
    fn notify(&self, alerts: &[Alert]) {
        let relabel = self.relabel.load();
        let relabelled = relabel.as_ref().map(|relabel| relabelled(alerts, relabel));
        let alerts = relabelled.as_deref().unwrap_or(alerts);
        if alerts.is_empty() {
            return;
        }
        for target in &self.targets {
            target.notify(alerts);
        }
    }
}

/// Returns what `relabel` leaves of `alerts`.
fn relabelled<A: Borrow<Alert>>(alerts: &[A], relabel: &Relabel) -> Vec<Alert> {
    let kept = alerts
        .iter()
        .map(Borrow::borrow)
        .filter_map(|alert: &Alert| {
            let mut labels = alert.labels.to_builder();
            relabel(&mut labels).then(|| Alert {
                labels: labels.build(),
                ..alert.clone()
            })
        });
    kept.collect()
}

#[cfg(test)]
mod tests;
