//! Rows kept: for operators that need all series of an input at once.

use std::sync::Arc;

use model::FloatHistogram;

use crate::engine::context::Context;
use crate::error::QueryError;
use crate::row::{Bits, BoxRows, Meta, Row, Rows};

/// All rows of an operator, values side by side in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The series.
    pub(crate) series: Vec<Meta>,
    steps: usize,
    values: Vec<f64>,
    present: Vec<Bits>,
    /// Empty, or one list per series.
    histograms: Vec<Vec<(usize, Arc<FloatHistogram>)>>,
}

impl Table {
    pub(crate) fn new(steps: usize) -> Self {
        Table {
            steps,
            ..Table::default()
        }
    }

    /// Runs `rows` to the end. What is kept counts as held until the query ends.
    /// Series without samples are left out.
    pub(crate) fn collect(
        rows: BoxRows<'_>,
        steps: usize,
        context: &Context<'_>,
    ) -> Result<Table, QueryError> {
        Table::keep(rows, steps, context, false)
    }

    /// As [`collect`](Table::collect), with the series that have no samples.
    pub(crate) fn collect_all(
        rows: BoxRows<'_>,
        steps: usize,
        context: &Context<'_>,
    ) -> Result<Table, QueryError> {
        Table::keep(rows, steps, context, true)
    }

    fn keep(
        mut rows: BoxRows<'_>,
        steps: usize,
        context: &Context<'_>,
        with_empty: bool,
    ) -> Result<Table, QueryError> {
        let series = rows.series().to_vec();
        let mut table = Table::new(steps);
        let mut row = Row::default();
        for meta in series {
            rows.next(&mut row)?;
            if with_empty || !row.is_empty() {
                table.push_held(meta, &row, context)?;
            }
        }
        Ok(table)
    }

    /// Adds a series; what it takes counts as held until the query ends.
    pub(crate) fn push_held(
        &mut self,
        meta: Meta,
        row: &Row,
        context: &Context<'_>,
    ) -> Result<(), QueryError> {
        // Dense: a step takes room whether it has a float or not.
        context.budget.hold(self.steps + row.histograms.len())?;
        context.budget.hold_histograms(&row.histograms)?;
        self.push(meta, row);
        Ok(())
    }

    /// Adds a series that is counted elsewhere.
    pub(crate) fn push(&mut self, meta: Meta, row: &Row) {
        self.values.extend_from_slice(&row.values);
        self.present.push(row.present.clone());
        if !row.histograms.is_empty() || !self.histograms.is_empty() {
            self.histograms.resize_with(self.series.len(), Vec::new);
            self.histograms.push(row.histograms.clone());
        }
        self.series.push(meta);
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    pub(crate) fn values(&self, series: usize) -> &[f64] {
        &self.values[series * self.steps..(series + 1) * self.steps]
    }

    pub(crate) fn present(&self, series: usize) -> &Bits {
        &self.present[series]
    }

    pub(crate) fn float(&self, series: usize, step: usize) -> Option<f64> {
        self.present[series]
            .get(step)
            .then(|| self.values[series * self.steps + step])
    }

    pub(crate) fn histograms(&self, series: usize) -> &[(usize, Arc<FloatHistogram>)] {
        self.histograms.get(series).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn histogram(&self, series: usize, step: usize) -> Option<&Arc<FloatHistogram>> {
        let all = self.histograms(series);
        let at = all.binary_search_by_key(&step, |(at, _)| *at).ok()?;
        Some(&all[at].1)
    }

    pub(crate) fn has(&self, series: usize, step: usize) -> bool {
        self.present[series].get(step) || self.histogram(series, step).is_some()
    }

    /// Which steps of a series have a sample of any kind.
    pub(crate) fn occupied(&self, series: usize) -> Bits {
        let mut bits = self.present[series].clone();
        for (step, _) in self.histograms(series) {
            bits.set(*step);
        }
        bits
    }

    /// Copies the samples of a series to `row`.
    pub(crate) fn read(&self, series: usize, row: &mut Row) {
        row.values.clear();
        row.values.extend_from_slice(self.values(series));
        row.present.clone_from(&self.present[series]);
        row.histograms.clear();
        row.histograms.extend_from_slice(self.histograms(series));
    }

    /// Hands the rows out again.
    pub(crate) fn into_rows<'q>(self) -> BoxRows<'q> {
        Box::new(TableRows {
            table: self,
            next: 0,
        })
    }
}

struct TableRows {
    table: Table,
    next: usize,
}

impl Rows for TableRows {
    fn series(&self) -> &[Meta] {
        &self.table.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        self.table.read(self.next, row);
        self.next += 1;
        Ok(())
    }
}
