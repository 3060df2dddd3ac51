//! The engine's own metrics, under Prometheus' names.

use metrics::{Counter, Family, Gauge, Histogram, Registry, Summary};

/// Instruments of one database; clones count together.
#[derive(Clone)]
pub struct TsdbMetrics {
    pub(crate) series: Gauge,
    pub(crate) stale_series: Gauge,
    pub(crate) series_created: Counter,
    pub(crate) series_removed: Counter,
    pub(crate) chunks: Gauge,
    pub(crate) chunks_created: Counter,
    pub(crate) chunks_removed: Counter,
    pub(crate) samples_appended: Counter,
    pub(crate) histograms_appended: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) too_old: Counter,
    pub(crate) late_appended: Counter,
    pub(crate) min_time: Gauge,
    pub(crate) max_time: Gauge,
    pub(crate) min_time_seconds: Gauge,
    pub(crate) max_time_seconds: Gauge,
    pub(crate) symbol_table_bytes: Gauge,
    pub(crate) wal_segment: Gauge,
    pub(crate) wal_writes_failed: Counter,
    pub(crate) wal_corruptions: Counter,
    pub(crate) wal_bytes: Gauge,
    pub(crate) wal_fsync: Summary,
    pub(crate) head_chunk_corruptions: Counter,
    pub(crate) head_chunk_writes_failed: Counter,
    pub(crate) head_chunk_bytes: Gauge,
    pub(crate) truncations: Counter,
    pub(crate) truncations_failed: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) checkpoints_failed: Counter,
    pub(crate) replay_seconds: Gauge,
    pub(crate) clean_start: Gauge,
    pub(crate) blocks_loaded: Gauge,
    pub(crate) blocks_bytes: Gauge,
    pub(crate) lowest_time: Gauge,
    pub(crate) reloads: Counter,
    pub(crate) reloads_failed: Counter,
    pub(crate) compactions: Counter,
    pub(crate) compactions_failed: Counter,
    pub(crate) compaction_seconds: Histogram,
    pub(crate) time_retentions: Counter,
    pub(crate) size_retentions: Counter,
    pub(crate) retention_limit: Gauge,
    pub(crate) retention_limit_bytes: Gauge,
    pub(crate) retention_limit_percentage: Gauge,
    pub(crate) exemplars_appended: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) exemplars: Gauge,
    pub(crate) exemplar_series: Gauge,
    pub(crate) exemplars_oldest_seconds: Gauge,
    pub(crate) exemplars_max: Gauge,
}

