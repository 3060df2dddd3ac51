//! Functions of one number.

use super::Calling;
use crate::error::QueryError;
use crate::numeric::{greatest, least};
use crate::operator::map;
use crate::row::{BoxRows, Scalar};

/// Returns the function `name` of one float, if there is one.
pub(super) fn of_one(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => acosh,
        "asin" => f64::asin,
        "asinh" => asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => sign,
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// From here on `x + sqrt(x² ± 1)` is `2x`, as in Go; the standard library's functions overflow where `2x` does.
const LARGE: f64 = (1 << 28) as f64;

fn asinh(value: f64) -> f64 {
    if value.abs() <= LARGE || value.is_infinite() {
        return value.asinh();
    }
    (value.abs().ln() + std::f64::consts::LN_2).copysign(value)
}

fn acosh(value: f64) -> f64 {
    if value <= LARGE || value.is_infinite() {
        return value.acosh();
    }
    value.ln() + std::f64::consts::LN_2
}

fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if 0.0 < value {
        1.0
    } else {
        value
    }
}

/// `round(v, to_nearest)`: half up.
pub(super) fn round(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let nearest = match call.node.args.len() {
        1 => Scalar::Constant(1.0),
        _ => call.scalar(1)?,
    };
    map::floats(
        call.context,
        call.vector(0)?,
        call.steps.count,
        move |step, value| {
            // Multiplying by the inverse keeps 0.1 and its like exact.
            let inverse = 1.0 / nearest.at(step);
            (value * inverse + 0.5).floor() / inverse
        },
    )
}

/// `clamp(v, min, max)`, `clamp_min(v, min)`, `clamp_max(v, max)`.
pub(super) fn clamp(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let (low, high) = match call.node.function.name {
        "clamp_min" => (call.scalar(1)?, Scalar::Constant(f64::INFINITY)),
        "clamp_max" => (Scalar::Constant(f64::NEG_INFINITY), call.scalar(1)?),
        _ => (call.scalar(1)?, call.scalar(2)?),
    };
    map::map(
        call.context,
        call.vector(0)?,
        call.steps.count,
        move |row| {
            row.histograms.clear();
            for step in 0..row.values.len() {
                let (low, high) = (low.at(step), high.at(step));
                if high < low {
                    row.present.unset(step);
                }
                row.values[step] = least(high, row.values[step]);
                row.values[step] = greatest(low, row.values[step]);
            }
            Ok(())
        },
    )
}
