//! Columns of steps: the shape in which operators hand series to each other.
//!
//! An operator ([`Rows`]) first says which series it has, then fills one [`Row`] per series. A row is dense: one float
//! per step, and a bit that says whether the step has one, because NaN is a value like any other. Histograms are rare
//! and beside it.

use std::sync::Arc;

use model::labels::Rest;
use model::{FloatHistogram, Labels};
use smallvec::{SmallVec, smallvec};

use crate::error::QueryError;

/// The points in time at which an expression is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first; milliseconds since the epoch.
    pub(crate) start: i64,
    /// From one to the next, in milliseconds, positive.
    pub(crate) step: i64,
    /// How many.
    pub(crate) count: usize,
    /// For which steps of the query the samples count that are looked at here.
    pub(crate) counts: Counts,
}

/// For which steps of the query samples count in its statistics, as in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Each for its own step: these are the query's steps.
    OwnStep,
    /// For every step of the query: what is the same at all of them is evaluated once.
    EveryStep,
    /// For none: in a subquery, of whose result the samples count.
    Nothing,
}

impl Steps {
    /// The single step `at`.
    pub(crate) fn one(at: i64) -> Self {
        Steps {
            start: at,
            step: 1,
            count: 1,
            counts: Counts::OwnStep,
        }
    }

    /// Returns how long after the first step the last one is, in milliseconds.
    pub(crate) fn span(&self) -> i64 {
        let gaps = i64::try_from(self.count.saturating_sub(1)).unwrap_or(i64::MAX);
        self.step.saturating_mul(gaps)
    }

    /// The first step, for what is the same at all of them.
    pub(crate) fn first_for_all(self) -> Self {
        Steps {
            counts: match self.counts {
                Counts::OwnStep => Counts::EveryStep,
                other => other,
            },
            ..Steps::one(self.start)
        }
    }

    /// The same steps in a subquery.
    pub(crate) fn uncounted(self) -> Self {
        Steps {
            counts: Counts::Nothing,
            ..self
        }
    }

    /// All steps in `start..=end`.
    pub(crate) fn between(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start {
            0
        } else {
            end.saturating_sub(start) / step + 1
        };
        Steps {
            start,
            step,
            count: usize::try_from(count).unwrap_or(0),
            counts: Counts::OwnStep,
        }
    }

    /// When step `index` is.
    pub(crate) fn time(&self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.start.saturating_add(self.step.saturating_mul(index))
    }

    /// When the last step is; the first, if there is none.
    pub(crate) fn end(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }
}

/// One bit per step; up to 128 are held in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(SmallVec<[u64; 2]>);

impl Bits {
    pub(crate) fn new(len: usize) -> Self {
        Bits(smallvec![0; len.div_ceil(64)])
    }

    pub(crate) fn reset(&mut self, len: usize) {
        self.0.clear();
        self.0.resize(len.div_ceil(64), 0);
    }

    pub(crate) fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    pub(crate) fn unset(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    /// Whether all of the first `len` bits are set; it has no others.
    pub(crate) fn all(&self, len: usize) -> bool {
        self.count() == len
    }

    pub(crate) fn any(&self) -> bool {
        self.0.iter().any(|&word| word != 0)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Sets every bit that `other` has.
    pub(crate) fn insert_all(&mut self, other: &Bits) {
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            *ours |= theirs;
        }
    }

    /// Keeps the bits that `other` has (`wanted`), or those that it lacks.
    pub(crate) fn retain(&mut self, other: &Bits, wanted: bool) {
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            *ours &= if wanted { *theirs } else { !*theirs };
        }
    }

    /// The first index that both have.
    pub(crate) fn first_common(&self, other: &Bits) -> Option<usize> {
        let words = self
            .0
            .iter()
            .zip(&other.0)
            .map(|(ours, theirs)| ours & theirs);
        words
            .enumerate()
            .find(|(_, word)| *word != 0)
            .map(|(at, word)| at * 64 + word.trailing_zeros() as usize)
    }

    /// The indices that are set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// The samples of one series at all steps. A step has a float, a histogram or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// One per step; meaningless where `present` is unset.
    pub(crate) values: Vec<f64>,
    /// Which steps have a float.
    pub(crate) present: Bits,
    /// The steps that have a histogram, ascending.
    pub(crate) histograms: Vec<(usize, Arc<FloatHistogram>)>,
}

impl Row {
    /// Makes it an empty row of `steps` steps.
    pub(crate) fn reset(&mut self, steps: usize) {
        self.values.clear();
        self.values.resize(steps, 0.0);
        self.present.reset(steps);
        self.histograms.clear();
    }

    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present.set(step);
    }

    /// Adds a histogram; steps must come ascending.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        self.histograms.push((step, histogram));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && !self.present.any()
    }

    /// How many samples there are.
    pub(crate) fn len(&self) -> usize {
        self.present.count() + self.histograms.len()
    }

    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        let at = self
            .histograms
            .binary_search_by_key(&step, |(at, _)| *at)
            .ok()?;
        Some(&self.histograms[at].1)
    }

    /// Which steps have a sample of any kind.
    pub(crate) fn occupied(&self) -> Bits {
        let mut bits = self.present.clone();
        for (step, _) in &self.histograms {
            bits.set(*step);
        }
        bits
    }

    /// Keeps the steps that `bits` has (`wanted`), or those that it lacks.
    pub(crate) fn retain(&mut self, bits: &Bits, wanted: bool) {
        self.present.retain(bits, wanted);
        self.histograms
            .retain(|(step, _)| bits.get(*step) == wanted);
    }
}

