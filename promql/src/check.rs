//! Type checks of a parsed expression.
//!
//! Runs once over the whole tree, leaves first, and reports the first mistake with Prometheus' words. What has no
//! meaning between the types at hand is removed: vector matching with a scalar side.

use model::Matcher;
use model::name::Quoted;

use crate::ast::{
    Aggregate, Binary, Call, Cardinality, Expr, Extension, Subquery, ValueType, VectorSelector,
};
use crate::functions::Function;
use crate::parse::{ParseError, ParseOptions};
use crate::position::Position;

/// Checks `expr` and returns its type.
pub(crate) fn check(expr: &mut Expr, options: &ParseOptions) -> Result<ValueType, ParseError> {
    match expr {
        Expr::Number(_) | Expr::String(_) => (),
        Expr::Vector(selector) => check_selector(selector, options)?,
        Expr::Matrix(matrix) => check_selector(&matrix.selector, options)?,
        Expr::Subquery(subquery) => check_subquery(subquery, options)?,
        Expr::Call(call) => check_call(call, options)?,
        Expr::Unary(unary) => {
            let found = check(&mut unary.expr, options)?;
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                    found.describe()
                );
                return Err(ParseError::new(unary.position, message));
            }
        }
        Expr::Binary(binary) => check_binary(binary, options)?,
        Expr::Aggregate(aggregate) => check_aggregate(aggregate, options)?,
        Expr::Paren(paren) => return check(&mut paren.expr, options),
    }
    Ok(expr.value_type())
}

fn fail(position: Position, message: impl Into<String>) -> Result<(), ParseError> {
    Err(ParseError::new(position, message))
}

fn expect(
    expr: &mut Expr,
    wanted: ValueType,
    context: &str,
    options: &ParseOptions,
) -> Result<(), ParseError> {
    let found = check(expr, options)?;
    if found == wanted {
        return Ok(());
    }
    let message = format!(
        "expected type {} in {context}, got {}",
        wanted.describe(),
        found.describe()
    );
    fail(expr.position(), message)
}

fn check_selector(selector: &VectorSelector, options: &ParseOptions) -> Result<(), ParseError> {
    if selector.matchers.iter().all(Matcher::matches_empty) {
        let message = "vector selector must contain at least one non-empty matcher";
        return fail(selector.position, message);
    }
    check_extension(selector, options)
}

fn check_extension(selector: &VectorSelector, options: &ParseOptions) -> Result<(), ParseError> {
    if selector.extension != Extension::None && !options.extended_range_selectors {
        return fail(
            selector.position,
            "anchored and smoothed modifiers are experimental and not enabled",
        );
    }
    Ok(())
}

fn check_subquery(subquery: &mut Subquery, options: &ParseOptions) -> Result<(), ParseError> {
    let found = check(&mut subquery.expr, options)?;
    if found == ValueType::Vector {
        return Ok(());
    }
    let message = format!(
        "subquery is only allowed on instant vector, got {} instead",
        found.as_str()
    );
    fail(subquery.position, message)
}

fn check_call(call: &mut Call, options: &ParseOptions) -> Result<(), ParseError> {
    let function = call.function;
    if function.is_experimental && !options.experimental_functions {
        let message = format!("function \"{}\" is not enabled", function.name);
        return fail(call.position, message);
    }
    check_arity(function, call)?;
    let context = format!("call to function \"{}\"", function.name);
    let is_info = function.name == "info";
    for (index, arg) in call.args.iter_mut().enumerate() {
        match arg {
            // Tests of labels, which may accept every series.
            Expr::Vector(selector) if is_info && index == 1 => check_extension(selector, options)?,
            _ => expect(arg, function.arg(index), &context, options)?,
        }
    }
    if is_info { check_info(call) } else { Ok(()) }
}

