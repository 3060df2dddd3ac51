//! Functions of range vectors: one number per window.
//!
//! A series' samples are decoded once and the windows of all steps are found by two pointers; each function then walks
//! the windows. Windows that hold histograms are in [`mixed`].

mod extended;
mod mixed;
mod over_time;
mod rate;
mod regression;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::name::Quoted;
use model::storage::SampleColumns;

use super::Calling;
use crate::error::QueryError;
use crate::operator::aggregate::check_quantile;
use crate::operator::merge::{SAME_LABELS, differ_without_names, unique};
use crate::operator::parallel::{self, Ahead};
use crate::operator::range::{Held, RangeSource};
use crate::row::{BoxRows, Meta, Row, Rows, Scalar};
use crate::window::extended::Reach;
use crate::window::{self, Known, WindowSpec, Windows};

/// What is computed from a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
    Avg,
    Sum,
    Min,
    Max,
    Count,
    Last,
    First,
    Present,
    Stddev,
    Stdvar,
    Quantile,
    Mad,
    TimeOfMin,
    TimeOfMax,
    TimeOfLast,
    TimeOfFirst,
}

impl RangeFunction {
    /// Returns the function `name`, if it is one of this module.
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => RangeFunction::Rate,
            "increase" => RangeFunction::Increase,
            "delta" => RangeFunction::Delta,
            "irate" => RangeFunction::Irate,
            "idelta" => RangeFunction::Idelta,
            "changes" => RangeFunction::Changes,
            "resets" => RangeFunction::Resets,
            "deriv" => RangeFunction::Deriv,
            "predict_linear" => RangeFunction::PredictLinear,
            "double_exponential_smoothing" => RangeFunction::DoubleExponentialSmoothing,
            "avg_over_time" => RangeFunction::Avg,
            "sum_over_time" => RangeFunction::Sum,
            "min_over_time" => RangeFunction::Min,
            "max_over_time" => RangeFunction::Max,
            "count_over_time" => RangeFunction::Count,
            "last_over_time" => RangeFunction::Last,
            "first_over_time" => RangeFunction::First,
            "present_over_time" => RangeFunction::Present,
            "stddev_over_time" => RangeFunction::Stddev,
            "stdvar_over_time" => RangeFunction::Stdvar,
            "quantile_over_time" => RangeFunction::Quantile,
            "mad_over_time" => RangeFunction::Mad,
            "ts_of_min_over_time" => RangeFunction::TimeOfMin,
            "ts_of_max_over_time" => RangeFunction::TimeOfMax,
            "ts_of_last_over_time" => RangeFunction::TimeOfLast,
            "ts_of_first_over_time" => RangeFunction::TimeOfFirst,
            _ => return None,
        })
    }

    fn keeps_name(self) -> bool {
        matches!(self, RangeFunction::Last | RangeFunction::First)
    }

    /// Whether it is of counters and per second, if it is the change over a window.
    fn as_change(self) -> Option<(bool, bool)> {
        match self {
            RangeFunction::Rate => Some((true, true)),
            RangeFunction::Increase => Some((true, false)),
            RangeFunction::Delta => Some((false, false)),
            _ => None,
        }
    }

    /// Whether it only makes sense for counters.
    fn wants_counter(self) -> bool {
        matches!(
            self,
            RangeFunction::Rate
                | RangeFunction::Increase
                | RangeFunction::Irate
                | RangeFunction::Resets
        )
    }
}

/// Evaluates a function of a range vector.
pub(super) fn rows<'q>(
    call: Calling<'q>,
    function: RangeFunction,
) -> Result<BoxRows<'q>, QueryError> {
    let range_arg = usize::from(function == RangeFunction::Quantile);
    let source = call.range(range_arg)?;
    let mut parameters = Vec::new();
    for index in (0..call.node.args.len()).filter(|&index| index != range_arg) {
        parameters.push(call.scalar(index)?);
    }
    let differ = differ_without_names(source.series(), call.context.delayed_name_removal);
    let series = source
        .series()
        .iter()
        .map(|meta| match function.keeps_name() {
            true => meta.clone(),
            false => meta.clone().dropping_name(),
        });
    let series = series.collect();
    let spec = WindowSpec::new(call.steps, source.look, source.range);
    let first = RangeCall {
        call,
        function,
        reach: source.reach,
        parameters: parameters.into(),
        spec,
        columns: SampleColumns::default(),
        bounds: Vec::new(),
        times: Vec::new(),
        seen: 0,
        known: Known::default(),
        overlaps: BTreeMap::new(),
    };
    let range_rows = Box::new(RangeRows {
        source,
        series,
        next: 0,
        workers: vec![first],
        ahead: Ahead::default(),
    });
    if differ {
        return Ok(range_rows);
    }
    unique(call.context, range_rows, call.steps.count, SAME_LABELS)
}

