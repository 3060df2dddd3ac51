//! Tables of aligned columns, as promtool and amtool print them.

use std::io::{self, Write};

/// promtool's columns are this wide at least, what separates them included.
const CELL_WIDTH_MIN: usize = 13;
/// Spaces between the columns.
const PADDING: usize = 2;

/// Prints rows with their columns below each other; the last column is not padded.
pub(super) fn print(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let widths = widths(rows, CELL_WIDTH_MIN);
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == row.len() {
                writeln!(out, "{cell}")?;
            } else {
                write!(out, "{cell:<width$}", width = widths[column])?;
            }
        }
    }
    Ok(())
}

/// Prints rows as amtool does: columns as wide as they must be, and every one padded.
pub(super) fn print_padded(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let widths = widths(rows, 0);
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "{cell:<width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Returns how wide each column is, what separates it from the next one included, and `min` at least.
fn widths(rows: &[Vec<String>], min: usize) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        (longest + PADDING).max(min)
    };
    (0..columns).map(width).collect()
}
