//! The names of peers, and the addresses that they stand for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::cluster::PEERS_MAX;

/// How often the names of peers are looked up.
const RESOLVE_EVERY: Duration = Duration::from_secs(15);

impl Node {
    /// The task that looks up the names of peers, again and again.
    pub(super) async fn resolve(self: Arc<Self>) {
        let mut known = BTreeSet::new();
        loop {
            let looking = self.look_up();
            let found = match tokio::time::timeout(self.options.resolve_timeout, looking).await {
                Ok((found, _)) if PEERS_MAX < found.len() => {
                    tracing::warn!(
                        addresses = found.len(),
                        limit = PEERS_MAX,
                        "the names of peers stand for too many addresses; only the first are used"
                    );
                    found.into_iter().take(PEERS_MAX).collect()
                }
                // What could not be looked up keeps its addresses.
                Ok((found, false)) => found.union(&known).copied().take(PEERS_MAX).collect(),
                Ok((found, true)) => found,
                Err(_) => known.clone(),
            };
            known.clone_from(&found);
            self.act(|gossip, now_ms| gossip.set_peers(found, now_ms));
            self.wake.notify_one();
            tokio::time::sleep(RESOLVE_EVERY).await;
        }
    }

    /// Returns the addresses of all peers that packets can be sent to, and whether every name could be looked up.
    async fn look_up(&self) -> (BTreeSet<SocketAddr>, bool) {
        let (mut found, mut is_complete) = (BTreeSet::new(), true);
        // A socket of IPv4 reaches nobody at the IPv6 address that a name may have besides.
        let is_ipv4 = self.is_ipv4;
        for peer in &self.options.peers {
            match tokio::net::lookup_host(peer).await {
                Ok(addresses) => {
                    found.extend(addresses.filter(|address| !is_ipv4 || address.is_ipv4()));
                }
                Err(error) => {
                    is_complete = false;
                    let gossip = self.gossip.lock();
                    gossip.metrics().join_by_name_failed.inc();
                    tracing::warn!(peer, %error, "the name of a peer could not be looked up; it is tried again");
                }
            }
        }
        (found, is_complete)
    }
}
