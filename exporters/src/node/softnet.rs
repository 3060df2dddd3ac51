//! Network receive processing per CPU: `/proc/net/softnet_stat`.

use metrics::{MetricFamily, MetricKind};

use super::error::{CollectError, hexadecimal};
use super::files::Files;

/// One family: which column of the file, kind, name, help. Kernels before a column was added show 0.
const FAMILIES: [(usize, MetricKind, &str, &str); 7] = [
    (
        0,
        MetricKind::Counter,
        "node_softnet_processed_total",
        "Number of processed packets",
    ),
    (
        1,
        MetricKind::Counter,
        "node_softnet_dropped_total",
        "Number of dropped packets",
    ),
    (
        2,
        MetricKind::Counter,
        "node_softnet_times_squeezed_total",
        "Number of times processing packets ran out of quota",
    ),
    (
        8,
        MetricKind::Counter,
        "node_softnet_cpu_collision_total",
        "Number of collision occur while obtaining device lock while transmitting",
    ),
    (
        9,
        MetricKind::Counter,
        "node_softnet_received_rps_total",
        "Number of times cpu woken up received_rps",
    ),
    (
        10,
        MetricKind::Counter,
        "node_softnet_flow_limit_count_total",
        "Number of times flow limit has been reached",
    ),
    (
        11,
        MetricKind::Gauge,
        "node_softnet_backlog_len",
        "Softnet backlog status",
    ),
];

/// The column that says which CPU it is; before it existed, line n was CPU n.
const CPU_COLUMN: usize = 12;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let text = files
        .proc("net/softnet_stat")
        .map_err(|why| why.or_no_data("no softnet statistics"))?;
    let rows = parse_softnet(&text)?;
    for (column, kind, name, help) in FAMILIES {
        let mut family = MetricFamily::new(name, help, kind);
        for (line, row) in rows.iter().enumerate() {
            let cpu = row.get(CPU_COLUMN).copied().unwrap_or(line as u64);
            let value = row.get(column).copied().unwrap_or(0);
            family.push(&[("cpu", &cpu.to_string())], value as f64);
        }
        out.push(family);
    }
    Ok(())
}

/// Reads the rows of hexadecimal numbers, one per CPU that is on.
fn parse_softnet(text: &str) -> Result<Vec<Vec<u64>>, CollectError> {
    let row = |line: &str| {
        line.split_ascii_whitespace()
            .map(|field| hexadecimal("softnet_stat", field))
            .collect()
    };
    text.lines().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_hexadecimal_numbers() {
        assert_eq!(
            parse_softnet("0000000a 00000001\n00000000 000000ff").unwrap(),
            [[10, 1], [0, 255]]
        );
        assert!(parse_softnet("xyz").is_err());
    }
}
