//! Order of an instant vector.

use std::cmp::Ordering;

use super::Calling;
use crate::error::QueryError;
use crate::operator::map;
use crate::row::{BoxRows, Row};
use crate::table::Table;

/// Warns that a range query's result has its own order; returns whether it is one.
fn is_ineffective(call: Calling<'_>) -> bool {
    let is_range = !call.context.times.is_instant;
    if is_range {
        let message =
            "sort is ineffective for range queries since results are always ordered by labels";
        call.context.warn(message, call.node.position);
    }
    is_range
}

/// `sort(v)`, `sort_desc(v)`: NaN last; histograms are left out.
pub(super) fn by_value(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let rows = call.vector(0)?;
    if is_ineffective(call) || call.steps.count != 1 {
        let series = rows.series().to_vec();
        return Ok(map::map_series(rows, series, |row| {
            row.histograms.clear();
            Ok(())
        }));
    }
    let descending = call.node.function.name == "sort_desc";
    let table = Table::collect(rows, 1, call.context)?;
    let mut order: Vec<(f64, usize)> = (0..table.len())
        .filter_map(|series| Some((table.float(series, 0)?, series)))
        .collect();
    order.sort_by(|a, b| match (a.0.is_nan(), b.0.is_nan()) {
        (false, false) if descending => b.0.total_cmp(&a.0),
        (false, false) => a.0.total_cmp(&b.0),
        (a, b) => a.cmp(&b),
    });
    Ok(reordered(
        &table,
        order.into_iter().map(|(_, series)| series),
    ))
}

/// `sort_by_label(v, labels...)`, `sort_by_label_desc`: digits in values compare as numbers.
pub(super) fn by_label(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let rows = call.vector(0)?;
    if is_ineffective(call) || call.steps.count != 1 {
        return Ok(rows);
    }
    let names: Vec<&str> = (1..call.node.args.len())
        .map(|i| call.string(i))
        .collect::<Result<_, _>>()?;
    let descending = call.node.function.name == "sort_by_label_desc";
    let table = Table::collect(rows, 1, call.context)?;
    let mut order: Vec<usize> = (0..table.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&table.series[a].labels, &table.series[b].labels);
        let by_names = names
            .iter()
            .map(|name| natural(a.value(name), b.value(name)));
        let ascending = by_names
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| a.cmp(b));
        if descending {
            ascending.reverse()
        } else {
            ascending
        }
    });
    Ok(reordered(&table, order.into_iter()))
}

fn reordered<'q>(table: &Table, order: impl Iterator<Item = usize>) -> BoxRows<'q> {
    let mut sorted = Table::new(table.steps());
    let mut row = Row::default();
    for series in order {
        table.read(series, &mut row);
        row.histograms.clear();
        if table.float(series, 0).is_none() {
            table.read(series, &mut row);
        }
        sorted.push(table.series[series].clone(), &row);
    }
    sorted.into_rows()
}

/// Compares texts piece by piece, runs of digits as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (piece_a, rest_a) = piece(a);
        let (piece_b, rest_b) = piece(b);
        let both_digits =
            piece_a.as_bytes()[0].is_ascii_digit() && piece_b.as_bytes()[0].is_ascii_digit();
        let order = if both_digits {
            let (x, y) = (
                piece_a.trim_start_matches('0'),
                piece_b.trim_start_matches('0'),
            );
            x.len()
                .cmp(&y.len())
                .then_with(|| x.cmp(y))
                .then_with(|| piece_a.len().cmp(&piece_b.len()))
        } else {
            piece_a.cmp(piece_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len())
}

/// The run of digits or of other characters that `text` begins with, and the rest.
fn piece(text: &str) -> (&str, &str) {
    let digits = text.as_bytes()[0].is_ascii_digit();
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        assert_eq!(natural("a9", "a10"), Ordering::Less);
        assert_eq!(natural("a9b", "a9"), Ordering::Greater);
        assert_eq!(natural("cpu10", "cpu9x"), Ordering::Greater);
        assert_eq!(natural("", "a"), Ordering::Less);
    }
}
