//! Native histograms between two samples.

use model::FloatHistogram;
use model::histogram::ResetHint;

use super::arithmetic::{add, scaled, subtract};
use super::total::{Added, Incompatible};

/// Returns the histogram that is `fraction` of the way from `before` to `after`, from 0 to 1.
///
/// With `is_reset`, a counter was reset on the way: it is taken to have started from zero right after `before`.
pub(crate) fn interpolated(
    before: &FloatHistogram,
    after: &FloatHistogram,
    fraction: f64,
    is_reset: bool,
) -> Result<(FloatHistogram, Added), Incompatible> {
    if before.has_custom_buckets() != after.has_custom_buckets() {
        return Err(Incompatible);
    }
    if is_reset {
        let mut since_reset = scaled(after.clone(), fraction);
        since_reset.reset_hint = ResetHint::CounterReset;
        return Ok((since_reset, Added::default()));
    }
    let mut change = after.clone();
    let added = subtract(&mut change, before)?;
    let mut between = before.clone();
    add(&mut between, &scaled(change, fraction))?;
    between.reset_hint = match before.reset_hint {
        ResetHint::Gauge => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    Ok((between, added))
}
