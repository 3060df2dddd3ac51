//! `check metrics`: what a body in the text format should say otherwise, and how many series its families have.
//!
//! As in promtool, problems go to standard error and the exit code is 3.

mod family;
mod lint;

use std::io::{self, Read as _, Write};

use anyhow::{Context as _, bail};

use crate::cli::tool::ToolCall;
use crate::tool::{Outcome, complain};
use family::Family;

/// The longest body that is read, in bytes.
const BODY_BYTES_MAX: u64 = 256 << 20;

pub(in crate::tool) fn run(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut body = Vec::new();
    let read = io::stdin().lock().take(BODY_BYTES_MAX + 1);
    { read }
        .read_to_end(&mut body)
        .context("read metrics from standard input")?;
    if BODY_BYTES_MAX < body.len() as u64 {
        bail!("standard input has more than {BODY_BYTES_MAX} bytes of metrics");
    }
    let families = family::read(&body).context("error while linting")?;
    if call.flags.text("lint") != "none" {
        let problems = lint::problems(&families);
        problems.iter().for_each(|problem| complain(problem));
        if !problems.is_empty() {
            return Ok(Outcome::FoundLint);
        }
    }
    if call.flags.is_on("extended") {
        print_cardinality(&families, out)?;
    }
    Ok(Outcome::Done)
}

/// Prints how many series each family has, most first.
fn print_cardinality(families: &[Family], out: &mut dyn Write) -> io::Result<()> {
    let mut counted: Vec<(&str, usize)> = families
        .iter()
        .filter(|family| !family.metrics.is_empty())
        .map(|family| (family.name.as_str(), family.cardinality()))
        .collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let total: usize = counted.iter().map(|(_, count)| count).sum();
    let heading = ["Metric", "Cardinality", "Percentage"].map(str::to_owned);
    let row = |(name, count): &(&str, usize)| {
        let percent = *count as f64 / total as f64 * 100.0;
        [
            (*name).to_owned(),
            count.to_string(),
            format!("{percent:.2}%"),
        ]
    };
    let last = ["Total".to_owned(), total.to_string(), "100%".to_owned()];
    let rows: Vec<[String; 3]> = std::iter::once(heading)
        .chain(counted.iter().map(row))
        .chain([last])
        .collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0) + PADDING
    };
    let widths = [0, 1, 2].map(width);
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            write!(out, "{cell:<width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Spaces behind the longest cell of a column.
const PADDING: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cardinality_is_aligned() {
        let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\nlong_name 1\n# TYPE s summary\ns{quantile=\"1\"} 1\n";
        let mut out = Vec::new();
        print_cardinality(&family::read(body.as_bytes()).unwrap(), &mut out).unwrap();
        let expected = "Metric       Cardinality    Percentage    \n\
                        h            4              50.00%        \n\
                        s            3              37.50%        \n\
                        long_name    1              12.50%        \n\
                        Total        8              100%          \n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
