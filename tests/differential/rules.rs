//! What an expression is like that decides how its answers compare.

use promql::Expr;
use promql::ast::{AggregateOp, BinaryOp};

/// Returns by how much, relatively, the floats of an expression's value may differ.
///
/// Not at all, but for functions that C's and Go's libraries round in their own ways, and for sums of native histograms,
/// which are compensated since 3.10, and where the order of series, which Prometheus leaves to chance, is that of
/// summation.
pub(crate) fn tolerance(expr: &Expr) -> f64 {
    const ROUNDED: [&str; 21] = [
        "exp",
        "ln",
        "log2",
        "log10",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "histogram_quantile",
        "histogram_fraction",
        "double_exponential_smoothing",
        "avg_over_time",
        "sum_over_time",
    ];
    let is_rounded = any(expr, &|expr| match expr {
        Expr::Call(call) => ROUNDED.contains(&call.function.name),
        Expr::Binary(binary) => matches!(binary.op, BinaryOp::Pow | BinaryOp::Atan2),
        Expr::Aggregate(aggregate) => {
            use AggregateOp::{Avg, Stddev, Stdvar, Sum};
            matches!(aggregate.op, Avg | Stddev | Stdvar | Sum)
        }
        _ => false,
    });
    // What is left of a division may be anything if the last digit before differs.
    let has_remainder = any(
        expr,
        &|expr| matches!(expr, Expr::Binary(binary) if binary.op == BinaryOp::Mod),
    );
    // The last digits of values that lie close together are the first ones of how they deviate.
    let has_deviation = any(expr, &|expr| match expr {
        Expr::Aggregate(aggregate) => {
            matches!(aggregate.op, AggregateOp::Stddev | AggregateOp::Stdvar)
        }
        _ => false,
    });
    match (is_rounded, has_remainder) {
        (true, true) => f64::INFINITY,
        (true, false) if has_deviation => 1e-9,
        (true, false) => 1e-12,
        (false, _) => 0.0,
    }
}

/// Whether a subquery that looks ahead has something of a fixed time inside. Where its first step is the query's own time,
/// Prometheus moves the fixed time by the subquery's offset.
pub(crate) fn looks_ahead_at_fixed_times(expr: &Expr, text: &str) -> bool {
    has_subquery(expr) && text.contains('@') && text.contains("offset -")
}

/// Whether the time of samples is asked for that are looked up some time before a fixed one: Prometheus forgets the offset,
/// and then has read none of the samples.
pub(crate) fn dates_samples_before_fixed_times(text: &str) -> bool {
    text.contains("timestamp(") && text.contains('@') && text.contains("offset")
}

/// Whether there is a comparison between vectors without `bool`.
pub(crate) fn filters(expr: &Expr) -> bool {
    any(expr, &|expr| match expr {
        Expr::Binary(binary) => {
            binary.op.is_comparison() && !binary.returns_bool && binary.matching.is_some()
        }
        _ => false,
    })
}

/// Whether Prometheus reads histograms without their buckets, and then does not see that they do not go together.
pub(crate) fn reads_counts_only(expr: &Expr) -> bool {
    const COUNTS: [&str; 3] = ["histogram_avg", "histogram_count", "histogram_sum"];
    any(expr, &|expr| match expr {
        Expr::Call(call) => COUNTS.contains(&call.function.name),
        _ => false,
    })
}

/// Whether there is a mean. That of native histograms is a sum with one division since 3.10, before which one infinite
/// count made it NaN.
pub(crate) fn has_mean(expr: &Expr) -> bool {
    any(expr, &|expr| match expr {
        Expr::Call(call) => call.function.name == "avg_over_time",
        Expr::Aggregate(aggregate) => aggregate.op == AggregateOp::Avg,
        _ => false,
    })
}

/// Whether there is a share of observations. A bound below zero made that of a classic histogram NaN, before it was known that
/// what starts at zero has nothing there.
pub(crate) fn has_fraction(expr: &Expr) -> bool {
    any(expr, &|expr| match expr {
        Expr::Call(call) => call.function.name == "histogram_fraction",
        _ => false,
    })
}

/// Whether there is a subquery.
pub(crate) fn has_subquery(expr: &Expr) -> bool {
    any(expr, &|expr| matches!(expr, Expr::Subquery(_)))
}

/// Whether the expression or one in it is such a one.
pub(crate) fn any(expr: &Expr, is_one: &dyn Fn(&Expr) -> bool) -> bool {
    is_one(expr) || expr.children().into_iter().any(|child| any(child, is_one))
}

/// Whether the order of an instant query's result is the query's doing.
pub(crate) fn is_sorted(expr: &Expr) -> bool {
    matches!(expr.unparenthesized(), Expr::Call(call) if call.function.name.starts_with("sort"))
}

/// Whether a subquery has another inside, or a fixed time, of which 2.x evaluates it once.
pub(crate) fn nests_subqueries(text: &str) -> bool {
    fn depth(expr: &Expr) -> usize {
        let inner = expr.children().into_iter().map(depth).max().unwrap_or(0);
        inner + usize::from(matches!(expr, Expr::Subquery(_)))
    }
    promql::parse(text)
        .is_ok_and(|expr| 1 < depth(&expr) || has_subquery(&expr) && text.contains('@'))
}
