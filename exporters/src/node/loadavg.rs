//! The load averages: `/proc/loadavg`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::gauge;
use super::files::Files;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let [load1, load5, load15] = parse_loadavg(&files.proc("loadavg")?)?;
    gauge(out, "node_load1", "1m load average.", load1);
    gauge(out, "node_load5", "5m load average.", load5);
    gauge(out, "node_load15", "15m load average.", load15);
    Ok(())
}

fn parse_loadavg(text: &str) -> Result<[f64; 3], CollectError> {
    match *text.split_ascii_whitespace().take(3).collect::<Vec<_>>() {
        [one, five, fifteen] => Ok([
            number("loadavg", one)?,
            number("loadavg", five)?,
            number("loadavg", fifteen)?,
        ]),
        _ => Err(CollectError::malformed("loadavg", "three numbers", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three() {
        assert_eq!(
            parse_loadavg("0.21 0.37 0.39 1/719 19737\n").unwrap(),
            [0.21, 0.37, 0.39]
        );
        assert!(parse_loadavg("0.21 0.37").is_err());
        assert!(parse_loadavg("a b c").is_err());
    }
}
