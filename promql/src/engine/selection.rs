//! Selectors that an expression has more than once: their series are looked for once and decoded once.
//!
//! Equal are selectors with the same matchers that look at the same time. What was decoded for one of them is kept for the
//! others, up to [`KEPT_BYTES_MAX`]; series beyond that are decoded each time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use model::sample::Sample;
use model::storage::{Kept, Querier, ReadError, SampleColumns, SelectHints, SeriesSet};
use model::{Labels, Matcher};
use parking_lot::Mutex;

use super::bounds::selections;
use super::context::{Clock, Context};
use crate::ast::Expr;
use crate::error::QueryError;
use crate::limits::histogram_bytes;

/// How many bytes of decoded samples one query keeps for equal selectors.
pub(crate) const KEPT_BYTES_MAX: usize = 32 << 20;

/// The selectors of an expression that are there more than once.
#[derive(Default)]
pub(crate) struct Repeated<'s> {
    all: Vec<Selection<'s>>,
    kept_bytes: AtomicUsize,
}

struct Selection<'s> {
    matchers: Vec<Matcher>,
    hints: SelectHints,
    set: Box<dyn SeriesSet + 's>,
    /// Of each series.
    decoded: Vec<Mutex<Option<Arc<SampleColumns>>>>,
}

impl<'s> Repeated<'s> {
    /// Selects what `expr` has more than once.
    ///
    /// # Errors
    ///
    /// As [`Querier::select`].
    pub(crate) fn of(
        expr: &Expr,
        clock: &Clock,
        querier: &'s dyn Querier,
    ) -> Result<Self, QueryError> {
        let mut found: HashMap<_, (&[Matcher], usize)> = HashMap::new();
        selections(expr, clock.steps, clock, &mut |looking| {
            let Some(matchers) = looking.matchers else {
                return;
            };
            let (first, last) = (looking.first, looking.last);
            let texts = matchers.iter().map(|m| (m.name(), m.op(), m.value()));
            let key = (texts.collect::<Vec<_>>(), first, last);
            found.entry(key).or_insert((matchers, 0)).1 += 1;
        })?;
        let mut all = Vec::new();
        for ((_, first, last), (matchers, times)) in found {
            if times < 2 {
                continue;
            }
            let hints = SelectHints::range(first, last);
            let set = querier.select(matchers, &hints)?;
            let mut decoded = Vec::new();
            decoded.resize_with(set.len(), Mutex::default);
            all.push(Selection {
                matchers: matchers.to_vec(),
                hints,
                set,
                decoded,
            });
        }
        Ok(Repeated {
            all,
            kept_bytes: AtomicUsize::new(0),
        })
    }
}

/// The series of a selector; samples that are decoded here count in the profile.
pub(crate) struct Selected<'q> {
    context: &'q Context<'q>,
    kind: Kind<'q>,
}

enum Kind<'q> {
    Once(Box<dyn SeriesSet + 'q>),
    Again(&'q Selection<'q>),
}

impl<'q> Selected<'q> {
    /// Returns the series with a sample in `hints` that pass all `matchers`.
    ///
    /// # Errors
    ///
    /// As [`Querier::select`].
    pub(crate) fn new(
        context: &'q Context<'q>,
        matchers: &[Matcher],
        hints: SelectHints,
    ) -> Result<Self, QueryError> {
        let mut known = context.repeated.all.iter();
        let known = known.find(|known| known.hints == hints && known.matchers == matchers);
        let kind = match known {
            Some(known) => Kind::Again(known),
            None => Kind::Once(context.querier.select(matchers, &hints)?),
        };
        Ok(Selected { context, kind })
    }

    fn set(&self) -> &dyn SeriesSet {
        match &self.kind {
            Kind::Once(set) => &**set,
            Kind::Again(known) => &*known.set,
        }
    }

    fn decode(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let before = out.len();
        self.set().read(index, mint, maxt, out)?;
        self.context.decoded(out.len() - before);
        Ok(())
    }

    /// Returns a copy of `columns` if there is room for it.
    fn copy_to_keep(&self, columns: &SampleColumns) -> Option<Arc<SampleColumns>> {
        let histograms = columns.histograms.iter().map(|(_, h)| histogram_bytes(h));
        let bytes = (columns.len() + columns.starts.len()) * 16 + histograms.sum::<usize>();
        let kept = &self.context.repeated.kept_bytes;
        if KEPT_BYTES_MAX < kept.fetch_add(bytes, Relaxed).saturating_add(bytes)
            || self.context.budget.hold_bytes(bytes).is_err()
        {
            kept.fetch_sub(bytes, Relaxed);
            return None;
        }
        Some(Arc::new(columns.clone()))
    }
}

impl SeriesSet for Selected<'_> {
    fn len(&self) -> usize {
        self.set().len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.set().labels(index)
    }

    fn label_sets(&self, positions: Range<usize>, kept: &Kept, out: &mut Vec<Labels>) {
        self.set().label_sets(positions, kept, out);
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let known = match &self.kind {
            // What is kept is all that was decoded.
            Kind::Again(known)
                if (mint, maxt) == (known.hints.mint, known.hints.maxt) && out.is_empty() =>
            {
                known
            }
            _ => return self.decode(index, mint, maxt, out),
        };
        let mut decoded = known.decoded[index].lock();
        if let Some(columns) = &*decoded {
            out.clone_from(columns);
            return Ok(());
        }
        self.decode(index, mint, maxt, out)?;
        *decoded = self.copy_to_keep(out);
        Ok(())
    }

    fn newest(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        scratch: &mut SampleColumns,
    ) -> Result<Option<Sample>, ReadError> {
        let newest = self.set().newest(index, mint, maxt, scratch)?;
        self.context.decoded(usize::from(newest.is_some()));
        Ok(newest)
    }
}
