//! Binary operators with a native histogram on at least one side.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;

use super::arithmetic::{add, compacted, divided, same, scaled, subtract};
use super::total::Added;
use super::trim::trimmed;
use crate::ast::{Binary, BinaryOp};
use crate::engine::context::Context;
use crate::operator::binary::incompatible;

/// One side of an operator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Operand<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Operand::Float(_) => "float",
            Operand::Histogram(_) => "histogram",
        }
    }
}

/// Returns the histogram that the operator gives, if it gives one; says why if the operands do not fit.
pub(crate) fn combine(
    context: &Context<'_>,
    node: &Binary,
    left: Operand<'_>,
    right: Operand<'_>,
) -> Option<Arc<FloatHistogram>> {
    use Operand::{Float, Histogram};
    let clone = |histogram: &Arc<FloatHistogram>| FloatHistogram::clone(histogram);
    let result = match (node.op, left, right) {
        (BinaryOp::Mul, Histogram(histogram), Float(factor))
        | (BinaryOp::Mul, Float(factor), Histogram(histogram)) => {
            compacted(scaled(clone(histogram), factor))
        }
        (BinaryOp::Div, Histogram(histogram), Float(divisor)) => {
            compacted(divided(clone(histogram), divisor))
        }
        (BinaryOp::Add, Histogram(left), Histogram(right)) => {
            let mut sum = clone(left);
            note(context, node, add(&mut sum, right).ok(), "addition")?;
            compacted(sum)
        }
        (BinaryOp::Sub, Histogram(left), Histogram(right)) => {
            let mut sum = clone(left);
            note(context, node, subtract(&mut sum, right).ok(), "subtraction")?;
            sum.reset_hint = ResetHint::Gauge;
            compacted(sum)
        }
        (BinaryOp::Equal | BinaryOp::NotEqual, Histogram(histogram), Histogram(_)) => {
            return holds(context, node, left, right)?.then(|| Arc::clone(histogram));
        }
        (BinaryOp::TrimUpper, Histogram(histogram), Float(bound)) => {
            trimmed(histogram, f64::NEG_INFINITY, bound)
        }
        (BinaryOp::TrimLower, Histogram(histogram), Float(bound)) => {
            trimmed(histogram, bound, f64::INFINITY)
        }
        _ => {
            let message = incompatible(left.kind(), node.op, right.kind());
            context.info(&message, node.position);
            return None;
        }
    };
    Some(Arc::new(result))
}

/// Returns whether a comparison of histograms holds; says why if it makes no sense.
pub(crate) fn holds(
    context: &Context<'_>,
    node: &Binary,
    left: Operand<'_>,
    right: Operand<'_>,
) -> Option<bool> {
    match (node.op, left, right) {
        (BinaryOp::Equal, Operand::Histogram(a), Operand::Histogram(b)) => Some(same(a, b)),
        (BinaryOp::NotEqual, Operand::Histogram(a), Operand::Histogram(b)) => Some(!same(a, b)),
        _ => {
            let message = incompatible(left.kind(), node.op, right.kind());
            context.info(&message, node.position);
            None
        }
    }
}

fn note(context: &Context<'_>, node: &Binary, added: Option<Added>, what: &str) -> Option<()> {
    let Some(added) = added else {
        let op = node.op.as_str();
        let message = format!("incompatible bucket layout encountered for binary operator {op}");
        context.warn(&message, node.position);
        return None;
    };
    if added.bounds_reconciled {
        let message = format!("mismatched custom buckets were reconciled during {what}");
        context.info(&message, node.position);
    }
    if added.resets_collide {
        let message = format!("conflicting counter resets during histogram {what}");
        context.warn(&message, node.position);
    }
    Some(())
}
