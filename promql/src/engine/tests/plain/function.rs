//! Functions of instant vectors and scalars.

use std::f64::consts::PI;

use SampleValue::Float;
use model::{MatchOp, Matcher, SampleValue};

use super::{Element, Failure, Names, Plain, Twin, date, nameless, unique};
use crate::ast::{Call, Expr, ValueType};

impl Twin<'_> {
    pub(super) fn call(&self, node: &Call, t: i64) -> Result<Plain, Failure> {
        let vector = |index: usize| self.vector(&node.args[index], t);
        let scalar = |index: usize| self.scalar(&node.args[index], t);
        let text = |index: usize| self.text(&node.args[index], t);
        let name = node.function.name;
        if node.function.args.contains(&ValueType::Matrix) {
            return Ok(Plain::Vector(self.of_windows(node, t)?));
        }
        if let Some(function) = of_one_float(name) {
            return Ok(Plain::Vector(mapped(vector(0)?, function)?));
        }
        if let Some(part) = date::part(name) {
            let elements = match node.args.first() {
                Some(arg) => self.vector(arg, t)?,
                None => vec![Element {
                    labels: Names::new(),
                    value: Float(seconds(t)),
                }],
            };
            return Ok(Plain::Vector(mapped(elements, part)?));
        }
        if name.starts_with("histogram_") {
            return Ok(Plain::Vector(self.of_histograms(node, t)?));
        }
        if name.starts_with("sort") {
            let message =
                "sort is ineffective for range queries since results are always ordered by labels";
            self.warn(message, node.position);
        }
        Ok(match name {
            "time" => Plain::Scalar(seconds(t)),
            "pi" => Plain::Scalar(PI),
            "start" => Plain::Scalar(seconds(self.start)),
            "end" => Plain::Scalar(seconds(self.end)),
            "range" => Plain::Scalar(seconds(self.end - self.start)),
            "step" => Plain::Scalar(seconds(self.step)),
            "min_of" => Plain::Scalar(lesser(scalar(0)?, scalar(1)?)),
            "max_of" => Plain::Scalar(greater(scalar(0)?, scalar(1)?)),
            "scalar" => Plain::Scalar(only(&vector(0)?)),
            "vector" => Plain::Vector(vec![Element {
                labels: Names::new(),
                value: Float(scalar(0)?),
            }]),
            "absent" => Plain::Vector(missing(vector(0)?.is_empty(), &node.args[0])),
            // Start timestamps are not used unless a feature is on, so they are unknown.
            "start_timestamp" => {
                let elements = vector(0)?.into_iter().map(|element| Element {
                    labels: nameless(&element.labels),
                    value: Float(0.0),
                });
                Plain::Vector(unique(elements.collect())?)
            }
            "timestamp" => Plain::Vector(self.timestamps(&node.args[0], t)?),
            "clamp" => {
                let (low, high) = (scalar(1)?, scalar(2)?);
                let elements = vector(0)?;
                if high < low {
                    return Ok(Plain::Vector(Vec::new()));
                }
                Plain::Vector(mapped(elements, |v| greater(low, lesser(high, v)))?)
            }
            "clamp_min" => {
                let low = scalar(1)?;
                Plain::Vector(mapped(vector(0)?, |v| greater(low, v))?)
            }
            "clamp_max" => {
                let high = scalar(1)?;
                Plain::Vector(mapped(vector(0)?, |v| lesser(high, v))?)
            }
            "round" => {
                let nearest = if node.args.len() == 1 {
                    1.0
                } else {
                    scalar(1)?
                };
                let inverse = 1.0 / nearest;
                Plain::Vector(mapped(vector(0)?, |v| {
                    (v * inverse + 0.5).floor() / inverse
                })?)
            }
            // The result of a range query is in the order of labels, whatever the function does.
            "sort_by_label" | "sort_by_label_desc" => Plain::Vector(vector(0)?),
            "sort" | "sort_desc" => {
                let mut elements = vector(0)?;
                elements.retain(|element| element.value.as_float().is_some());
                Plain::Vector(elements)
            }
            "label_replace" => Plain::Vector(replaced(
                vector(0)?,
                [&text(1)?, &text(2)?, &text(3)?, &text(4)?],
            )?),
            "label_join" => {
                let sources: Result<Vec<String>, Failure> =
                    (3..node.args.len()).map(text).collect();
                Plain::Vector(joined(vector(0)?, &text(1)?, &text(2)?, &sources?)?)
            }
            other => panic!("{other}() has no twin here"),
        })
    }

    /// When a selector's samples were taken; of all else, now.
    fn timestamps(&self, expr: &Expr, t: i64) -> Result<Vec<Element>, Failure> {
        let mut results = Vec::new();
        if let Expr::Vector(selector) = expr.unparenthesized() {
            for (labels, (time, _)) in self.seen(selector, t) {
                results.push((labels, time));
            }
        } else {
            for element in self.vector(expr, t)? {
                results.push((element.labels, t));
            }
        }
        let results = results.into_iter().map(|(labels, time)| Element {
            labels: nameless(&labels),
            value: Float(seconds(time)),
        });
        unique(results.collect())
    }
}

