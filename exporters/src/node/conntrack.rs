//! Connection tracking: `/proc/sys/net/netfilter` and `/proc/net/stat/nf_conntrack`.

use metrics::MetricFamily;

use super::error::{CollectError, hexadecimal, number};
use super::family::gauge;
use super::files::Files;

/// Column of the statistics, and help. What each counts is summed over the CPUs.
const COLUMNS: [(&str, &str); 8] = [
    (
        "drop",
        "Number of packets dropped due to conntrack failure.",
    ),
    (
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    ("found", "Number of searched entries which were successful."),
    (
        "ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    ("insert", "Number of entries inserted into the list."),
    (
        "insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (
        "invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

const STAT: &str = "net/stat/nf_conntrack";

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    collect_loaded(files, out).map_err(|why| why.or_no_data("connection tracking is not loaded"))
}

fn collect_loaded(files: &mut Files<'_>, out: &mut Vec<MetricFamily>) -> Result<(), CollectError> {
    let count = number(
        "nf_conntrack_count",
        files.proc("sys/net/netfilter/nf_conntrack_count")?.trim(),
    )?;
    let help = "Number of currently allocated flow entries for connection tracking.";
    gauge(out, "node_nf_conntrack_entries", help, count);
    let limit = number(
        "nf_conntrack_max",
        files.proc("sys/net/netfilter/nf_conntrack_max")?.trim(),
    )?;
    gauge(
        out,
        "node_nf_conntrack_entries_limit",
        "Maximum size of connection tracking table.",
        limit,
    );

    let sums = parse_stat(&files.proc(STAT)?)?;
    for ((column, help), sum) in COLUMNS.iter().zip(sums) {
        gauge(
            out,
            &format!("node_nf_conntrack_stat_{column}"),
            help,
            sum as f64,
        );
    }
    Ok(())
}

/// Sums each of [`COLUMNS`]: a header line, then one line of hexadecimal numbers per CPU. Kernels add and rename columns
/// now and then; one that is absent is 0.
fn parse_stat(text: &str) -> Result<[u64; COLUMNS.len()], CollectError> {
    let mut sums = [0_u64; COLUMNS.len()];
    let mut lines = text.lines();
    let header: Vec<_> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let places = COLUMNS.map(|(column, _)| header.iter().position(|name| *name == column));
    for line in lines {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        for (sum, place) in sums.iter_mut().zip(places) {
            if let Some(field) = place.and_then(|place| fields.get(place)) {
                *sum = sum.wrapping_add(hexadecimal(STAT, field)?);
            }
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop \
                        early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
                        00000021  00000000 00000001 00000000 00000003 0000588a 00000000 00000000 00000002 00000000 \
                        00000000 00000000 00000000  00000000 00000000 00000000 0000000f\n\
                        00000021  00000000 00000000 00000000 00000002 000056a4 00000000 00000000 00000000 00000000 \
                        00000000 00000000 00000000  00000000 00000000 00000000 00000002\n";

    #[test]
    fn sums_over_the_cpus() {
        assert_eq!(
            parse_stat(TEXT).unwrap(),
            [0, 0, 1, 0x588a + 0x56a4, 2, 0, 5, 17]
        );
    }

    #[test]
    fn odd_input() {
        assert_eq!(parse_stat("").unwrap(), [0; 8]);
        assert!(parse_stat("found\nx\n").is_err());
    }
}
