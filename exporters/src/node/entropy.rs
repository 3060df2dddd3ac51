//! The kernel's pool of randomness: `/proc/sys/kernel/random`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::gauge;
use super::files::Files;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let available = number(
        "entropy_avail",
        files.proc("sys/kernel/random/entropy_avail")?.trim(),
    )?;
    gauge(
        out,
        "node_entropy_available_bits",
        "Bits of available entropy.",
        available,
    );
    let size = number("poolsize", files.proc("sys/kernel/random/poolsize")?.trim())?;
    gauge(
        out,
        "node_entropy_pool_size_bits",
        "Bits of entropy pool.",
        size,
    );
    Ok(())
}