#[expect(clippy::cast_precision_loss, reason = "tests are near 1970")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn of_one_float(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => |v| (v.exp() - (-v).exp()) / 2.0,
        "cosh" => |v| f64::midpoint(v.exp(), (-v).exp()),
        "tanh" => |v| {
            if v.abs() > 20.0 {
                v.signum()
            } else {
                (v.exp() - (-v).exp()) / (v.exp() + (-v).exp())
            }
        },
        "asinh" => |v| {
            if v.is_infinite() {
                v
            } else {
                (v.abs() + (v * v + 1.0).sqrt()).ln().copysign(v)
            }
        },
        "acosh" => |v| (v + ((v + 1.0).sqrt() * (v - 1.0).sqrt())).ln(),
        "atanh" => |v| 0.5 * ((1.0 + v) / (1.0 - v)).ln(),
        "deg" => |v| v * 180.0 / PI,
        "rad" => |v| v * PI / 180.0,
        "sgn" => |v| {
            if v > 0.0 {
                1.0
            } else if v < 0.0 {
                -1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

/// Applies `function` to floats; histograms are left out.
fn mapped(elements: Vec<Element>, function: impl Fn(f64) -> f64) -> Result<Vec<Element>, Failure> {
    let mut results = Vec::new();
    for element in elements {
        if let Some(value) = element.value.as_float() {
            results.push(Element {
                labels: nameless(&element.labels),
                value: Float(function(value)),
            });
        }
    }
    unique(results)
}

/// The least of two numbers: the lower infinity before NaN, NaN before all else, `-0` before `0`.
fn lesser(a: f64, b: f64) -> f64 {
    -greater(-a, -b)
}

/// The greatest of two numbers: the upper infinity before NaN, NaN before all else, `0` before `-0`.
fn greater(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The float of a vector that has only one.
fn only(elements: &[Element]) -> f64 {
    let floats: Vec<f64> = elements
        .iter()
        .filter_map(|element| element.value.as_float())
        .collect();
    match floats[..] {
        [only] => only,
        _ => f64::NAN,
    }
}

/// What `absent` says of `expr`, if nothing is there.
pub(super) fn missing(is_missing: bool, expr: &Expr) -> Vec<Element> {
    if !is_missing {
        return Vec::new();
    }
    let matchers: &[Matcher] = match expr.unparenthesized() {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(node) => &node.selector.matchers,
        _ => &[],
    };
    let mut labels = Names::new();
    for matcher in matchers {
        let alone = matchers
            .iter()
            .filter(|other| other.name() == matcher.name())
            .count()
            == 1;
        let gives = matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
        if alone && gives && matcher.name() != "__name__" {
            labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
        }
    }
    vec![Element {
        labels,
        value: Float(1.0),
    }]
}

fn set(labels: &mut Names, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

fn replaced(
    mut elements: Vec<Element>,
    [to, replacement, from, regex]: [&str; 4],
) -> Result<Vec<Element>, Failure> {
    let regex = regex::Regex::new(&format!("^(?s:{regex})$")).unwrap();
    for element in &mut elements {
        let value = element.labels.get(from).cloned().unwrap_or_default();
        if let Some(groups) = regex.captures(&value) {
            let mut text = replacement.to_owned();
            for number in 0..groups.len() {
                let group = groups.get(number).map_or("", |group| group.as_str());
                text = text.replace(&format!("${number}"), group);
            }
            set(&mut element.labels, to, text);
        }
    }
    unique(elements)
}

fn joined(
    mut elements: Vec<Element>,
    to: &str,
    separator: &str,
    from: &[String],
) -> Result<Vec<Element>, Failure> {
    for element in &mut elements {
        let values = from
            .iter()
            .map(|name| element.labels.get(name).cloned().unwrap_or_default());
        let values: Vec<String> = values.collect();
        set(&mut element.labels, to, values.join(separator));
    }
    unique(elements)
}
