//! What each scrape reports about itself.

use model::labels::METRIC_NAME;
use model::storage::{AppendError, Appender, SeriesRef};

use crate::target::Target;

/// The series that a scrape reports, in the order of [`ReportSeries`]; the last three only if asked for.
const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// How many of [`NAMES`] are reported when nothing more is asked for.
const BASIC: usize = 5;

/// What a scrape reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) up: bool,
    pub(crate) duration_s: f64,
    pub(crate) scraped: u64,
    pub(crate) post_relabel: u64,
    pub(crate) series_added: u64,
    pub(crate) timeout_s: f64,
    pub(crate) sample_limit: u64,
    /// Uncompressed; -1 over the limit, 0 without a body.
    pub(crate) body_bytes: f64,
}

impl Report {
    /// Returns the values in the order of the names.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) fn values(&self, with_extra: bool) -> impl Iterator<Item = f64> {
        let values = [
            f64::from(u8::from(self.up)),
            self.duration_s,
            self.scraped as f64,
            self.post_relabel as f64,
            self.series_added as f64,
            self.timeout_s,
            self.sample_limit as f64,
            self.body_bytes,
        ];
        values
            .into_iter()
            .take(if with_extra { NAMES.len() } else { BASIC })
    }
}

/// The handles of a target's report series, asked for when first needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReportSeries([Option<SeriesRef>; NAMES.len()]);

impl ReportSeries {
    /// Returns the handle of the series at `index`.
    pub(crate) fn series(
        &mut self,
        index: usize,
        target: &Target,
        appender: &mut dyn Appender,
    ) -> Result<SeriesRef, AppendError> {
        if let Some(series) = self.0[index] {
            return Ok(series);
        }
        let mut pairs: Vec<(&str, &str)> = target.labels.iter().collect();
        pairs.push((METRIC_NAME, NAMES[index]));
        pairs.sort_unstable();
        let series = appender.series(&pairs)?;
        self.0[index] = Some(series);
        Ok(series)
    }

    /// Forgets a handle that storage does not know any more.
    pub(crate) fn forget(&mut self, index: usize) {
        self.0[index] = None;
    }

    /// Returns the handles that were ever asked for.
    pub(crate) fn known(&self) -> impl Iterator<Item = SeriesRef> {
        self.0.into_iter().flatten()
    }
}
