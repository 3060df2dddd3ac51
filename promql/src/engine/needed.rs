//! Which labels of a selector's series anything looks at.
//!
//! Of what an aggregation sums up, the other labels need not be made: often that is most of the work for a series.

use std::collections::HashMap;

use model::storage::Kept;

use super::counts::address;
use crate::ast::{Aggregate, AggregateOp, Expr, VectorSelector};
use crate::function::keeps_series;
use crate::row::RESERVED;

/// The selectors of an expression of whose series only some labels are needed; valid as long as the expression.
///
/// The labels that make up a name are always among them: they tell whether series still differ without their names.
#[derive(Debug, Default)]
pub(crate) struct Needed(HashMap<usize, Kept>);

impl Needed {
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut found = Needed::default();
        found.mark(expr, None);
        found
    }

    /// Returns which labels of the selector's series are needed.
    pub(crate) fn labels_of(&self, selector: &VectorSelector) -> &Kept {
        self.0.get(&address(selector)).unwrap_or(&Kept::All)
    }

    fn mark(&mut self, expr: &Expr, above: Option<&Aggregate>) {
        let passed_on = match expr {
            Expr::Vector(selector) => return self.add(selector, above),
            Expr::Matrix(matrix) => return self.add(&matrix.selector, above),
            Expr::Aggregate(node) => {
                self.mark(&node.expr, is_grouping_only(node.op).then_some(node));
                if let Some(parameter) = &node.parameter {
                    self.mark(parameter, None);
                }
                return;
            }
            Expr::Paren(_) | Expr::Unary(_) => above,
            Expr::Call(call) if keeps_series(call.function.name) => above,
            _ => None,
        };
        for child in expr.children() {
            self.mark(child, passed_on);
        }
    }

    fn add(&mut self, selector: &VectorSelector, above: Option<&Aggregate>) {
        let Some(node) = above else { return };
        let names = node.grouping.iter();
        let kept = if node.without {
            let others = names.filter(|name| !RESERVED.contains(&name.as_str()));
            Kept::AllBut(others.cloned().collect())
        } else {
            let reserved = RESERVED.map(str::to_owned);
            Kept::Only(names.cloned().chain(reserved).collect())
        };
        self.0.insert(address(selector), kept);
    }
}

/// Whether nothing of a series but its group shows in the result.
fn is_grouping_only(op: AggregateOp) -> bool {
    match op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Count
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Group
        | AggregateOp::Stddev
        | AggregateOp::Stdvar
        | AggregateOp::Quantile => true,
        AggregateOp::CountValues
        | AggregateOp::Topk
        | AggregateOp::Bottomk
        | AggregateOp::Limitk
        | AggregateOp::LimitRatio => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks which of the labels `a`, `b` and the name are needed, of each selector.
    #[track_caller]
    fn check(query: &str, expected: &[&str]) {
        let expr = crate::parse(query).unwrap();
        let needed = Needed::of(&expr);
        let of_each = expr.selectors().into_iter().map(|selector| {
            let kept = needed.labels_of(selector);
            let names = ["a", "b", "__name__"].into_iter();
            names
                .filter(|name| kept.has(name))
                .collect::<Vec<_>>()
                .join(" ")
        });
        assert_eq!(of_each.collect::<Vec<_>>(), expected, "{query}");
    }

    #[test]
    fn what_is_grouped_by() {
        const ALL: &str = "a b __name__";
        check("x", &[ALL]);
        check("sum(x)", &["__name__"]);
        check("max by (a) (-(x))", &["a __name__"]);
        check("avg without (a) (rate(x[5m]))", &["b __name__"]);
        check("sum without (__name__, b) (x)", &["a __name__"]);
        check(
            "quantile by (b) (scalar(y), increase(x[5m]))",
            &[ALL, "b __name__"],
        );
        check("sum by (a) (sum by (b) (x))", &["b __name__"]);
        // What else looks at labels, or shows them.
        check("topk(1, x) + sum(y)", &[ALL, "__name__"]);
        check("sum(x * y)", &[ALL, ALL]);
        check(
            "sum(label_replace(x, \"b\", \"$1\", \"a\", \"(.*)\"))",
            &[ALL],
        );
        check("sum(histogram_quantile(0.9, x))", &[ALL]);
        check("sum(max_over_time(rate(x[1m])[5m:1m]))", &[ALL]);
        check("count_values(\"b\", x)", &[ALL]);
        check("sum(absent_over_time(x[5m]))", &[ALL]);
    }
}
