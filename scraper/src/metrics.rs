//! What scraping says about itself, under the names that Prometheus gives the same things.

use metrics::{Counter, Family, Gauge, Histogram, Registry, Summary};

/// The quantiles that Prometheus' summaries of scraping have.
const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

/// The instruments of scrape pools and loops.
#[derive(Clone)]
pub(crate) struct ScrapeMetrics {
    pub(crate) interval_length: Family<Summary>,
    pub(crate) pools: Counter,
    pub(crate) pool_reloads: Counter,
    pub(crate) pool_targets: Family<Gauge>,
    pub(crate) pool_target_limit: Family<Gauge>,
    pub(crate) pool_dropped: Family<Gauge>,
    pub(crate) pool_syncs: Family<Counter>,
    pub(crate) sync_length: Family<Summary>,
    pub(crate) sync_failed: Family<Counter>,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) duplicate_timestamp: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) exemplar_out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) exceeded_sample_limit: Counter,
    pub(crate) exceeded_body_size_limit: Counter,
    pub(crate) exceeded_bucket_limit: Counter,
    pub(crate) failure_log_dropped: Counter,
    pub(crate) unconvertible: Counter,
    pub(crate) metadata_entries: Family<Gauge>,
    pub(crate) discovery: DiscoveryMetrics,
}

/// The instruments of service discovery.
#[derive(Clone)]
pub(crate) struct DiscoveryMetrics {
    pub(crate) file_read_errors: Counter,
    pub(crate) file_watcher_errors: Counter,
    pub(crate) file_scan_duration: Histogram,
    pub(crate) updates: Family<Counter>,
    /// By mechanism and job.
    pub(crate) refresh_failures: Family<Counter>,
    pub(crate) refresh_duration: Family<Summary>,
    /// By consumer and section.
    pub(crate) discovered_targets: Family<Gauge>,
    pub(crate) failed_configs: Family<Gauge>,
    pub(crate) http_failures: Counter,
    pub(crate) dns_lookups: Counter,
    pub(crate) dns_failures: Counter,
    pub(crate) azure_failures: Counter,
    pub(crate) azure_cache_hits: Counter,
    pub(crate) consul_failures: Counter,
    pub(crate) kuma_failures: Counter,
    pub(crate) kuma_skipped: Counter,
    pub(crate) zookeeper_failures: Counter,
    pub(crate) kubernetes_failures: Counter,
    /// By role and event.
    pub(crate) kubernetes_events: Family<Counter>,
}

