//! The flags of the database, and what they come to together with the configuration.

use std::path::PathBuf;

use model::Duration;
use tsdb::chunk::Encoding;
use tsdb::{Compression, DbOptions, HeadOptions, Retention, SegmentOptions};

use crate::cli::flag::Values;
use crate::config::{FloatEncoding, Loaded};

/// The span of the largest block, unless a flag says otherwise: this, or a tenth of the retention if that is less.
const BLOCK_RANGE_MAX: Duration = Duration::from_secs(31 * 86_400);

/// How the database is opened, by flags.
#[derive(Clone, Debug)]
pub(crate) struct StorageSettings {
    /// What is kept; a time of zero says nothing.
    pub(crate) retention: Retention,
    segment: SegmentOptions,
    block_range: Duration,
    block_range_max: Option<Duration>,
    chunk_segment_bytes: u64,
    merges_overlapping: bool,
    uploaded_blocks_file: Option<PathBuf>,
    reload_interval: std::time::Duration,
    is_xor2: bool,
    stores_starts: bool,
    histogram_starts: bool,
    zeros_at_starts: bool,
    /// Whether exemplars are kept even if the configuration says nothing of them.
    pub(crate) keeps_exemplars: bool,
    /// Whether metadata of series is logged.
    logs_metadata: bool,
    lock: bool,
}

impl StorageSettings {
    /// Decides what the flags mean.
    ///
    /// # Errors
    ///
    /// With the flag that makes no sense.
    pub(super) fn of(values: &Values, features: &[&str]) -> anyhow::Result<Self> {
        let bytes_max = values.size("storage.tsdb.wal-segment-size").0;
        anyhow::ensure!(
            (10 << 20..=256 << 20).contains(&bytes_max),
            "--storage.tsdb.wal-segment-size must be from 10MB to 256MB"
        );
        let compression = match values.text("storage.tsdb.wal-compression-type") {
            _ if !values.is_on("storage.tsdb.wal-compression") => Compression::None,
            "zstd" => Compression::Zstd,
            _ => Compression::Snappy,
        };
        let block_range = values.duration("storage.tsdb.min-block-duration");
        anyhow::ensure!(
            !block_range.is_zero(),
            "--storage.tsdb.min-block-duration must be more than 0"
        );
        let block_range_max = Some(values.duration("storage.tsdb.max-block-duration"));
        let block_range_max = block_range_max.filter(|range| !range.is_zero());
        anyhow::ensure!(
            block_range_max.is_none_or(|max| block_range <= max),
            "--storage.tsdb.max-block-duration must not be less than --storage.tsdb.min-block-duration ({block_range})"
        );
        let file = values.text("storage.tsdb.delay-compact-file.path");
        let reload = values.duration("storage.tsdb.block-reload-interval");
        Ok(StorageSettings {
            retention: Retention {
                time: values.duration("storage.tsdb.retention.time"),
                bytes: values.size("storage.tsdb.retention.size").0,
                disk_percentage: 0.0,
            },
            segment: SegmentOptions {
                bytes_max,
                compression,
            },
            block_range,
            block_range_max,
            chunk_segment_bytes: values
                .size("storage.tsdb.max-block-chunk-segment-size")
                .0
                .max(1 << 20),
            merges_overlapping: values.is_on("storage.tsdb.allow-overlapping-compaction"),
            uploaded_blocks_file: (!file.is_empty()).then(|| PathBuf::from(file)),
            reload_interval: reload.max(Duration::from_secs(1)).to_std(),
            is_xor2: features.contains(&"xor2-encoding"),
            stores_starts: features.contains(&"st-storage"),
            histogram_starts: features.contains(&"histograms-st-encoding"),
            zeros_at_starts: features.contains(&"created-timestamp-zero-ingestion"),
            keeps_exemplars: features.contains(&"exemplar-storage"),
            logs_metadata: features.contains(&"metadata-wal-records"),
            lock: !values.is_on("storage.tsdb.no-lockfile"),
        })
    }

    /// Returns how the database is opened with this configuration.
    ///
    /// # Errors
    ///
    /// When start timestamps are to be stored in chunks that have no place for them.
    pub(crate) fn options(&self, loaded: &Loaded) -> anyhow::Result<DbOptions> {
        let retention = loaded.retention(self.retention);
        let range_ms = self.block_range.as_ms();
        let by_retention = match retention.time.as_ms() {
            0 => BLOCK_RANGE_MAX.as_ms(),
            time => BLOCK_RANGE_MAX.as_ms().min(time / 10),
        };
        let range_max_ms = self
            .block_range_max
            .map_or(by_retention, |range| range.as_ms());
        let floats = match loaded.float_encoding() {
            Some(FloatEncoding::Xor2) => Encoding::Xor2,
            Some(FloatEncoding::Xor) => Encoding::Xor,
            None if self.is_xor2 => Encoding::Xor2,
            None => Encoding::Xor,
        };
        anyhow::ensure!(
            !self.stores_starts || floats.has_starts(),
            "--enable-feature=st-storage: chunks of floats in the encoding xor have no place for start timestamps; \
             set chunk_encoding: {{floats: xor2}} in storage.tsdb of the configuration"
        );
        let mut head = HeadOptions {
            segment: self.segment,
            ..HeadOptions::default()
        };
        head.chunks.range_ms = range_ms;
        head.exemplars_max = loaded.exemplars_max(self.keeps_exemplars);
        head.logs_metadata = self.logs_metadata;
        head.chunks.encodings.floats = floats;
        head.chunks.encodings.histogram_starts = self.histogram_starts;
        head.stores_starts = self.stores_starts;
        head.zeros_at_starts = self.zeros_at_starts;
        Ok(DbOptions {
            retention,
            head,
            block_range_max_ms: range_max_ms.max(range_ms),
            chunk_segment_bytes: self.chunk_segment_bytes,
            merges_overlapping: self.merges_overlapping,
            uploaded_blocks_file: self.uploaded_blocks_file.clone(),
            late_window: loaded.late_window(),
            stale_share_min: loaded.stale_share_min(),
            reload_interval: self.reload_interval,
            lock: self.lock,
        })
    }
}