impl TsdbMetrics {
    /// Registers the instruments.
    pub fn new(registry: &Registry) -> Self {
        let by_type = |family: Family<Counter>| family.with(&["float"]);
        let samples_appended = registry.counter_vec(
            "prometheus_tsdb_head_samples_appended_total",
            "Total number of appended samples.",
            &["type"],
        );
        TsdbMetrics {
            series: registry.gauge("prometheus_tsdb_head_series", "Total number of series in the head block."),
            stale_series: registry
                .gauge("prometheus_tsdb_head_stale_series", "Total number of stale series in the head block."),
            series_created: registry
                .counter("prometheus_tsdb_head_series_created_total", "Total number of series created in the head"),
            series_removed: registry
                .counter("prometheus_tsdb_head_series_removed_total", "Total number of series removed in the head"),
            chunks: registry.gauge("prometheus_tsdb_head_chunks", "Total number of chunks in the head block."),
            chunks_created: registry
                .counter("prometheus_tsdb_head_chunks_created_total", "Total number of chunks created in the head"),
            chunks_removed: registry
                .counter("prometheus_tsdb_head_chunks_removed_total", "Total number of chunks removed in the head"),
            samples_appended: samples_appended.with(&["float"]),
            histograms_appended: samples_appended.with(&["histogram"]),
            out_of_order: by_type(registry.counter_vec(
                "prometheus_tsdb_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
                &["type"],
            )),
            out_of_bounds: by_type(registry.counter_vec(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
                &["type"],
            )),
            too_old: by_type(registry.counter_vec(
                "prometheus_tsdb_too_old_samples_total",
                "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
                &["type"],
            )),
            late_appended: by_type(registry.counter_vec(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Total number of appended out of order samples.",
                &["type"],
            )),
            min_time: registry.gauge("prometheus_tsdb_head_min_time", "Minimum time bound of the head block."),
            max_time: registry.gauge("prometheus_tsdb_head_max_time", "Maximum timestamp of the head block."),
            min_time_seconds: registry
                .gauge("prometheus_tsdb_head_min_time_seconds", "Minimum time bound of the head block."),
            max_time_seconds: registry
                .gauge("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block."),
            symbol_table_bytes: registry
                .gauge("prometheus_tsdb_symbol_table_size_bytes", "Size of symbol table in memory for the head."),
            wal_segment: registry
                .gauge("prometheus_tsdb_wal_segment_current", "Write log segment index that TSDB is currently writing to."),
            wal_writes_failed: registry
                .counter("prometheus_tsdb_wal_writes_failed_total", "Total number of write log writes that failed."),
            wal_corruptions: registry
                .counter("prometheus_tsdb_wal_corruptions_total", "Total number of WAL corruptions."),
            wal_bytes: registry.gauge("prometheus_tsdb_wal_storage_size_bytes", "Size of the write log directory."),
            wal_fsync: registry.summary(
                "prometheus_tsdb_wal_fsync_duration_seconds",
                "Duration of write log fsync.",
                &[0.5, 0.9, 0.99],
            ),
            head_chunk_corruptions: registry.counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Total number of memory-mapped chunk corruptions.",
            ),
            head_chunk_writes_failed: registry.counter(
                "hearth_tsdb_head_chunk_writes_failed_total",
                "Total number of failed writes to head chunk files; the chunks stay in memory and are tried again.",
            ),
            head_chunk_bytes: registry
                .gauge("prometheus_tsdb_head_chunks_storage_size_bytes", "Size of the chunks_head directory."),
            truncations: registry
                .counter("prometheus_tsdb_head_truncations_total", "Total number of head truncations attempted."),
            truncations_failed: registry
                .counter("prometheus_tsdb_head_truncations_failed_total", "Total number of head truncations that failed."),
            checkpoints: registry.counter(
                "prometheus_tsdb_checkpoint_creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            checkpoints_failed: registry.counter(
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            blocks_loaded: registry
                .gauge("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks"),
            blocks_bytes: registry.gauge(
                "prometheus_tsdb_storage_blocks_bytes",
                "The number of bytes that are currently used for local storage by all blocks.",
            ),
            lowest_time: registry
                .gauge("prometheus_tsdb_lowest_timestamp", "Lowest timestamp value stored in the database."),
            reloads: registry.counter(
                "prometheus_tsdb_reloads_total",
                "Number of times the database reloaded block data from disk.",
            ),
            reloads_failed: registry.counter(
                "prometheus_tsdb_reloads_failures_total",
                "Number of times the database failed to reloadBlocks block data from disk.",
            ),
            compactions: registry.counter(
                "prometheus_tsdb_compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            compactions_failed: registry.counter(
                "prometheus_tsdb_compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            compaction_seconds: registry.histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "Duration of compaction runs",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0],
            ),
            time_retentions: registry.counter(
                "prometheus_tsdb_time_retentions_total",
                "The number of times that blocks were deleted because the maximum time limit was exceeded.",
            ),
            size_retentions: registry.counter(
                "prometheus_tsdb_size_retentions_total",
                "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
            ),
            retention_limit: registry.gauge(
                "prometheus_tsdb_retention_limit_seconds",
                "How long to retain samples in storage.",
            ),
            retention_limit_bytes: registry.gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            ),
            retention_limit_percentage: registry.gauge(
                "prometheus_tsdb_retention_limit_percentage",
                "How much of the disk may be filled, in hundredths of it; 0 is no limit.",
            ),
            exemplars_appended: registry.counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Total number of appended exemplars.",
            ),
            exemplars_out_of_order: registry.counter(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Total number of out of order exemplar ingestion failed attempts.",
            ),
            exemplars: registry.gauge(
                "prometheus_tsdb_exemplar_exemplars_in_storage",
                "Number of exemplars currently in circular storage.",
            ),
            exemplar_series: registry.gauge(
                "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
                "Number of series with exemplars currently in circular storage.",
            ),
            exemplars_oldest_seconds: registry.gauge(
                "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
                "The timestamp of the oldest exemplar stored in circular storage.",
            ),
            exemplars_max: registry.gauge(
                "prometheus_tsdb_exemplar_max_exemplars",
                "Total number of exemplars the exemplar storage can store, resizeable.",
            ),
            replay_seconds: registry
                .gauge("prometheus_tsdb_data_replay_duration_seconds", "Time taken to replay the data on disk."),
            clean_start: registry.gauge(
                "prometheus_tsdb_clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            ),
        }
    }
}
