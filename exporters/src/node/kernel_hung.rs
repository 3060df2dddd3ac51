//! Tasks that the kernel found hanging: `/proc/sys/kernel/hung_task_detect_count`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::counter;
use super::files::Files;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let text = files.proc("sys/kernel/hung_task_detect_count");
    let text = text.map_err(|why| why.or_no_data("the kernel does not count hung tasks"))?;
    let help = "Total number of tasks that have been detected as hung since the system booted.";
    counter(
        out,
        "node_kernel_hung_tasks_total",
        help,
        number("hung_task_detect_count", text.trim())?,
    );
    Ok(())
}
