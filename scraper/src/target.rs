//! Targets: from discovered labels through relabelling to a URL and the labels of every series scraped from it.

use std::collections::BTreeMap;

use model::{Duration, Labels, LabelsBuilder};
use xxhash_rust::xxh64::xxh64;

use crate::config::{ScrapeConfig, check_target_address};
use crate::exposition::protobuf::HistogramOptions;
use crate::relabel;

mod url;

pub(crate) use url::TargetUrl;

/// The address of a target, `host:port`.
pub(crate) const ADDRESS: &str = "__address__";
pub(crate) const SCHEME: &str = "__scheme__";
pub(crate) const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const NATIVE_HISTOGRAMS: &str = "__scrape_native_histograms__";
const CLASSIC_HISTOGRAMS: &str = "__always_scrape_classic_histograms__";
const CONVERT_HISTOGRAMS: &str = "__convert_classic_histograms_to_nhcb__";
const UNIX_SOCKET: &str = "__unix_socket__";
const PARAM_PREFIX: &str = "__param_";

/// Something to scrape.
#[derive(Clone, Debug)]
pub struct Target {
    /// What discovery said, with the job's defaults: the input of relabelling.
    pub discovered_labels: Labels,
    /// What is attached to its series: the labels that do not begin with `__`.
    pub labels: Labels,
    /// Where to get them.
    pub(crate) url: TargetUrl,
    /// How often.
    pub interval: Duration,
    /// How long a scrape may take.
    pub timeout: Duration,
    /// What becomes of its histograms, where that is not as the job says.
    pub(crate) histograms: HistogramOverrides,
    /// The hash of its labels that begin with `__` but not with `__meta_`.
    internal_hash: u64,
}

/// What relabelling says of a target's histograms; nothing is as the job has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistogramOverrides {
    native: Option<bool>,
    always_classic: Option<bool>,
    convert: Option<bool>,
}

impl HistogramOverrides {
    fn of(labels: &LabelsBuilder) -> Result<Self, String> {
        let flag = |name: &str| match labels.get(name) {
            None | Some("") => Ok(None),
            // As Go reads booleans.
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(other) => Err(format!(
                "error parsing {name}: {other:?} is neither true nor false"
            )),
        };
        Ok(HistogramOverrides {
            native: flag(NATIVE_HISTOGRAMS)?,
            always_classic: flag(CLASSIC_HISTOGRAMS)?,
            convert: flag(CONVERT_HISTOGRAMS)?,
        })
    }

    /// Returns what holds for the target of a job that has `job`.
    pub(crate) fn over(self, job: HistogramOptions) -> HistogramOptions {
        HistogramOptions {
            native: self.native.unwrap_or(job.native),
            always_classic: self.always_classic.unwrap_or(job.always_classic),
            convert: self.convert.unwrap_or(job.convert),
        }
    }
}

/// What became of a discovered target.
#[derive(Clone, Debug)]
pub(crate) enum Populated {
    /// It is scraped.
    Active(Target),
    /// Relabelling dropped it.
    Dropped(Labels),
}

/// What makes a target itself: two with the same key are one. As in Prometheus, labels that are left over for this server
/// only, such as `__tmp`, tell them apart too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetKey {
    url: String,
    labels: Labels,
    internal_hash: u64,
}

/// Why a discovered target cannot be scraped. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instance {address:?}: {reason}")]
pub(crate) struct TargetError {
    address: String,
    reason: String,
}

impl Target {
    /// Makes a target of `job` out of what discovery says about it.
    ///
    /// # Errors
    ///
    /// When relabelling left nothing that could be scraped.
    pub(crate) fn populate(
        job: &ScrapeConfig,
        discovered: LabelsBuilder,
    ) -> Result<Populated, TargetError> {
        match relabelled(job, discovered) {
            (discovered, None) => Ok(Populated::Dropped(discovered)),
            (discovered, Some(labels)) => {
                Target::of_labels(job, discovered, labels).map(Populated::Active)
            }
        }
    }

