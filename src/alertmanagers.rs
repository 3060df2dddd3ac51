//! The Alertmanagers that alerts are sent to: discovery and relabelling, which are the scraper's, joined to the sender.
//!
//! ```text
//! alerting section ─┬─► discoveries ── groups ──► relabelling ── URLs ──► set of the sender ── queues
//!                   └─► HTTP client, relabelling of alerts ─────────────►
//! ```
//!
//! # Reloads
//!
//! An item of the configuration that is the same goes on as it is, wherever it stands. One that changed keeps the discoveries
//! that are the same, and its Alertmanagers of the same URL keep their queues.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::notify::{ClientError, Link, Relabel, Sender, SenderOptions, Set};
use metrics::{Gauge, Registry};
use model::trace::Tracer;
use parking_lot::Mutex;
use scraper::config::RelabelConfig;
use scraper::discovery::{Discoveries, DiscoveryHost};
use scraper::relabel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{AlertingConfig, AlertmanagersConfig};
use found::Found;

mod found;

/// What is fixed at start.
pub(crate) struct Options {
    /// What relative file names are relative to.
    pub(crate) base_dir: PathBuf,
    /// How the sender queues.
    pub(crate) sender: SenderOptions,
    /// How far apart changes of who is discovered are acted on, at least.
    pub(crate) pause: Duration,
    /// Makes spans of what is posted.
    pub(crate) tracer: Tracer,
}

/// The sets of Alertmanagers of the configuration, as they are found.
pub(crate) struct Alertmanagers {
    options: Options,
    sender: Arc<Sender>,
    host: DiscoveryHost,
    over_limit: Gauge,
    sections: Mutex<Vec<Arc<Section>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One item of `alertmanagers`.
struct Section {
    /// Its name in logs and metrics, no other has it.
    name: String,
    set: Arc<Set>,
    state: Mutex<State>,
    over_limit: Gauge,
    stop: CancellationToken,
}

struct State {
    config: AlertmanagersConfig,
    discoveries: Discoveries,
    found: Found,
}

/// An `alerting` section of which everything can be applied.
pub(crate) struct Prepared(Vec<(AlertmanagersConfig, Link)>);

/// The URLs of Alertmanagers, as `/api/v1/alertmanagers` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Urls {
    /// Those that alerts are posted to.
    pub(crate) active: Vec<String>,
    /// Those that relabelling dropped.
    pub(crate) dropped: Vec<String>,
}

/// Returns what applies `rules` to alerts; nothing where there are none.
pub(crate) fn relabelling(rules: &[RelabelConfig]) -> Option<Relabel> {
    if rules.is_empty() {
        return None;
    }
    let rules = rules.to_vec();
    Some(Arc::new(move |labels| relabel::apply(&rules, labels)))
}