/// One row for each series of a range vector: one after the other, or several at once and ahead of who asks.
struct RangeRows<'q> {
    source: RangeSource<'q>,
    series: Vec<Meta>,
    next: usize,
    /// At least one.
    workers: Vec<RangeCall<'q>>,
    /// The rows from `next` on that are there already.
    ahead: Ahead,
}

impl Rows for RangeRows<'_> {
    fn series(&self) -> &[Meta] {
        &self.series
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        if self.ahead.is_empty() {
            self.work_ahead()?;
        }
        let index = self.next;
        self.next += 1;
        if !self.ahead.take(row) {
            let worker = &mut self.workers[0];
            self.source.next(&mut worker.columns)?;
            let name = worker.metric_name(&self.source.series()[index]);
            worker.compute(name, row)?;
        }
        if self.next == self.series.len() {
            self.say_overlaps()?;
        }
        Ok(())
    }
}

impl RangeRows<'_> {
    /// Computes the next rows on all processors, if that is worth it.
    fn work_ahead(&mut self) -> Result<(), QueryError> {
        let Some(reader) = self.source.reader() else {
            return Ok(());
        };
        let left = self.series.len() - self.next;
        let WindowSpec { steps, range, .. } = self.workers[0].spec;
        let context = self.workers[0].call.context;
        let Some(count) = context.batch(left, steps, range) else {
            return Ok(());
        };
        let first = &self.workers[0];
        let fresh = (self.workers.len()..parallel::workers()).map(|_| first.fresh());
        let fresh: Vec<_> = fresh.collect();
        self.workers.extend(fresh);
        let (metas, items) = (self.source.series(), self.next..self.next + count);
        self.ahead
            .run(&mut self.workers, items, |worker, indexes, spare| {
                let mut rows = Vec::with_capacity(indexes.len());
                let mut held = Held::default();
                for index in indexes {
                    let mut row = spare.pop().unwrap_or_default();
                    reader.read(index, &mut worker.columns, &mut held)?;
                    worker.compute(worker.metric_name(&metas[index]), &mut row)?;
                    rows.push(row);
                }
                reader.release(held);
                Ok(rows)
            })?;
        self.source.skip(count);
        Ok(())
    }

    /// Says how many windows had contradicting start timestamps.
    fn say_overlaps(&mut self) -> Result<(), QueryError> {
        let mut overlaps: BTreeMap<String, usize> = BTreeMap::new();
        for worker in &mut self.workers {
            for (name, windows) in std::mem::take(&mut worker.overlaps) {
                *overlaps.entry(name).or_default() += windows;
            }
        }
        let call = self.workers[0].call;
        for (name, windows) in overlaps {
            let mut message = format!(
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                Quoted(&name)
            );
            if 1 < windows {
                message.push_str(&format!(" ({windows} occurrences)"));
            }
            call.context.warn(&message, call.arg(0)?.position());
        }
        Ok(())
    }
}

/// A function of a range vector, and the samples of one series that it is applied to.
struct RangeCall<'q> {
    call: Calling<'q>,
    function: RangeFunction,
    reach: Option<Reach>,
    parameters: Arc<[Scalar]>,
    spec: WindowSpec,
    columns: SampleColumns,
    /// The windows of the last series, for its times: series of one target mostly have the same.
    bounds: Vec<(usize, usize)>,
    times: Vec<i64>,
    /// Samples in all windows together.
    seen: usize,
    known: Known,
    /// Per metric name, how many windows had samples whose start is before the sample before them.
    overlaps: BTreeMap<String, usize>,
}