    /// Makes a target of `job` out of what relabelling left.
    ///
    /// # Errors
    ///
    /// When that cannot be scraped.
    pub(crate) fn of_labels(
        job: &ScrapeConfig,
        discovered_labels: Labels,
        mut labels: LabelsBuilder,
    ) -> Result<Target, TargetError> {
        let address = labels.get(ADDRESS).unwrap_or_default().to_owned();
        let error = |reason: String| TargetError {
            address: address.clone(),
            reason,
        };
        if address.is_empty() {
            return Err(error("no address".to_owned()));
        }
        check_target_address(&address).map_err(|invalid| error(invalid.to_string()))?;
        if labels.get(UNIX_SOCKET).is_some() {
            return Err(error("__unix_socket__ is not supported yet".to_owned()));
        }
        let interval = duration(&labels, SCRAPE_INTERVAL, "scrape interval").map_err(error)?;
        let timeout = duration(&labels, SCRAPE_TIMEOUT, "scrape timeout").map_err(error)?;
        if interval < timeout {
            return Err(error(format!(
                "scrape timeout cannot be greater than scrape interval (\"{timeout}\" > \"{interval}\")"
            )));
        }
        let histograms = HistogramOverrides::of(&labels).map_err(error)?;
        if labels.get("instance").is_none() {
            labels.set("instance", &address);
        }
        let url = url_of(job, &labels);
        let internal_hash = internal_hash(&labels);
        labels.retain(|name, _| !name.starts_with("__"));
        Ok(Target {
            discovered_labels,
            labels: labels.build(),
            url,
            interval,
            timeout,
            histograms,
            internal_hash,
        })
    }

    pub(crate) fn key(&self) -> TargetKey {
        TargetKey {
            url: self.url.to_string(),
            labels: self.labels.clone(),
            internal_hash: self.internal_hash,
        }
    }

    /// Returns where in its interval this target is scraped, in milliseconds, `0..interval`. It is the same after every
    /// restart, and with another `seed` another one.
    pub(crate) fn offset_ms(&self, seed: u64) -> i64 {
        let mut text = self.url.to_string().into_bytes();
        for (name, value) in &self.labels {
            for part in [name, value] {
                text.push(0xff);
                text.extend_from_slice(part.as_bytes());
            }
        }
        let interval = u64::try_from(self.interval.as_ms()).unwrap_or(1).max(1);
        i64::try_from(xxh64(&text, seed) % interval).unwrap_or(0)
    }
}

/// Returns the labels of a target as discovery and the job's defaults give them, and what relabelling leaves of them; `None` if it
/// drops them.
pub(crate) fn relabelled(
    job: &ScrapeConfig,
    discovered: LabelsBuilder,
) -> (Labels, Option<LabelsBuilder>) {
    let mut labels = discovered;
    set_defaults(job, &mut labels);
    let discovered = labels.clone().build();
    let is_kept = relabel::apply(&job.relabel_configs, &mut labels);
    (discovered, is_kept.then_some(labels))
}

/// Sets what the job says wherever discovery says nothing.
fn set_defaults(job: &ScrapeConfig, labels: &mut LabelsBuilder) {
    let mut default = |name: &str, value: &str| {
        if labels.get(name).is_none() {
            labels.set(name, value);
        }
    };
    default("job", &job.job_name);
    default(SCRAPE_INTERVAL, &job.scrape_interval().to_string());
    default(SCRAPE_TIMEOUT, &job.scrape_timeout().to_string());
    default(METRICS_PATH, job.metrics_path());
    default(SCHEME, job.scheme());
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            default(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
}

fn duration(labels: &LabelsBuilder, name: &str, what: &str) -> Result<Duration, String> {
    let text = labels.get(name).unwrap_or_default();
    let duration: Duration = text
        .parse()
        .map_err(|error| format!("error parsing {what}: {error}"))?;
    if duration.is_zero() {
        Err(format!("{what} cannot be 0"))
    } else {
        Ok(duration)
    }
}

fn internal_hash(labels: &LabelsBuilder) -> u64 {
    let internal = labels
        .iter()
        .filter(|(name, _)| name.starts_with("__") && !name.starts_with("__meta_"));
    let mut sorted: Vec<(&str, &str)> = internal.collect();
    sorted.sort_unstable();
    let mut text = Vec::new();
    for part in sorted.into_iter().flat_map(|(name, value)| [name, value]) {
        text.extend_from_slice(part.as_bytes());
        text.push(0xff);
    }
    xxh64(&text, 0)
}

/// Returns `scheme://address/path` as Go puts URLs together, whatever its parts are.
pub fn plain_url(scheme: &str, address: &str, path: &str) -> String {
    url::build(scheme, address, path, &BTreeMap::new())
}

/// Returns the URL that the labels add up to. It may be one that nothing can be fetched from: that is for the scrape to say.
fn url_of(job: &ScrapeConfig, labels: &LabelsBuilder) -> TargetUrl {
    let mut params: BTreeMap<&str, Vec<&str>> = job
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(name).or_default();
            match values.first_mut() {
                Some(first) => *first = value,
                None => values.push(value),
            }
        }
    }
    let scheme = labels.get(SCHEME).unwrap_or_default();
    let address = labels.get(ADDRESS).unwrap_or_default();
    let path = labels.get(METRICS_PATH).unwrap_or_default();
    TargetUrl::new(url::build(scheme, address, path, &params))
}

#[cfg(test)]
mod tests;
