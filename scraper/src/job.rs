//! A job: one finished scrape config with everything that its scrapes share made ready.

use std::path::{Path, PathBuf};

use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use net::client::Client;
use net::http_config::InvalidHttpConfig;

use crate::config::{ScrapeConfig, ScrapeProtocol};
use crate::exposition::protobuf::HistogramOptions;
use crate::scrape::BucketLimits;
use crate::target::Target;

/// The header that tells a target how long we wait.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// How long a body may be at most, uncompressed, where the configuration does not say: no real target comes near, and an
/// endless one must not eat the memory of the others.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024 * 1024 - 1;

/// One finished scrape config, ready to scrape.
pub(crate) struct Job {
    pub(crate) config: ScrapeConfig,
    pub(crate) client: Client,
    /// Where its failed scrapes are logged.
    pub(crate) failure_log: Option<PathBuf>,
    /// What is sent to every target.
    headers: HeaderMap,
    /// Moves the offsets of targets, so that two servers do not scrape at the same moment.
    pub(crate) offset_seed: u64,
    pub(crate) body_bytes_max: usize,
    pub(crate) histograms: HistogramOptions,
    pub(crate) bucket_limits: BucketLimits,
    pub(crate) starts: StartOptions,
}

/// What becomes of start timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// What targets say of them is read. What says nothing else, `x_created` in OpenMetrics, is no series then.
    pub reads: bool,
    /// Counters that do not say theirs count from the first sample that was seen, which is left out.
    pub synthesizes: bool,
}

impl Job {
    /// Makes `config` ready.
    ///
    /// # Errors
    ///
    /// When its HTTP settings contradict each other.
    pub(crate) fn new(
        config: ScrapeConfig,
        base_dir: &Path,
        user_agent: &str,
        offset_seed: u64,
        starts: StartOptions,
    ) -> Result<Job, InvalidHttpConfig> {
        let client = Client::new(&config.http_config(), base_dir)?;
        let file = config.scrape_failure_log_file.as_ref();
        let file = file.filter(|file| !file.is_empty());
        let failure_log = file.map(|file| base_dir.join(file));
        let limit = config
            .body_size_limit
            .map_or(0, |limit| usize::try_from(limit.0).unwrap_or(0));
        let body_bytes_max = if limit == 0 {
            BODY_BYTES_MAX
        } else {
            limit.min(BODY_BYTES_MAX)
        };
        let headers = headers(&config, user_agent);
        let histograms = HistogramOptions {
            native: config.scrape_native_histograms == Some(true),
            always_classic: config.always_scrape_classic_histograms == Some(true),
            convert: config.convert_classic_histograms_to_nhcb == Some(true),
        };
        let bucket_limits = BucketLimits::new(
            config.native_histogram_bucket_limit,
            config.native_histogram_min_bucket_factor,
        );
        Ok(Job {
            config,
            client,
            failure_log,
            headers,
            offset_seed,
            body_bytes_max,
            histograms,
            bucket_limits,
            starts,
        })
    }

    /// Returns the headers to send to `target`.
    pub(crate) fn headers_for(&self, target: &Target) -> HeaderMap {
        let mut headers = self.headers.clone();
        let seconds = target.timeout.as_secs_f64().to_string();
        if let Ok(seconds) = HeaderValue::from_str(&seconds) {
            headers.insert(TIMEOUT_HEADER, seconds);
        }
        headers
    }

    /// Returns whether lines become other series under `other` than under this job.
    pub(crate) fn reads_like(&self, other: &Job) -> bool {
        let (a, b) = (&self.config, &other.config);
        a.metric_relabel_configs == b.metric_relabel_configs
            && a.honor_labels == b.honor_labels
            && a.label_limit == b.label_limit
            && a.label_name_length_limit == b.label_name_length_limit
            && a.label_value_length_limit == b.label_value_length_limit
            && a.metric_name_validation_scheme == b.metric_name_validation_scheme
    }
}

fn headers(config: &ScrapeConfig, user_agent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(ACCEPT, &accept(config));
    let is_compressed = config.enable_compression.unwrap_or(true);
    // zstd is cheaper on both sides; who does not know it reads on to gzip.
    set(
        ACCEPT_ENCODING,
        if is_compressed {
            "zstd, gzip;q=0.9"
        } else {
            "identity"
        },
    );
    set(USER_AGENT, user_agent);
    headers
}

/// Returns the protocols as an `Accept` header, most wanted first.
fn accept(config: &ScrapeConfig) -> String {
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    let mut accept = String::new();
    let escaping = config
        .metric_name_escaping_scheme
        .unwrap_or_default()
        .name();
    for protocol in config.protocols() {
        accept.push_str(protocol.media_type());
        if protocol.has_escaping() {
            accept.push_str(";escaping=");
            accept.push_str(escaping);
        }
        accept.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    accept.push_str(&format!("*/*;q=0.{weight}"));
    accept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GlobalConfig;

    #[test]
    fn accepts_as_prometheus_does() {
        let mut config = ScrapeConfig {
            job_name: "j".to_owned(),
            ..Default::default()
        };
        config.finish(&GlobalConfig::default()).unwrap();
        assert_eq!(
            accept(&config),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
    }
}