impl DiscoveryMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let buckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
        DiscoveryMetrics {
            file_read_errors: registry.counter(
                "prometheus_sd_file_read_errors_total",
                "The number of File-SD read errors.",
            ),
            file_watcher_errors: registry.counter(
                "prometheus_sd_file_watcher_errors_total",
                "The number of File-SD errors caused by filesystem watch failures.",
            ),
            file_scan_duration: registry.histogram(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                &buckets,
            ),
            updates: registry.counter_vec(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
                &["name"],
            ),
            refresh_failures: registry.counter_vec(
                "prometheus_sd_refresh_failures_total",
                "Number of refresh failures for the given SD mechanism.",
                &["mechanism", "config"],
            ),
            refresh_duration: registry.summary_vec(
                "prometheus_sd_refresh_duration_seconds",
                "The duration of a refresh in seconds for the given SD mechanism.",
                &["mechanism", "config"],
                &[0.5, 0.9, 0.99],
            ),
            discovered_targets: registry.gauge_vec(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            failed_configs: registry.gauge_vec(
                "prometheus_sd_failed_configs",
                "Current number of service discovery configurations that failed to load.",
                &["name"],
            ),
            http_failures: registry.counter(
                "prometheus_sd_http_failures_total",
                "Number of HTTP service discovery refresh failures.",
            ),
            dns_lookups: registry.counter(
                "prometheus_sd_dns_lookups_total",
                "The number of DNS-SD lookups.",
            ),
            dns_failures: registry.counter(
                "prometheus_sd_dns_lookup_failures_total",
                "The number of DNS-SD lookup failures.",
            ),
            azure_failures: registry.counter(
                "prometheus_sd_azure_failures_total",
                "Number of Azure service discovery refresh failures.",
            ),
            azure_cache_hits: registry.counter(
                "prometheus_sd_azure_cache_hit_total",
                "Number of cache hit during refresh.",
            ),
            kuma_failures: registry.counter(
                "prometheus_sd_kuma_fetch_failures_total",
                "The number of Kuma MADS fetch call failures.",
            ),
            kuma_skipped: registry.counter(
                "prometheus_sd_kuma_fetch_skipped_updates_total",
                "The number of Kuma MADS fetch calls that result in no updates to the targets.",
            ),
            zookeeper_failures: registry.counter(
                "prometheus_treecache_zookeeper_failures_total",
                "The total number of ZooKeeper failures.",
            ),
            consul_failures: registry.counter(
                "prometheus_sd_consul_rpc_failures_total",
                "The number of Consul RPC call failures.",
            ),
            kubernetes_failures: registry.counter(
                "prometheus_sd_kubernetes_failures_total",
                "The number of failed WATCH/LIST requests.",
            ),
            kubernetes_events: registry.counter_vec(
                "prometheus_sd_kubernetes_events_total",
                "The number of Kubernetes events handled.",
                &["role", "event"],
            ),
        }
    }
}

impl ScrapeMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let gauges = |name, help| registry.gauge_vec(name, help, &["scrape_job"]);
        let counters = |name, help| registry.counter_vec(name, help, &["scrape_job"]);
        ScrapeMetrics {
            interval_length: registry.summary_vec(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                &QUANTILES,
            ),
            pools: counter(
                "prometheus_target_scrape_pools_total",
                "Total number of scrape pool creation attempts.",
            ),
            pool_reloads: counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            ),
            pool_targets: gauges(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
            ),
            pool_target_limit: gauges(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
            ),
            pool_dropped: gauges(
                "prometheus_target_scrape_pool_dropped_targets",
                "Current number of targets that relabelling dropped in this scrape pool.",
            ),
            pool_syncs: counters(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
            ),
            sync_length: registry.summary_vec(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                &["scrape_job"],
                &QUANTILES,
            ),
            sync_failed: counters(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
            ),
            exceeded_target_limit: counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            exceeded_label_limits: counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            duplicate_timestamp: counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            exemplar_out_of_order: counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
            out_of_bounds: counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            exceeded_sample_limit: counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            failure_log_dropped: counter(
                "hearth_scrape_failure_log_dropped_total",
                "Failed scrapes that could not be written to their log.",
            ),
            exceeded_body_size_limit: counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit.",
            ),
            exceeded_bucket_limit: counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            unconvertible: counter(
                "hearth_target_scrapes_unconvertible_histograms_total",
                "Total number of classic histograms that contradicted themselves and were not converted to native ones.",
            ),
            metadata_entries: gauges(
                "prometheus_target_metadata_cache_entries",
                "Total number of metric metadata entries in the cache.",
            ),
            discovery: DiscoveryMetrics::new(registry),
        }
    }

    /// Removes what pools of `job` reported.
    pub(crate) fn forget_pool(&self, job: &str) {
        for gauges in [
            &self.pool_targets,
            &self.pool_target_limit,
            &self.pool_dropped,
        ] {
            gauges.remove(&[job]);
        }
        self.pool_syncs.remove(&[job]);
        self.sync_length.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.discovery.discovered_targets.remove(&["scrape", job]);
    }

    /// Removes the count of the metadata of `job` if it is zero.
    pub(crate) fn forget_metadata_if_none(&self, job: &str) {
        if self.metadata_entries.with(&[job]).value() <= 0.0 {
            self.metadata_entries.remove(&[job]);
        }
    }
}
