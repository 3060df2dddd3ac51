//! One look at what a job's discoveries find, for whoever writes its configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics::Registry;
use model::Labels;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::provider::{Place, ProviderConfig};
use super::{TargetGroup, Updates};
use crate::config::ScrapeConfig;
use crate::metrics::DiscoveryMetrics;
use crate::target::{Target, relabelled};

/// How long nothing must have been found before everything counts as found.
const QUIET: Duration = Duration::from_secs(1);

/// A target that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTarget {
    /// What discovery said, with the job's defaults.
    pub discovered_labels: Labels,
    /// What relabelling left, without `__meta_` labels; empty if it dropped the target, or left none that can be scraped.
    pub labels: Labels,
    /// Why it cannot be scraped.
    pub error: Option<String>,
}

/// Runs the discoveries of a finished `job` until each has published and then nothing comes for a second, at most for
/// `timeout`, and returns every target once, in the order of the configuration. Relative file names start from `base_dir`.
///
/// # Errors
///
/// When a discovery cannot be started, on one line.
pub async fn once(
    job: &ScrapeConfig,
    base_dir: &Path,
    timeout: Duration,
) -> Result<Vec<FoundTarget>, String> {
    let metrics = DiscoveryMetrics::new(&Registry::new());
    let place = Place {
        base_dir,
        job: &job.job_name,
        metrics: &metrics,
    };
    let published = Arc::new(Notify::new());
    let stop = CancellationToken::new();
    // Ends the tasks however this function is left.
    let _stop = stop.clone().drop_guard();
    let mut receivers = Vec::new();
    for config in ProviderConfig::of(&job.sources()) {
        let mut discovery = config.start(place)?;
        let (updates, groups) = Updates::channel(Arc::clone(&published));
        discovery.start(&updates);
        // What is published once for all goes on being there when the sender is gone.
        let has_published = groups.has_changed().unwrap_or(true);
        tokio::spawn(discovery.run(updates, stop.clone()));
        receivers.push((groups, has_published));
    }
    let settled = async {
        loop {
            for (groups, has_published) in &mut receivers {
                *has_published |= groups.has_changed().unwrap_or(true);
            }
            let are_all_there = receivers.iter().all(|(_, has_published)| *has_published);
            let next = published.notified();
            if !are_all_there {
                next.await;
            } else if tokio::time::timeout(QUIET, next).await.is_err() {
                return;
            }
        }
    };
    // What has not come by then is not shown.
    let _ = tokio::time::timeout(timeout, settled).await;
    let mut found = Vec::new();
    for (groups, _) in &receivers {
        let groups = Arc::clone(&groups.borrow());
        for target in groups.iter().flat_map(|group| targets(job, group)) {
            if !found.contains(&target) {
                found.push(target);
            }
        }
    }
    Ok(found)
}

fn targets<'a>(
    job: &'a ScrapeConfig,
    group: &'a TargetGroup,
) -> impl Iterator<Item = FoundTarget> + 'a {
    group.labels_of_targets().map(|labels| {
        let (discovered_labels, left) = relabelled(job, labels);
        let mut found = FoundTarget {
            discovered_labels: discovered_labels.clone(),
            labels: Labels::default(),
            error: None,
        };
        if let Some(mut left) = left {
            match Target::of_labels(job, discovered_labels, left.clone()) {
                Ok(target) => {
                    left.retain(|name, _| !name.starts_with("__meta_"));
                    left.set("instance", target.labels.value("instance"));
                    found.labels = left.build();
                }
                Err(error) => found.error = Some(error.to_string()),
            }
        }
        found
    })
}
