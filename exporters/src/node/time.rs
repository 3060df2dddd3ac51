//! The clock: what time it is, in which zone, and what drives it.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use metrics::MetricFamily;

use super::error::CollectError;
use super::family::{gauge, gauges};
use super::files::Files;

const CLOCKSOURCES: &str = "devices/system/clocksource";

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    gauge(
        out,
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        now.as_secs_f64(),
    );

    let zone = TimeZone::system();
    let offset = zone.to_offset_info(Timestamp::now());
    let mut zones = gauges(
        "node_time_zone_offset_seconds",
        "System time zone offset in seconds.",
    );
    zones.push(
        &[("time_zone", offset.abbreviation())],
        f64::from(offset.offset().seconds()),
    );
    out.push(zones);
    collect_clocksources(files, out)
}

fn collect_clocksources(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let mut available = gauges(
        "node_time_clocksource_available_info",
        "Available clocksources read from '/sys/devices/system/clocksource'.",
    );
    let mut current = gauges(
        "node_time_clocksource_current_info",
        "Current clocksource read from '/sys/devices/system/clocksource'.",
    );
    for name in files.sys_names(CLOCKSOURCES)? {
        let Some(device) = name.strip_prefix("clocksource") else {
            continue;
        };
        let sources = files.sys(&format!("{CLOCKSOURCES}/{name}/available_clocksource"))?;
        for source in sources.split_ascii_whitespace() {
            available.push(&[("device", device), ("clocksource", source)], 1.0);
        }
        let source = files.sys(&format!("{CLOCKSOURCES}/{name}/current_clocksource"))?;
        current.push(&[("device", device), ("clocksource", source.trim())], 1.0);
    }
    out.extend([available, current]);
    Ok(())
}
