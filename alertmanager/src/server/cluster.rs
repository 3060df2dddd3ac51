//! The Alertmanager as a member of a cluster.

use metrics::Registry;

use super::{STORE_EVERY, Shared};
use crate::cluster::{Bound, ClusterError, ClusterOptions, Replica, Update};
use crate::dispatch::{Merged, Notification};
use crate::store::Change;

impl Replica for Shared {
    fn state(&self) -> Vec<Update> {
        let now_ms = self.clock.now_ms();
        self.dispatcher.lock().replicated(now_ms)
    }

    fn merge(&self, updates: Vec<Update>) -> (usize, usize) {
        let now_ms = self.clock.now_ms();
        let (mut invalid, mut limited) = (0, 0);
        let mut dispatcher = self.dispatcher.lock();
        for update in updates {
            match dispatcher.merge(update, now_ms) {
                Merged::News | Merged::Old => {}
                Merged::Invalid => invalid += 1,
                Merged::Limit => limited += 1,
            }
        }
        self.store_urgent(&mut dispatcher);
        (invalid, limited)
    }
}

impl Shared {
    /// Waits for the members of the cluster before this one; returns whether none of them has told the same meanwhile.
    pub(super) async fn is_our_turn(&self, notification: &Notification) -> bool {
        let Some(cluster) = self.cluster.get() else {
            return true;
        };
        let turn = cluster.turn();
        if !turn.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(turn) => {}
                // One of those before it sends, or the next start does.
                () = self.stop.cancelled() => return false,
            }
        }
        let now_ms = self.clock.now_ms();
        self.dispatcher.lock().is_still_due(notification, now_ms)
    }
}

/// Returns what others should know of changes.
pub(super) fn updates(changes: &[Change]) -> Vec<Update> {
    let updates = changes.iter().filter_map(|change| match change {
        Change::Silence(_, Some(silence)) => Some(Update::Silence(silence.clone())),
        Change::Entry(key, Some(entry)) => Some(Update::Entry(key.clone(), entry.clone())),
        _ => None,
    });
    updates.collect()
}

/// Opens the sockets of the cluster.
pub(super) fn bind(options: ClusterOptions, registry: &Registry) -> Result<Option<Bound>, String> {
    let may_stand_alone = options.may_stand_alone;
    match Bound::new(options, registry) {
        Ok(bound) => Ok(Some(bound)),
        Err(error @ ClusterError::Listen { .. }) if may_stand_alone => {
            tracing::warn!(%error, "nobody can form a cluster with this alertmanager; it stands alone");
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Waits until the cluster has settled, so that what others have told is known before anything is told.
pub(super) async fn settle(shared: &Shared) {
    let Some(cluster) = shared.cluster.get() else {
        return;
    };
    let settled = cluster.settled();
    tokio::pin!(settled);
    loop {
        tokio::select! {
            () = &mut settled => return,
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(STORE_EVERY) => shared.store_lazily(),
        }
    }
}
