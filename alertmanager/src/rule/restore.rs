//! The `for` state over restarts: an alert that was pending or firing before goes on where it was.

use model::labels::METRIC_NAME;
use model::storage::{Queryable, ReadError, SampleColumns, SelectHints};
use model::{Duration, Labels, Matcher};

use super::alerting::{ALERTS_FOR_STATE, AlertingRule};

/// How far the state of before a restart is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreOptions {
    /// How long the outage may have been.
    pub outage_tolerance: Duration,
    /// How long a restored alert waits at least before it fires (again), so that data can come in; rules whose `for` is
    /// shorter are not restored.
    pub grace_period: Duration,
}

impl Default for RestoreOptions {
    /// Prometheus' defaults: an hour and ten minutes.
    fn default() -> Self {
        RestoreOptions {
            outage_tolerance: Duration::from_secs(3_600),
            grace_period: Duration::from_secs(600),
        }
    }
}

/// Gives the active alerts of `rule` the start that `ALERTS_FOR_STATE` remembers, and lets the rule write its series.
///
/// # Errors
///
/// When storage cannot be read; the rule then counts as restored all the same, as waiting would lose more.
pub(super) fn restore(
    rule: &mut AlertingRule,
    now_ms: i64,
    storage: &dyn Queryable,
    options: RestoreOptions,
) -> Result<(), ReadError> {
    rule.is_restored = true;
    let hold_ms = rule.config().hold.as_ms();
    let grace_ms = options.grace_period.as_ms();
    if hold_ms < grace_ms || rule.active.is_empty() {
        return Ok(());
    }
    let remembered = remembered(&rule.config().alert, now_ms, storage, options)?;
    for (labels, alert) in &mut rule.active {
        let Some((_, down_at_ms, started_ms)) =
            remembered.iter().find(|(series, ..)| series == labels)
        else {
            continue;
        };
        let remaining_ms = hold_ms - (down_at_ms - started_ms);
        alert.active_at_ms = if remaining_ms <= 0 {
            // It was firing: the next evaluation lets it fire again.
            *started_ms
        } else if remaining_ms < grace_ms {
            now_ms + grace_ms - hold_ms
        } else {
            // The outage does not count as time that it was pending.
            started_ms + (now_ms - down_at_ms)
        };
    }
    Ok(())
}

/// Returns the alerts that `ALERTS_FOR_STATE` knows: labels, last time seen, active since; milliseconds.
fn remembered(
    alert: &str,
    now_ms: i64,
    storage: &dyn Queryable,
    options: RestoreOptions,
) -> Result<Vec<(Labels, i64, i64)>, ReadError> {
    let mint = now_ms - options.outage_tolerance.as_ms();
    let querier = storage.querier(mint, now_ms)?;
    let matchers = [
        Matcher::equal(METRIC_NAME, ALERTS_FOR_STATE),
        Matcher::equal("alertname", alert),
    ];
    let series = querier.select(&matchers, &SelectHints::range(mint, now_ms))?;
    let mut scratch = SampleColumns::default();
    let mut found = Vec::new();
    for index in 0..series.len() {
        let Some(sample) = series.newest(index, mint, now_ms, &mut scratch)? else {
            continue;
        };
        let Some(seconds) = sample.value.as_float().filter(|value| value.is_finite()) else {
            continue;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a time of ours; whatever else is in storage saturates"
        )]
        let started_ms = (seconds * 1_000.0) as i64;
        found.push((
            series.labels(index).without(|name| name == METRIC_NAME),
            sample.t,
            started_ms,
        ));
    }
    Ok(found)
}