impl Alertmanagers {
    /// Returns no Alertmanagers yet. Instruments are registered in `registry`.
    pub(crate) fn new(options: Options, registry: &Registry) -> Self {
        Alertmanagers {
            sender: Arc::new(Sender::new(options.sender, registry)),
            host: DiscoveryHost::new("notify", &options.base_dir, registry),
            options,
            over_limit: registry.gauge(
                "hearth_notifications_alertmanagers_over_limit",
                "The number of alertmanagers discovered and left out because their set has too many.",
            ),
            sections: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Returns where alerts are handed over.
    pub(crate) fn sender(&self) -> Arc<Sender> {
        Arc::clone(&self.sender)
    }

    /// Makes what applying `config` needs, and changes nothing.
    ///
    /// # Errors
    ///
    /// When a client cannot be made, as for want of a certificate.
    pub(crate) fn prepare(&self, config: &AlertingConfig) -> Result<Prepared, ClientError> {
        let links = config.alertmanagers.iter().map(|config| {
            let relabel = relabelling(&config.alert_relabel_configs);
            let base_dir = &self.options.base_dir;
            let mut link = Link::new(config.http_config(), base_dir, config.timeout, relabel)?
                .traced(self.options.tracer.clone());
            if let Some(sigv4) = &config.sigv4 {
                link = link.signed(sigv4.signer());
            }
            Ok((config.clone(), link))
        });
        links.collect::<Result<_, _>>().map(Prepared)
    }

    /// Goes over to what was prepared. Must be called in a Tokio runtime; returns at once, and Alertmanagers that are known
    /// without the network are there then.
    pub(crate) fn apply(&self, prepared: Prepared) {
        let mut sections = self.sections.lock();
        // A name that is given up now is not given to another one before the next time.
        let mut names: Vec<_> = sections
            .iter()
            .map(|section| section.name.clone())
            .collect();
        let mut before: Vec<_> = sections.drain(..).map(Some).collect();
        let same = |before: &mut [Option<Arc<Section>>], config: &AlertmanagersConfig| {
            let is_same = |section: &Arc<Section>| section.state.lock().config == *config;
            let same = before
                .iter_mut()
                .find(|section| section.as_ref().is_some_and(is_same));
            same.and_then(Option::take)
        };
        let kept: Vec<_> = prepared
            .0
            .into_iter()
            .map(|(config, link)| (same(&mut before, &config), config, link))
            .collect();
        for (index, (kept, config, link)) in kept.into_iter().enumerate() {
            let mut changed = || before.get_mut(index).and_then(Option::take);
            let section = match kept {
                Some(section) => {
                    section.retry();
                    section
                }
                None => match changed() {
                    Some(section) => {
                        section.change(config, link);
                        section
                    }
                    None => self.start(config, link, &mut names),
                },
            };
            sections.push(section);
        }
        // First, so that none of them finds targets for a set that is not sent to any more.
        for section in before.into_iter().flatten() {
            section.end();
        }
        let sets = sections.iter().map(|section| Arc::clone(&section.set));
        self.sender.replace(sets.collect());
    }

    /// Starts a section, whose name is none of `names`, and adds it there.
    fn start(
        &self,
        config: AlertmanagersConfig,
        link: Link,
        names: &mut Vec<String>,
    ) -> Arc<Section> {
        let mut index = 0;
        while names.contains(&format!("config-{index}")) {
            index += 1;
        }
        let name = format!("config-{index}");
        names.push(name.clone());
        let mut discoveries = Discoveries::new(self.host.clone(), &name);
        discoveries.apply(&config.sources());
        let section = Arc::new(Section {
            name,
            set: self.sender.set(link),
            state: Mutex::new(State {
                config,
                discoveries,
                found: Found::default(),
            }),
            over_limit: self.over_limit.clone(),
            stop: self.stop.child_token(),
        });
        section.sync();
        let task = Arc::clone(&section).follow(self.options.pause);
        self.tasks.spawn(task);
        section
    }

    /// Returns the URLs of all Alertmanagers, in the order of the configuration.
    pub(crate) fn urls(&self) -> Urls {
        let mut urls = Urls::default();
        for section in self.sections.lock().iter() {
            let found = &section.state.lock().found;
            urls.active.extend(found.active.iter().cloned());
            urls.dropped.extend(found.dropped.iter().cloned());
        }
        urls
    }

    /// Stops looking for Alertmanagers, then sends or drops what waits for them, for ten seconds at most.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.host.shutdown().await;
        self.sender.shutdown().await;
    }
}

impl Section {
    /// Goes over to another configuration.
    fn change(&self, config: AlertmanagersConfig, link: Link) {
        self.set.set_link(link);
        let mut state = self.state.lock();
        state.discoveries.apply(&config.sources());
        state.config = config;
        drop(state);
        self.sync();
    }

    /// Starts discoveries again that could not be started.
    fn retry(&self) {
        let mut state = self.state.lock();
        let sources = state.config.sources();
        state.discoveries.apply(&sources);
        drop(state);
        self.sync();
    }

    /// Acts on what is discovered, until the end.
    async fn follow(self: Arc<Self>, pause: Duration) {
        let published = self.state.lock().discoveries.published();
        let changes = async {
            loop {
                // Changes in quick succession cost one sync.
                let pause = tokio::time::sleep(pause);
                published.notified().await;
                pause.await;
                self.sync();
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = changes => {}
        }
    }

    /// Brings the set in step with what discovery says now.
    fn sync(&self) {
        let mut state = self.state.lock();
        if self.stop.is_cancelled() {
            return;
        }
        let groups = state.discoveries.groups();
        let targets = groups.iter().flat_map(|groups| groups.iter());
        let found = Found::of(
            &state.config,
            targets.flat_map(|group| group.labels_of_targets()),
        );
        state.discoveries.note_found(found.count);
        self.set.set_urls(&found.active);
        let over = found.over_limit as f64 - state.found.over_limit as f64;
        self.over_limit.add(over);
        state.found = found;
    }

    /// Says that the item is gone from the configuration.
    fn end(&self) {
        let mut state = self.state.lock();
        self.stop.cancel();
        self.over_limit.sub(state.found.over_limit as f64);
        state
            .discoveries
            .apply(&scraper::config::sd::Sources::default());
        state.discoveries.forget();
    }
}

#[cfg(test)]
mod tests;