/// The labels whose removal is what "dropping the name" means.
pub(crate) const RESERVED: [&str; 3] = ["__name__", "__type__", "__unit__"];

/// What is known of a series before its samples.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    /// Its labels, the reserved ones included.
    pub(crate) labels: Labels,
    /// Whether the reserved labels are to be dropped. Unless name removal is delayed they count as gone already.
    pub(crate) drop_name: bool,
    /// Whether it may have more labels, which nothing looks at: series that differ may look alike then. The reserved ones
    /// are all here.
    pub(crate) is_pruned: bool,
}

impl Meta {
    pub(crate) fn new(labels: Labels) -> Self {
        Meta {
            labels,
            drop_name: false,
            is_pruned: false,
        }
    }

    /// The same series with other labels.
    pub(crate) fn with_labels(&self, labels: Labels) -> Self {
        Meta { labels, ..*self }
    }

    /// The labels that other operators may see.
    pub(crate) fn visible(&self, delayed: bool) -> impl Iterator<Item = (&str, &str)> + Clone {
        let hide = self.drop_name && !delayed;
        self.labels
            .iter()
            .filter(move |(name, _)| !(hide && RESERVED.contains(name)))
    }

    /// The value of a label that other operators may see.
    pub(crate) fn value(&self, name: &str, delayed: bool) -> &str {
        if self.drop_name && !delayed && RESERVED.contains(&name) {
            return "";
        }
        self.labels.value(name)
    }

    /// Does `f` with the labels that other operators may see, as one piece.
    pub(crate) fn with_rest<R>(&self, delayed: bool, f: impl FnOnce(Rest<'_>) -> R) -> R {
        if !self.drop_name || delayed {
            return f(self.labels.rest(0));
        }
        self.with_others(|name| RESERVED.contains(&name), f)
    }

    /// Does `f` with the labels that are not hidden, which only some of [`RESERVED`] are, as one piece.
    pub(crate) fn with_others<R>(
        &self,
        is_hidden: impl Fn(&str) -> bool,
        f: impl FnOnce(Rest<'_>) -> R,
    ) -> R {
        let hidden = self.reserved().filter(|(name, _)| is_hidden(name)).count();
        let skipped = self.labels.iter().take_while(|(name, _)| is_hidden(name));
        let skipped = skipped.count();
        // Names are sorted: mostly those that are hidden are the first.
        if skipped == hidden {
            f(self.labels.rest(skipped))
        } else {
            f(self.labels.without(is_hidden).rest(0))
        }
    }

    /// The labels that go when the name is dropped.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = (&str, &str)> {
        let last = RESERVED[RESERVED.len() - 1];
        // Labels are sorted, and so are the reserved names.
        let first = self
            .labels
            .iter()
            .take_while(move |(name, _)| *name <= last);
        first.filter(|(name, _)| RESERVED.contains(name))
    }

    /// The labels that other operators may see, as a set.
    pub(crate) fn visible_labels(&self, delayed: bool) -> Labels {
        if self.drop_name && !delayed {
            without_reserved(&self.labels)
        } else {
            self.labels.clone()
        }
    }

    /// The labels of the result.
    pub(crate) fn final_labels(&self) -> Labels {
        debug_assert!(!self.is_pruned, "labels that are shown are needed");
        self.visible_labels(false)
    }

    pub(crate) fn dropping_name(self) -> Self {
        Meta {
            drop_name: true,
            ..self
        }
    }
}

pub(crate) fn without_reserved(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| RESERVED.contains(&name)) {
        labels.without(|name| RESERVED.contains(&name))
    } else {
        labels.clone()
    }
}

/// An operator: series, then one row for each.
pub(crate) trait Rows {
    /// The series, in order. No two have equal visible labels, or would have if nothing were pruned.
    fn series(&self) -> &[Meta];

    /// Fills `row` with the samples of the next series; to be called once per series.
    fn next(&mut self, row: &mut Row) -> Result<(), QueryError>;
}

/// An operator on the heap.
pub(crate) type BoxRows<'q> = Box<dyn Rows + 'q>;

/// A number per step.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    /// The same at every step.
    Constant(f64),
    /// One per step.
    Column(Vec<f64>),
}

impl Scalar {
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Scalar::Constant(value) => *value,
            Scalar::Column(values) => values[step],
        }
    }

    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Scalar {
        match self {
            Scalar::Constant(value) => Scalar::Constant(f(value)),
            Scalar::Column(mut values) => {
                for value in &mut values {
                    *value = f(*value);
                }
                Scalar::Column(values)
            }
        }
    }

    pub(crate) fn combine(
        &self,
        other: &Scalar,
        count: usize,
        f: impl Fn(f64, f64) -> f64,
    ) -> Scalar {
        match (self, other) {
            (Scalar::Constant(a), Scalar::Constant(b)) => Scalar::Constant(f(*a, *b)),
            _ => Scalar::Column(
                (0..count)
                    .map(|step| f(self.at(step), other.at(step)))
                    .collect(),
            ),
        }
    }
}
