//! Tables of aligned columns, as promtool prints them.

use std::io::{self, Write};

/// Columns are this wide at least, what separates them included.
const CELL_WIDTH_MIN: usize = 13;
/// Spaces between the columns.
const PADDING: usize = 2;

/// Prints rows with their columns below each other; the last column is not padded.
pub(super) fn print(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        (longest + PADDING).max(CELL_WIDTH_MIN)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
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
