//! Test doubles for rules: storage in a `Vec`, queries as a closure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use model::storage::{
    AppendError, Appendable, Appender, FloatSample, HistogramSample, Querier, Queryable, ReadError,
    Rejected, SampleColumns, SelectHints, SeriesRef, SeriesSet,
};
use model::{Labels, Matcher, SampleValue};

use super::query::{QueriedSample, RuleExpr, RuleQuery};

/// Returns a folder of the conformance data, or says that it is not there.
pub(crate) fn conformance(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEARTH_CONFORMANCE_DIR").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../shared/conformance"
            ))
        },
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

type Columns = BTreeMap<Labels, Vec<(i64, f64)>>;

/// Storage of floats in memory.
#[derive(Clone, Default)]
pub(crate) struct VecStorage(pub(crate) Arc<Mutex<Columns>>);

impl VecStorage {
    /// Returns all samples of the series that prints as `series`; staleness markers as `None`.
    pub(crate) fn samples(&self, series: &str) -> Vec<(i64, Option<f64>)> {
        let columns = self.0.lock().unwrap();
        let found = columns
            .iter()
            .find(|(labels, _)| labels.to_string() == series);
        let samples = found.map_or(&[][..], |(_, samples)| samples);
        samples
            .iter()
            .map(|&(t, v)| (t, (!model::is_stale(v)).then_some(v)))
            .collect()
    }
}

impl Appendable for VecStorage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(VecAppender {
            storage: self,
            series: Vec::new(),
            batch: Vec::new(),
        })
    }
}

struct VecAppender<'a> {
    storage: &'a VecStorage,
    series: Vec<Labels>,
    batch: Vec<FloatSample>,
}

impl Appender for VecAppender<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) -> Result<SeriesRef, AppendError> {
        self.series
            .push(Labels::from_sorted(labels.iter().copied()));
        Ok(SeriesRef(self.series.len() as u64 - 1))
    }

    fn append_floats(&mut self, batch: &[FloatSample], rejected: &mut Vec<Rejected>) {
        let columns = self.storage.0.lock().unwrap();
        for (index, sample) in batch.iter().enumerate() {
            let labels = &self.series[usize::try_from(sample.series.0).unwrap()];
            let newest = columns.get(labels).and_then(|samples| samples.last());
            let error = match newest {
                Some(&(t, _)) if sample.t < t => AppendError::OutOfOrder,
                // The same once more is no news.
                Some(&(t, v)) if sample.t == t && v.to_bits() == sample.value.to_bits() => continue,
                Some(&(t, _)) if sample.t == t => AppendError::Duplicate,
                _ => {
                    self.batch.push(*sample);
                    continue;
                }
            };
            rejected.push(Rejected { index, error });
        }
    }

    fn append_histogram(
        &mut self,
        _: SeriesRef,
        _: i64,
        _: HistogramSample,
    ) -> Result<(), AppendError> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut columns = self.storage.0.lock().unwrap();
        for sample in &self.batch {
            let labels = self.series[usize::try_from(sample.series.0).unwrap()].clone();
            columns
                .entry(labels)
                .or_default()
                .push((sample.t, sample.value));
        }
        Ok(())
    }
}

impl Queryable for VecStorage {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for VecStorage {
    fn select(
        &self,
        matchers: &[Matcher],
        _: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
        let columns = self.0.lock().unwrap();
        let found = columns
            .iter()
            .filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
        Ok(Box::new(VecSeriesSet(
            found.map(|(l, s)| (l.clone(), s.clone())).collect(),
        )))
    }

    fn label_names(&self, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

struct VecSeriesSet(Vec<(Labels, Vec<(i64, f64)>)>);

impl SeriesSet for VecSeriesSet {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0[index].0.clone()
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        for &(t, value) in self.0[index]
            .1
            .iter()
            .filter(|(t, _)| mint <= *t && *t <= maxt)
        {
            out.push_float(t, value);
        }
        Ok(())
    }
}

/// Queries answered by a closure that sees the expression's text and the time.
pub(crate) struct FakeQuery<F>(pub(crate) F);

impl<F> RuleQuery for FakeQuery<F>
where
    F: Fn(&str, i64) -> Result<Vec<(&'static str, f64)>, String> + Send + Sync,
{
    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        let samples = (self.0)(expr.text(), at_ms)?;
        Ok(samples
            .into_iter()
            .map(|(labels, value)| sample(labels, value))
            .collect())
    }
}

/// Returns a sample whose labels are written as `a=1,b=2`.
pub(crate) fn sample(labels: &str, value: f64) -> QueriedSample {
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    QueriedSample {
        labels: Labels::from_pairs(pairs),
        value: SampleValue::Float(value),
    }
}
