//! Selectors and subqueries.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::{Matcher, SampleValue};

use super::{Element, Failure, Names, Twin, Window, milliseconds};
use crate::ast::{MatrixSelector, Subquery, VectorSelector};

/// A sample of a subquery follows another one than in storage, or itself: what is known of resets is not true of it.
fn of_subquery(mut value: SampleValue) -> SampleValue {
    if let SampleValue::Histogram(histogram) = &mut value
        && histogram.reset_hint != ResetHint::Gauge
    {
        Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
    }
    value
}

fn matches(matchers: &[Matcher], labels: &Names) -> bool {
    matchers.iter().all(|matcher| {
        let value = labels.get(matcher.name());
        matcher.matches(value.map_or("", String::as_str))
    })
}

impl Twin<'_> {
    /// The newest sample of each series in `(t - lookback, t]`, unless it is a marker.
    pub(super) fn instant(&self, selector: &VectorSelector, t: i64) -> Vec<Element> {
        self.seen(selector, t)
            .into_iter()
            .map(|(labels, (_, value))| Element { labels, value })
            .collect()
    }

    /// What [`instant`](Twin::instant) sees, with the samples' times.
    pub(super) fn seen(
        &self,
        selector: &VectorSelector,
        t: i64,
    ) -> Vec<(Names, (i64, SampleValue))> {
        let at = self.looks_at(&selector.modifiers, t);
        let mut found = Vec::new();
        for series in self.series {
            if !matches(&selector.matchers, &series.labels) {
                continue;
            }
            let mut newest = None;
            for sample in &series.samples {
                if at - self.lookback < sample.0 && sample.0 <= at {
                    newest = Some(sample.clone());
                }
            }
            if let Some(sample) = newest
                && !sample.1.is_stale()
            {
                found.push((series.labels.clone(), sample));
            }
        }
        found
    }

    /// The samples of each series in `(t - range, t]`; series without any are left out.
    pub(super) fn range(&self, node: &MatrixSelector, t: i64) -> Vec<Window> {
        let end = self.looks_at(&node.selector.modifiers, t);
        let start = end - milliseconds(&node.range);
        let mut windows = Vec::new();
        for series in self.series {
            if !matches(&node.selector.matchers, &series.labels) {
                continue;
            }
            let samples = series.samples.iter();
            let samples = samples.filter(|(t, value)| start < *t && *t <= end && !value.is_stale());
            let samples: Vec<_> = samples.cloned().collect();
            if !samples.is_empty() {
                windows.push(Window {
                    labels: series.labels.clone(),
                    samples,
                    start,
                    end,
                });
            }
        }
        windows
    }

    /// The values of the inner expression at the multiples of the step in `(t - range, t]`.
    pub(super) fn subquery(&self, node: &Subquery, t: i64) -> Result<Vec<Window>, Failure> {
        let end = self.looks_at(&node.modifiers, t);
        let start = end - milliseconds(&node.range);
        let step = node.step.as_ref().map_or(self.subquery_step, milliseconds);
        let mut windows: Vec<Window> = Vec::new();
        let mut inner = start.div_euclid(step) * step;
        while inner + step <= end {
            inner += step;
            for Element { labels, value } in self.vector(&node.expr, inner)? {
                let value = of_subquery(value);
                match windows.iter_mut().find(|window| window.labels == labels) {
                    Some(window) => window.samples.push((inner, value)),
                    None => windows.push(Window {
                        labels,
                        samples: vec![(inner, value)],
                        start,
                        end,
                    }),
                }
            }
        }
        Ok(windows)
    }
}
