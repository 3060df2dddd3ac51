//! Binary operators with at least one vector.

mod join;
mod set;

use super::map;
use crate::ast::{Binary, BinaryOp, ValueType};
use crate::engine::context::Context;
use crate::engine::evaluate::{self, scalar};
use crate::error::QueryError;
use crate::histogram::binary::{Operand, combine};
use crate::row::{BoxRows, Meta, Row, Scalar, Steps};

/// Evaluates a binary operator of which at least one side is a vector.
pub(crate) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q Binary,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    match (node.left.value_type(), node.right.value_type()) {
        (ValueType::Vector, ValueType::Vector) if node.op.is_set() => {
            set::rows(context, node, steps)
        }
        (ValueType::Vector, ValueType::Vector) => join::rows(context, node, steps),
        (ValueType::Vector, _) => {
            let number = scalar(context, &node.right, steps)?;
            with_scalar(
                context,
                node,
                evaluate::rows(context, &node.left, steps)?,
                number,
                steps,
            )
        }
        _ => {
            let number = scalar(context, &node.left, steps)?;
            with_scalar(
                context,
                node,
                evaluate::rows(context, &node.right, steps)?,
                number,
                steps,
            )
        }
    }
}

/// Whether the result has no name: it is another thing than what went in.
fn drops_name(node: &Binary) -> bool {
    node.returns_bool || !node.op.is_comparison() && !is_trim(node.op)
}

fn is_trim(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
}

/// A vector and a scalar.
fn with_scalar<'q>(
    context: &'q Context<'q>,
    node: &'q Binary,
    vector: BoxRows<'q>,
    number: Scalar,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    let is_left = node.right.value_type() == ValueType::Vector;
    let change = move |row: &mut Row| scalar_row(context, node, &number, is_left, row);
    if drops_name(node) {
        return map::map(context, vector, steps.count, change);
    }
    // The labels stay as they are, so they still differ.
    let series: Vec<Meta> = vector.series().to_vec();
    Ok(map::map_series(vector, series, change))
}

fn scalar_row(
    context: &Context<'_>,
    node: &Binary,
    number: &Scalar,
    scalar_is_left: bool,
    row: &mut Row,
) -> Result<(), QueryError> {
    let op = node.op;
    if is_trim(op) {
        trim_floats(context, node, row);
    } else if op.is_comparison() {
        let present = std::mem::take(&mut row.present);
        row.present = present.clone();
        for step in present.iter() {
            let value = row.values[step];
            let (left, right) = if scalar_is_left {
                (number.at(step), value)
            } else {
                (value, number.at(step))
            };
            let holds = compare(op, left, right);
            if node.returns_bool {
                row.values[step] = f64::from(u8::from(holds));
            } else if !holds {
                row.present.unset(step);
            }
        }
    } else {
        for (step, value) in row.values.iter_mut().enumerate() {
            let (left, right) = if scalar_is_left {
                (number.at(step), *value)
            } else {
                (*value, number.at(step))
            };
            *value = arithmetic(op, left, right);
        }
    }
    scalar_histograms(context, node, number, scalar_is_left, row);
    Ok(())
}

/// Trimming is for histograms only.
fn trim_floats(context: &Context<'_>, node: &Binary, row: &mut Row) {
    if row.present.any() {
        let message = incompatible("float", node.op, "float");
        context.info(&message, node.position);
        row.present.reset(row.values.len());
    }
}

fn scalar_histograms(
    context: &Context<'_>,
    node: &Binary,
    number: &Scalar,
    scalar_is_left: bool,
    row: &mut Row,
) {
    for (step, histogram) in std::mem::take(&mut row.histograms) {
        let number = Operand::Float(number.at(step));
        let histogram = Operand::Histogram(&histogram);
        let (left, right) = if scalar_is_left {
            (number, histogram)
        } else {
            (histogram, number)
        };
        if let Some(result) = combine(context, node, left, right) {
            row.set_histogram(step, result);
        }
    }
}

/// The info about an operator that does not work on these kinds of samples.
pub(crate) fn incompatible(left: &str, op: BinaryOp, right: &str) -> String {
    format!(
        "incompatible sample types encountered for binary operator \"{}\": {left} {} {right}",
        op.as_str(),
        op.as_str()
    )
}

/// Returns the value of an arithmetic operator.
pub(crate) fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => power(left, right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::NAN,
    }
}

/// `base ^ exponent`. Whole exponents are squared and multiplied in the order of Go's `math.Pow`, so that results are
/// Prometheus' to the last bit; for others the last bit may differ.
fn power(base: f64, exponent: f64) -> f64 {
    let times = exponent.abs();
    if !base.is_normal() || exponent.trunc() != exponent || 1e9 < times {
        // As Go does, once zeros and infinities are dealt with.
        let has_root = base != 0.0 && base.is_finite();
        return match exponent {
            0.5 if has_root => base.sqrt(),
            -0.5 if has_root => 1.0 / base.sqrt(),
            _ => base.powf(exponent),
        };
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= times <= 1e9"
    )]
    let mut times = times as u64;
    let (mut factor, mut factor_exponent) = fraction_and_exponent(base);
    let (mut product, mut product_exponent) = (1.0, 0i64);
    while times != 0 {
        if 1 << 12 < factor_exponent.abs() {
            return base.powf(exponent);
        }
        if times & 1 == 1 {
            product *= factor;
            product_exponent += factor_exponent;
        }
        factor *= factor;
        factor_exponent *= 2;
        if factor.abs() < 0.5 {
            factor += factor;
            factor_exponent -= 1;
        }
        times >>= 1;
    }
    if exponent < 0.0 {
        (product, product_exponent) = (1.0 / product, -product_exponent);
    }
    match i32::try_from(product_exponent) {
        // Within these bounds both factors and the result are normal: scaling is exact.
        Ok(scale) if scale.abs() < 1000 => product * 2f64.powi(scale),
        _ => base.powf(exponent),
    }
}

/// Splits a normal number into a fraction in `0.5..1` (with its sign) and a power of two.
fn fraction_and_exponent(value: f64) -> (f64, i64) {
    let bits = value.to_bits();
    let exponent = i64::from((bits >> 52) as u16 & 0x7ff) - 1022;
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent)
}

/// Returns whether a comparison holds.
pub(crate) fn compare(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterEqual => left >= right,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn power_is_near_the_systems(base in -1e6f64..1e6, exponent in -30i32..30) {
            let found = power(base, f64::from(exponent));
            let expected = base.powf(f64::from(exponent));
            prop_assert!(crate::numeric::almost_equal(found, expected, 1e-13), "{} {}", found, expected);
        }
    }

    #[test]
    fn powers_of_special_numbers() {
        assert_eq!(power(0.0, 0.0), 1.0);
        assert_eq!(power(-2.0, 3.0), -8.0);
        assert_eq!(power(2.0, -1074.0), f64::from_bits(1));
        assert_eq!(power(2.0, 1024.0), f64::INFINITY);
        assert_eq!(power(f64::NAN, 0.0), 1.0);
        assert!(power(-8.0, 1.0 / 3.0).is_nan() && power(-4.0, 0.5).is_nan());
        assert_eq!((power(4.0, 0.5), power(4.0, -0.5)), (2.0, 0.5));
        assert_eq!(power(f64::NEG_INFINITY, 0.5), f64::INFINITY);
        assert_eq!(power(f64::NEG_INFINITY, -0.5), 0.0);
        assert!(power(-0.0, 0.5).is_sign_positive());
    }
}