impl RangeCall<'_> {
    /// Returns the same function without samples.
    fn fresh(&self) -> Self {
        RangeCall {
            parameters: Arc::clone(&self.parameters),
            columns: SampleColumns::default(),
            bounds: Vec::new(),
            times: Vec::new(),
            known: Known::default(),
            overlaps: BTreeMap::new(),
            ..*self
        }
    }

    /// Returns the name that a series has before the function.
    fn metric_name<'m>(&self, series: &'m Meta) -> &'m str {
        series.value("__name__", self.call.context.delayed_name_removal)
    }

    /// Applies the function to the samples at hand, which are of the metric `name`.
    fn compute(&mut self, name: &str, row: &mut Row) -> Result<(), QueryError> {
        self.call.context.budget.check_work(self.spec.steps.count)?;
        row.reset(self.spec.steps.count);
        self.find_windows();
        let (seen, budget) = (self.seen, &self.call.context.budget);
        budget.see_windows(
            self.spec.steps,
            seen,
            &self.bounds,
            &self.columns.histograms,
        )?;
        self.check_starts(name);
        if self.function == RangeFunction::DoubleExponentialSmoothing {
            regression::check_factors(&self.parameters, &self.bounds)?;
        }
        if self.columns.histograms.is_empty() {
            if 0 < seen {
                self.check_counter(name)?;
            }
            let windows = Windows {
                budget: &self.call.context.budget,
                spec: self.spec,
                timestamps: &self.columns.timestamps,
                values: &self.columns.floats,
                starts: &self.columns.starts,
                bounds: &self.bounds,
                known: &self.known,
            };
            return self.floats(&windows, row);
        }
        if self.columns.histograms.len() < self.columns.len() {
            self.check_counter(name)?;
        }
        self.mixed(name, row)
    }

    fn find_windows(&mut self) {
        let timestamps = &self.columns.timestamps;
        if !self.bounds.is_empty() && self.times == *timestamps {
            return;
        }
        self.seen = match self.reach {
            None => window::find(&self.spec, timestamps, &mut self.bounds),
            Some(reach) => window::extended::find(&self.spec, reach, timestamps, &mut self.bounds),
        };
        self.times.clone_from(timestamps);
        self.known = Known::default();
    }

    /// Computes the function of windows without histograms.
    fn floats(&self, windows: &Windows<'_>, row: &mut Row) -> Result<(), QueryError> {
        if let (Some(reach), Some((is_counter, is_rate))) = (self.reach, self.function.as_change())
        {
            return extended::changes(windows, reach, is_counter, is_rate, row);
        }
        match self.function {
            RangeFunction::Rate => rate::extrapolated(windows, true, true, row)?,
            RangeFunction::Increase => rate::extrapolated(windows, true, false, row)?,
            RangeFunction::Delta => rate::extrapolated(windows, false, false, row)?,
            RangeFunction::Irate => rate::instant(windows, true, row),
            RangeFunction::Idelta => rate::instant(windows, false, row),
            RangeFunction::Changes => over_time::changes(windows, row),
            RangeFunction::Resets => over_time::resets(windows, row),
            RangeFunction::Deriv => regression::deriv(windows, row)?,
            RangeFunction::PredictLinear => {
                regression::predict(windows, &self.parameters[0], row)?;
            }
            RangeFunction::DoubleExponentialSmoothing => {
                regression::smoothing(windows, &self.parameters[0], &self.parameters[1], row)?;
            }
            RangeFunction::Quantile => {
                self.check_quantiles(windows);
                over_time::quantile(windows, &self.parameters[0], row)?;
            }
            function => over_time::simple(function, windows, row)?,
        }
        Ok(())
    }

    /// Says so if a counter function is applied to what does not look like a counter.
    fn check_counter(&self, name: &str) -> Result<(), QueryError> {
        const SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let is_counter = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
        if self.function.wants_counter() && !name.is_empty() && !is_counter {
            let message = format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                Quoted(name)
            );
            self.call
                .context
                .info(&message, self.call.arg(0)?.position());
        }
        Ok(())
    }

    /// Counts windows with contradicting start timestamps.
    fn check_starts(&mut self, name: &str) {
        let is_of_starts = self.function.wants_counter() && self.function != RangeFunction::Resets;
        if !is_of_starts {
            return;
        }
        let starts = self.starts();
        if !starts.is_empty() {
            let mut total = 0;
            let totals: Vec<usize> = (0..self.columns.len())
                .map(|at| {
                    total += usize::from(starts.overlaps(at));
                    total
                })
                .collect();
            let is_irate = self.function == RangeFunction::Irate;
            let overlapping = self.bounds.iter().filter(|&&(from, to)| {
                let from = if is_irate {
                    from.max(to.saturating_sub(2))
                } else {
                    from
                };
                from < to && totals[from] < totals[to - 1]
            });
            let windows = overlapping.count();
            if 0 < windows {
                *self.overlaps.entry(name.to_owned()).or_default() += windows;
            }
        }
    }

    fn check_quantiles(&self, windows: &Windows<'_>) {
        if let (Some(q), Some(arg)) = (self.parameters.first(), self.call.node.args.first()) {
            for (step, _, _) in windows.filled(1) {
                check_quantile(self.call.context, q.at(step), arg.position());
            }
        }
    }
}
