//! What the kernel counted since boot: `/proc/stat` without its CPU lines.

use metrics::MetricFamily;

use super::collectors::Collect;
use super::error::{CollectError, number};
use super::family::{counter, counters, gauge};
use super::files::Files;
use super::options::NodeOptions;

pub(super) struct Stat {
    softirq: bool,
}

impl Stat {
    pub(super) fn new(options: &NodeOptions) -> Self {
        Self {
            softirq: options.stat_softirq,
        }
    }
}

impl Collect for Stat {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        collect_stat(&files.proc("stat")?, self.softirq, out)
    }
}

/// In the order of the `softirq` line, behind its sum.
const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

fn collect_stat(
    text: &str,
    softirq: bool,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(' ') else {
            continue;
        };
        // `intr` goes on with a number per interrupt, which may be thousands.
        let first = || number::<f64>("stat", rest.split(' ').next().unwrap_or_default());
        match key {
            "intr" => counter(
                out,
                "node_intr_total",
                "Total number of interrupts serviced.",
                first()?,
            ),
            "ctxt" => counter(
                out,
                "node_context_switches_total",
                "Total number of context switches.",
                first()?,
            ),
            "processes" => counter(out, "node_forks_total", "Total number of forks.", first()?),
            "btime" => gauge(
                out,
                "node_boot_time_seconds",
                "Node boot time, in unixtime.",
                first()?,
            ),
            "procs_running" => {
                gauge(
                    out,
                    "node_procs_running",
                    "Number of processes in runnable state.",
                    first()?,
                );
            }
            "procs_blocked" => {
                let help = "Number of processes blocked waiting for I/O to complete.";
                gauge(out, "node_procs_blocked", help, first()?);
            }
            "softirq" if softirq => out.push(softirqs(rest)?),
            _ => {}
        }
    }
    Ok(())
}

fn softirqs(fields: &str) -> Result<MetricFamily, CollectError> {
    let mut family = counters("node_softirqs_total", "Number of softirq calls.");
    for (vector, value) in VECTORS.iter().zip(fields.split_ascii_whitespace().skip(1)) {
        family.push(&[("vector", vector)], number("stat", value)?);
    }
    Ok(family)
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    const TEXT: &str = "cpu  301854 612 111922\nintr 8885917 17 0 0\nctxt 38014093\nbtime 1418183276\n\
                        processes 26442\nprocs_running 2\nprocs_blocked 1\n\
                        softirq 5057579 250191 1481983 1647 211099 186066 0 1783454 622196 12499 508444\n";

    #[track_caller]
    fn check(softirq: bool, expected: &str) {
        let mut out = Vec::new();
        collect_stat(TEXT, softirq, &mut out).unwrap();
        assert_eq!(samples(out), expected);
    }

    #[test]
    fn the_lines_of_interest() {
        let expected = "node_boot_time_seconds 1.418183276e+09\nnode_context_switches_total 3.8014093e+07\n\
                        node_forks_total 26442\nnode_intr_total 8.885917e+06\nnode_procs_blocked 1\n\
                        node_procs_running 2\n";
        check(false, expected);
    }

    #[test]
    fn softirqs_by_vector() {
        let mut out = Vec::new();
        collect_stat(TEXT, true, &mut out).unwrap();
        let text = samples(out);
        assert!(
            text.contains("node_softirqs_total{vector=\"hi\"} 250191\n"),
            "{text}"
        );
        assert!(
            text.contains("node_softirqs_total{vector=\"rcu\"} 508444\n"),
            "{text}"
        );
    }

    #[test]
    fn odd_numbers_are_an_error() {
        assert!(collect_stat("ctxt many\n", false, &mut Vec::new()).is_err());
    }
}
