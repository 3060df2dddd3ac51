//! What the scheduler did per CPU: `/proc/schedstat`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::counters;
use super::files::Files;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let text = files
        .proc("schedstat")
        .map_err(|why| why.or_no_data("the kernel keeps no scheduler statistics"))?;
    let name = "node_schedstat_running_seconds_total";
    let mut running = counters(name, "Number of seconds CPU spent running a process.");
    let name = "node_schedstat_waiting_seconds_total";
    let mut waiting = counters(
        name,
        "Number of seconds spent by processing waiting for this CPU.",
    );
    let mut timeslices = counters(
        "node_schedstat_timeslices_total",
        "Number of timeslices executed by CPU.",
    );
    for cpu in parse_schedstat(&text)? {
        let labels = [("cpu", cpu.number)];
        running.push(&labels, cpu.running_seconds);
        waiting.push(&labels, cpu.waiting_seconds);
        timeslices.push(&labels, cpu.timeslices);
    }
    out.extend([running, waiting, timeslices]);
    Ok(())
}

#[derive(Debug, PartialEq)]
struct CpuLine<'a> {
    number: &'a str,
    running_seconds: f64,
    waiting_seconds: f64,
    timeslices: f64,
}

/// Reads the `cpu` lines: the times are in nanoseconds, in fields 7 and 8 behind the name, the time slices in field 9.
fn parse_schedstat(text: &str) -> Result<Vec<CpuLine<'_>>, CollectError> {
    let mut cpus = Vec::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(cpu) = fields.next().and_then(|name| name.strip_prefix("cpu")) else {
            continue;
        };
        if let [running, waiting, timeslices] = *fields.skip(6).take(3).collect::<Vec<_>>() {
            let seconds =
                |nanoseconds| number::<f64>("schedstat", nanoseconds).map(|value| value / 1e9);
            cpus.push(CpuLine {
                number: cpu,
                running_seconds: seconds(running)?,
                waiting_seconds: seconds(waiting)?,
                timeslices: number("schedstat", timeslices)?,
            });
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lines_only() {
        let text = "version 15\ntimestamp 15819019232\n\
                    cpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 47\n\
                    domain0 00000000,00000003 212499247 210112015\ncpu1 1 2\n";
        let expected = CpuLine {
            number: "0",
            running_seconds: 2_045_936.778_163_039,
            waiting_seconds: 343_796.328_169_361,
            timeslices: 47.0,
        };
        assert_eq!(parse_schedstat(text).unwrap(), [expected]);
        assert!(parse_schedstat("cpu0 1 2 3 4 5 6 x 8 9").is_err());
    }
}