fn check_arity(function: &Function, call: &Call) -> Result<(), ParseError> {
    let (least, most) = function.arity();
    let found = call.args.len();
    let wanted = match most {
        Some(most) if most == least && found != least => format!("expected {least}"),
        _ if found < least => format!("expected at least {least}"),
        Some(most) if most < found => format!("expected at most {most}"),
        _ => return Ok(()),
    };
    let message = format!(
        "{wanted} argument(s) in call to \"{}\", got {found}",
        function.name
    );
    fail(call.position, message)
}

fn check_info(call: &Call) -> Result<(), ParseError> {
    match call.args.get(1) {
        Some(Expr::Vector(selector)) if selector.name.is_none() => Ok(()),
        Some(other) => fail(other.position(), "expected label selectors only"),
        None => Ok(()),
    }
}

fn check_aggregate(aggregate: &mut Aggregate, options: &ParseOptions) -> Result<(), ParseError> {
    if aggregate.op.is_experimental() && !options.experimental_functions {
        let message = format!(
            "{}() is experimental and must be enabled",
            aggregate.op.as_str()
        );
        return fail(aggregate.position, message);
    }
    expect(
        &mut aggregate.expr,
        ValueType::Vector,
        "aggregation expression",
        options,
    )?;
    if let (Some(parameter), Some(wanted)) = (&mut aggregate.parameter, aggregate.op.parameter()) {
        expect(parameter, wanted, "aggregation parameter", options)?;
    }
    Ok(())
}

fn check_binary(binary: &mut Binary, options: &ParseOptions) -> Result<(), ParseError> {
    let left = check(&mut binary.left, options)?;
    let right = check(&mut binary.right, options)?;
    let (op, op_position) = (binary.op, binary.op_position);
    if binary.returns_bool && !op.is_comparison() {
        return fail(
            op_position,
            "bool modifier can only be used on comparison operators",
        );
    }
    let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    if op.is_comparison() && !binary.returns_bool && scalars {
        return fail(
            op_position,
            "comparisons between scalars must use BOOL modifier",
        );
    }
    if let Some(matching) = &binary.matching
        && matching.on
        && let Some(twice) = matching
            .labels
            .iter()
            .find(|label| matching.include.contains(label))
    {
        let message = format!(
            "label {} must not occur in ON and GROUP clause at once",
            Quoted(twice)
        );
        return fail(op_position, message);
    }
    for (found, side) in [(left, &binary.left), (right, &binary.right)] {
        if !matches!(found, ValueType::Scalar | ValueType::Vector) {
            return fail(
                side.position(),
                "binary expression must contain only scalar and instant vector types",
            );
        }
    }
    check_matching(binary, left, right, options)
}

fn check_matching(
    binary: &mut Binary,
    left: ValueType,
    right: ValueType,
    options: &ParseOptions,
) -> Result<(), ParseError> {
    let (op, position) = (binary.op, binary.position);
    let vectors = left == ValueType::Vector && right == ValueType::Vector;
    let Some(matching) = &binary.matching else {
        return Ok(());
    };
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if fills && !options.fill_modifiers {
        return fail(
            position,
            "binop fill modifiers are experimental and not enabled",
        );
    }
    if !vectors && !matching.labels.is_empty() {
        return fail(
            position,
            "vector matching only allowed between instant vectors",
        );
    }
    if !vectors && fills {
        return fail(
            position,
            "filling in missing series only allowed between instant vectors",
        );
    }
    if !vectors && op.is_set() {
        let message = format!(
            "set operator \"{}\" not allowed in binary scalar expression",
            op.as_str()
        );
        return fail(position, message);
    }
    if op.is_set() && matching.cardinality != Cardinality::ManyToMany {
        let message = format!("no grouping allowed for \"{}\" operation", op.as_str());
        return fail(position, message);
    }
    if op.is_set() && fills {
        return fail(
            position,
            "filling in missing series not allowed for set operators",
        );
    }
    if !vectors {
        binary.matching = None;
    }
    Ok(())
}
