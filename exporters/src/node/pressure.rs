//! Pressure stall information: how long work waited for a resource.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::counter;
use super::files::Files;

/// One family: the file, the line of it, the name and the help.
const FAMILIES: [(&str, &str, &str, &str); 6] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IRQ congestion",
    ),
];

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    for (resource, line, name, help) in FAMILIES {
        let text = match files.proc(&format!("pressure/{resource}")) {
            Ok(text) => text,
            // Kernels before 6.1, and those without interrupt accounting, have the other three.
            Err(_) if resource == "irq" => continue,
            Err(why) => return Err(no_data_if_off(why)),
        };
        if let Some(seconds) = parse_total_seconds(&text, line)? {
            counter(out, name, help, seconds);
        }
    }
    Ok(())
}

/// Without `psi=1` the files are absent, or there and not readable (EOPNOTSUPP).
fn no_data_if_off(why: CollectError) -> CollectError {
    let reason = "the kernel does not keep pressure information";
    match &why {
        CollectError::Read { source, .. } if source.kind() == std::io::ErrorKind::Unsupported => {
            CollectError::NoData(reason)
        }
        _ => why.or_no_data(reason),
    }
}

/// Reads `total`, in microseconds, of the line that begins with `kind` (`some` or `full`), if there is one.
fn parse_total_seconds(text: &str, kind: &str) -> Result<Option<f64>, CollectError> {
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(kind));
    let total = line.and_then(|line| {
        line.split(' ')
            .find_map(|field| field.strip_prefix("total="))
    });
    let Some(total) = total else { return Ok(None) };
    let microseconds: f64 = number("pressure", total)?;
    // Divided twice, as node_exporter does, so that even the last bit is the same.
    Ok(Some(microseconds / 1_000.0 / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802\n\
                        full avg10=0.18 avg60=0.34 avg300=0.10 total=159229614\n";

    #[test]
    fn totals_in_seconds() {
        assert_eq!(
            parse_total_seconds(TEXT, "some").unwrap(),
            Some(159.886_802)
        );
        assert_eq!(
            parse_total_seconds(TEXT, "full").unwrap(),
            Some(159.229_614)
        );
    }

    #[test]
    fn odd_input() {
        assert_eq!(parse_total_seconds("", "some").unwrap(), None);
        assert_eq!(parse_total_seconds("some avg10=0\n", "some").unwrap(), None);
        assert!(parse_total_seconds("some total=x\n", "some").is_err());
    }
}
