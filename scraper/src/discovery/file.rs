//! `file_sd_configs`: lists of target groups in JSON or YAML files, read again when they change.
//!
//! The folders of the files are watched; the refresh interval catches what the watching misses, on network file systems
//! for one. A file that cannot be read or parsed keeps its last good list.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Discovery, DiscoveryTask, TargetGroup, Updates};
use crate::config::{FileSdConfig, StaticConfig, yaml};
use crate::metrics::DiscoveryMetrics;

/// The label that says which file a target is from.
const FILEPATH: &str = "__meta_filepath";
/// How long to wait after a change for more of them: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(50);
/// How large a file may be, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads the files of one `file_sd_configs` item.
pub(crate) struct FileDiscovery {
    /// Absolute patterns.
    patterns: Vec<PathBuf>,
    refresh_interval: Duration,
    metrics: DiscoveryMetrics,
    /// What each file said when it could last be read.
    known: BTreeMap<PathBuf, Vec<Arc<TargetGroup>>>,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("read {}: {source}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is too large.
    #[error("{} is larger than 256 MB", .path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// It is no list of target groups.
    #[error("{}: {reason}", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
}

impl FileDiscovery {
    /// Returns a discovery of the files that `config` names, relative to `base_dir`.
    pub(crate) fn new(config: &FileSdConfig, base_dir: &Path, metrics: DiscoveryMetrics) -> Self {
        FileDiscovery {
            patterns: config
                .files
                .iter()
                .map(|file| base_dir.join(file))
                .collect(),
            refresh_interval: config.refresh_interval().to_std(),
            metrics,
            known: BTreeMap::new(),
        }
    }

    /// Reads every file and publishes what there is.
    fn refresh(&mut self, updates: &Updates) {
        let start = std::time::Instant::now();
        let paths: Vec<PathBuf> = self
            .patterns
            .iter()
            .flat_map(|pattern| matching(pattern))
            .collect();
        self.known.retain(|path, _| paths.contains(path));
        for path in paths {
            match read(&path) {
                Ok(groups) => self.remember(path, groups),
                Err(error) => {
                    self.metrics.file_read_errors.inc();
                    tracing::warn!(%error, "file discovery keeps the last good list of a file");
                }
            }
        }
        self.metrics.file_scan_duration.observe_since(start);
        updates.publish(self.known.values().flatten().cloned().collect());
    }

    /// Keeps the groups that are the same as before, so that nobody compares them again.
    fn remember(&mut self, path: PathBuf, groups: Vec<TargetGroup>) {
        let before = self.known.entry(path).or_default();
        let same = |i: usize, group: &TargetGroup| {
            before.get(i).filter(|known| ***known == *group).cloned()
        };
        let groups = groups.into_iter().enumerate();
        *before = groups
            .map(|(i, group)| same(i, &group).unwrap_or_else(|| Arc::new(group)))
            .collect();
    }

    /// Watches the folders of the files; says so once if that cannot be done.
    fn watch(&self, changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
        let changed = Arc::clone(changed);
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                changed.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| self.warn_unwatched(error))
            .ok()?;
        for pattern in &self.patterns {
            let folder = pattern.parent().unwrap_or(Path::new("."));
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                self.warn_unwatched(&error);
            }
        }
        Some(watcher)
    }

    fn warn_unwatched(&self, error: &notify::Error) {
        self.metrics.file_watcher_errors.inc();
        let refresh_s = self.refresh_interval.as_secs();
        tracing::warn!(%error, refresh_s, "file discovery cannot watch a folder and only reads it now and then");
    }
}

impl Discovery for FileDiscovery {
    fn name(&self) -> &'static str {
        "file"
    }

    fn start(&mut self, updates: &Updates) {
        self.refresh(updates);
    }

    fn run(self: Box<Self>, updates: Updates, stop: CancellationToken) -> DiscoveryTask {
        Box::pin(async move {
            let changed = Arc::new(Notify::new());
            let _watcher = self.watch(&changed);
            // Something may have changed between the first reading and the watching.
            changed.notify_one();
            let (mut this, mut updates) = (self, updates);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(this.refresh_interval) => (),
                    () = changed.notified() => tokio::time::sleep(SETTLE).await,
                }
                // Files may be on slow disks, and large.
                let refreshed = tokio::task::spawn_blocking(move || {
                    this.refresh(&updates);
                    (this, updates)
                });
                let Ok(refreshed) = refreshed.await else {
                    return;
                };
                (this, updates) = refreshed;
            }
        })
    }
}

/// Returns the files that `pattern` means, sorted: itself unless it is not there, or what matches the star in its last segment.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        let found = std::fs::symlink_metadata(pattern);
        if found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Vec::new();
        }
        return vec![pattern.to_owned()];
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_match = |name: &str| {
        name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut paths: Vec<_> = names
        .filter(|name| is_match(name))
        .map(|name| folder.join(name))
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<Vec<TargetGroup>, FileError> {
    let group = |(i, config): (usize, StaticConfig)| {
        let mut group = TargetGroup::of_static(format!("{}:{i}", path.display()), &config);
        group
            .labels
            .insert(FILEPATH.to_owned(), path.display().to_string());
        group
    };
    let configs = read_file(path)?.into_iter().enumerate();
    Ok(configs.map(group).collect())
}

/// Returns the target groups that the file at `path` lists, in order; it is JSON or YAML, as its ending says.
///
/// # Errors
///
/// When it cannot be read, is larger than 256 MB or lists something else.
pub fn read_file(path: &Path) -> Result<Vec<StaticConfig>, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    if FILE_BYTES_MAX < std::fs::metadata(path).map_err(failed)?.len() {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let parse = |reason: String| FileError::Parse {
        path: path.to_owned(),
        reason,
    };
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let configs: Vec<Option<StaticConfig>> = if is_json {
        serde_json::from_str(&text).map_err(|error| parse(error.to_string()))?
    } else {
        let configs: Option<_> = yaml::parse(&text).map_err(|error| parse(error.to_string()))?;
        configs.unwrap_or_default()
    };
    let given = |(i, config): (usize, Option<StaticConfig>)| {
        config.ok_or_else(|| parse(format!("nil target group item found (index {i})")))
    };
    configs.into_iter().enumerate().map(given).collect()
}

#[cfg(test)]
mod tests;
