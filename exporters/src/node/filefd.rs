//! Open files of the whole machine: `/proc/sys/fs/file-nr`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::gauge;
use super::files::Files;

const FILE: &str = "sys/fs/file-nr";

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let (allocated, maximum) = parse_file_nr(&files.proc(FILE)?)?;
    gauge(
        out,
        "node_filefd_allocated",
        "File descriptor statistics: allocated.",
        allocated,
    );
    gauge(
        out,
        "node_filefd_maximum",
        "File descriptor statistics: maximum.",
        maximum,
    );
    Ok(())
}

/// Reads allocated and maximum; the number between them is always 0.
fn parse_file_nr(text: &str) -> Result<(f64, f64), CollectError> {
    match *text.split_ascii_whitespace().collect::<Vec<_>>() {
        [allocated, _, maximum] => Ok((number(FILE, allocated)?, number(FILE, maximum)?)),
        _ => Err(CollectError::malformed(FILE, "three numbers", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last() {
        assert_eq!(
            parse_file_nr("1024\t0\t1631329\n").unwrap(),
            (1_024.0, 1_631_329.0)
        );
        assert!(parse_file_nr("1024\t0\n").is_err());
        assert!(parse_file_nr("a b c").is_err());
    }
}
