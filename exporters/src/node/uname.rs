//! What the kernel calls itself: uname(2).

use metrics::MetricFamily;

use super::error::CollectError;
use super::family::gauges;
use super::files::Files;

pub(super) fn collect(_: &mut Files<'_>, out: &mut Vec<MetricFamily>) -> Result<(), CollectError> {
    let uname = rustix::system::uname();
    let mut info = gauges(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
    );
    let labels = [
        ("sysname", &uname.sysname().to_string_lossy()),
        ("release", &uname.release().to_string_lossy()),
        ("version", &uname.version().to_string_lossy()),
        ("machine", &uname.machine().to_string_lossy()),
        ("nodename", &uname.nodename().to_string_lossy()),
        ("domainname", &uname.domainname().to_string_lossy()),
    ];
    info.push(&labels.map(|(name, value)| (name, &**value)), 1.0);
    out.push(info);
    Ok(())
}
