//! A plain evaluator: the twin that the engine is compared with.
//!
//! It evaluates an expression at one time over lists of samples, node by node, with maps and loops; a range query is
//! that at each step, and so is a subquery. Nothing is shared between steps, nothing is kept, nothing is fast. What it
//! borrows from the engine has a twin of its own: the parser's tree, matchers, and the addition, subtraction and scaling
//! of native histograms (`histogram/total/tests.rs`).
//!
//! Errors are compared as "there is one". Warnings and infos are said where they are due, each once with the last of its
//! places, which is the engine's own bookkeeping ([`Notes`]); they are compared but for the numbers in what is said of
//! buckets that do not ascend. Histograms with NaN observations, and classic ones beside native ones of the same name, are not
//! generated, and so nothing is said of them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use model::histogram::ResetHint;
use model::{FloatHistogram, SampleValue};

use crate::annotations::Notes;
use crate::ast::{At, Expr, Modifiers, Span};
use crate::position::Position;

mod aggregate;
mod binary;
mod cases;
mod checklist;
mod date;
mod function;
mod histogram;
mod property;
mod range;
mod select;
mod series;

/// Labels by name, the metric name among them.
type Names = BTreeMap<String, String>;

/// A series as it is stored.
#[derive(Clone, Debug)]
struct Series {
    labels: Names,
    samples: Vec<(i64, SampleValue)>,
}

/// One element of an instant vector.
#[derive(Clone, Debug)]
struct Element {
    labels: Names,
    value: SampleValue,
}

/// One element of a range vector: what it holds of the samples in `(start, end]`, markers left out.
#[derive(Debug)]
struct Window {
    labels: Names,
    samples: Vec<(i64, SampleValue)>,
    start: i64,
    end: i64,
}

/// The value of an expression at one time.
#[derive(Debug)]
enum Plain {
    Scalar(f64),
    Text(String),
    Vector(Vec<Element>),
}

/// Why there is no value.
type Failure = &'static str;

/// A query's surroundings; times in milliseconds.
#[derive(Debug)]
struct Twin<'a> {
    /// Ordered by labels.
    series: &'a [Series],
    lookback: i64,
    start: i64,
    end: i64,
    step: i64,
    subquery_step: i64,
    /// What there is to say so far.
    notes: RefCell<Notes>,
}

impl Twin<'_> {
    fn warn(&self, message: &str, position: Position) {
        self.notes.borrow_mut().warn(message, position);
    }

    fn info(&self, message: &str, position: Position) {
        self.notes.borrow_mut().info(message, position);
    }

    /// Warns of what is no quantile.
    fn check_quantile(&self, q: f64, position: Position) {
        if !(0.0..=1.0).contains(&q) {
            let q = match q {
                f64::INFINITY => "+Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                q => q.to_string(),
            };
            let message = format!("quantile value should be between 0 and 1, got {q}");
            self.warn(&message, position);
        }
    }

    /// Evaluates `expr` at `t`.
    fn at(&self, expr: &Expr, t: i64) -> Result<Plain, Failure> {
        Ok(match expr {
            Expr::Number(number) => Plain::Scalar(number.value),
            Expr::String(text) => Plain::Text(text.value.clone()),
            Expr::Paren(paren) => self.at(&paren.expr, t)?,
            Expr::Vector(selector) => Plain::Vector(self.instant(selector, t)),
            Expr::Matrix(_) | Expr::Subquery(_) => panic!("functions ask for their windows"),
            Expr::Unary(node) => {
                let value = self.at(&node.expr, t)?;
                if node.negates {
                    binary::negated(value)?
                } else {
                    value
                }
            }
            Expr::Binary(node) => {
                let (left, right) = (self.at(&node.left, t)?, self.at(&node.right, t)?);
                self.between(node, left, right)?
            }
            Expr::Aggregate(node) => Plain::Vector(self.aggregate(node, t)?),
            Expr::Call(node) => self.call(node, t)?,
        })
    }

    fn vector(&self, expr: &Expr, t: i64) -> Result<Vec<Element>, Failure> {
        match self.at(expr, t)? {
            Plain::Vector(elements) => Ok(elements),
            other => panic!("instant vector expected: {other:?}"),
        }
    }

    fn scalar(&self, expr: &Expr, t: i64) -> Result<f64, Failure> {
        match self.at(expr, t)? {
            Plain::Scalar(value) => Ok(value),
            other => panic!("scalar expected: {other:?}"),
        }
    }

    fn text(&self, expr: &Expr, t: i64) -> Result<String, Failure> {
        match self.at(expr, t)? {
            Plain::Text(value) => Ok(value),
            other => panic!("string expected: {other:?}"),
        }
    }

    /// The time that a selector with these modifiers looks at.
    fn looks_at(&self, modifiers: &Modifiers, t: i64) -> i64 {
        let from = match modifiers.at {
            None => t,
            Some(At::Time(time)) => time,
            Some(At::Start) => self.start,
            Some(At::End) => self.end,
        };
        from - milliseconds(&modifiers.offset)
    }
}

fn milliseconds(span: &Span) -> i64 {
    match span {
        Span::Ms(ms) => *ms,
        Span::Expr(_) => panic!("duration expressions are no concern of the twin"),
    }
}

/// ` for metric name "a"`, if there is a name.
fn of_metric(labels: &Names) -> String {
    let name = labels.get("__name__");
    name.map_or(String::new(), |name| format!(" for metric name \"{name}\""))
}

/// The metric name, or nothing.
fn metric(labels: &Names) -> &str {
    labels.get("__name__").map_or("", String::as_str)
}

/// Whether adding one to the other must find bounds that both have.
fn bounds_differ(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.has_custom_buckets() && b.has_custom_buckets() && a.custom_bounds != b.custom_bounds
}

/// Whether any is after a reset, and another one certainly not.
fn hints_collide<'h>(mut histograms: impl Iterator<Item = &'h FloatHistogram> + Clone) -> bool {
    let after_reset = |h: &FloatHistogram| h.reset_hint == ResetHint::CounterReset;
    let after_none = |h: &FloatHistogram| h.reset_hint == ResetHint::NotCounterReset;
    histograms.clone().any(after_reset) && histograms.any(after_none)
}

/// The labels without the name.
fn nameless(labels: &Names) -> Names {
    let mut labels = labels.clone();
    labels.remove("__name__");
    labels
}

/// Fails if two elements have the same labels.
fn unique(elements: Vec<Element>) -> Result<Vec<Element>, Failure> {
    for (index, element) in elements.iter().enumerate() {
        if elements[..index]
            .iter()
            .any(|other| other.labels == element.labels)
        {
            return Err("same labels");
        }
    }
    Ok(elements)
}
