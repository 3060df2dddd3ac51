//! Which labels of a selector's series anything looks at.
//!
//! Of what an aggregation sums up, and of what a join looks up, the other labels need not be made: often that is most of the
//! work for a series.
//!
//! Two things cannot be foreseen: that series are the same or in each other's way, which all of their labels tell, and which
//! errors show. Who meets that says [`misses_labels`](super::context::Context::misses_labels), and the query is evaluated
//! once more, with all labels.

use std::collections::HashMap;

use model::storage::Kept;

use super::counts::address;
use crate::ast::{Aggregate, AggregateOp, Cardinality, Expr, VectorMatching, VectorSelector};
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
        found.mark(expr, &Kept::All);
        found
    }

    /// All labels of all selectors.
    pub(crate) fn all() -> Self {
        Needed::default()
    }

    /// Returns which labels of the selector's series are needed.
    pub(crate) fn labels_of(&self, selector: &VectorSelector) -> &Kept {
        self.0.get(&address(selector)).unwrap_or(&Kept::All)
    }

    /// Notes what is needed below `expr`, of whose series something looks at the labels `wanted`.
    fn mark(&mut self, expr: &Expr, wanted: &Kept) {
        let passed_on = match expr {
            Expr::Vector(selector) => return self.add(selector, wanted),
            Expr::Matrix(matrix) => return self.add(&matrix.selector, wanted),
            Expr::Aggregate(node) => {
                self.mark(&node.expr, &grouped(node));
                if let Some(parameter) = &node.parameter {
                    self.mark(parameter, &Kept::All);
                }
                return;
            }
            Expr::Binary(node) => {
                let (left, right) = match &node.matching {
                    Some(_) if node.op.is_set() => (Kept::All, Kept::All),
                    Some(matching) => joined(matching, wanted),
                    None => (wanted.clone(), wanted.clone()),
                };
                self.mark(&node.left, &left);
                self.mark(&node.right, &right);
                return;
            }
            Expr::Paren(_) | Expr::Unary(_) => wanted,
            Expr::Call(call) if keeps_series(call.function.name) => wanted,
            _ => &Kept::All,
        };
        for child in expr.children() {
            self.mark(child, passed_on);
        }
    }

    fn add(&mut self, selector: &VectorSelector, wanted: &Kept) {
        if *wanted != Kept::All {
            self.0.insert(address(selector), wanted.clone());
        }
    }
}

/// What an aggregation looks at.
fn grouped(node: &Aggregate) -> Kept {
    if !is_grouping_only(node.op) {
        return Kept::All;
    }
    if node.without {
        return with(&Kept::AllBut(node.grouping.clone()), &reserved());
    }
    with(&Kept::Only(node.grouping.clone()), &reserved())
}

/// What is looked at of the left and of the right side of a join, if it is `wanted` of the result.
fn joined(matching: &VectorMatching, wanted: &Kept) -> (Kept, Kept) {
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if !matching.on || fills {
        return (Kept::All, Kept::All);
    }
    // The labels that the one side gives are looked at on the many side too: with none there, results differ as it does.
    let names = matching.labels.iter().chain(&matching.include);
    let names: Vec<String> = names.cloned().chain(reserved()).collect();
    let of_many = with(wanted, &names);
    let of_one = Kept::Only(names);
    match matching.cardinality {
        // What was matched is all that the result has.
        Cardinality::OneToOne => (of_one.clone(), of_one),
        Cardinality::ManyToOne => (of_many, of_one),
        Cardinality::OneToMany => (of_one, of_many),
        Cardinality::ManyToMany => (Kept::All, Kept::All),
    }
}

/// Returns `kept` with the labels `names`.
fn with(kept: &Kept, names: &[String]) -> Kept {
    match kept {
        Kept::All => Kept::All,
        Kept::Only(some) => {
            let more = names.iter().filter(|name| !some.contains(name));
            Kept::Only(some.iter().chain(more).cloned().collect())
        }
        Kept::AllBut(others) => {
            let others = others.iter().filter(|name| !names.contains(name));
            match others.cloned().collect::<Vec<String>>() {
                none if none.is_empty() => Kept::All,
                others => Kept::AllBut(others),
            }
        }
    }
}

fn reserved() -> [String; RESERVED.len()] {
    RESERVED.map(str::to_owned)
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
        check("sum(x * 2 > bool scalar(y))", &["__name__", ALL]);
        check(
            "sum(label_replace(x, \"b\", \"$1\", \"a\", \"(.*)\"))",
            &[ALL],
        );
        check("sum(histogram_quantile(0.9, x))", &[ALL]);
        check("sum(max_over_time(rate(x[1m])[5m:1m]))", &[ALL]);
        check("count_values(\"b\", x)", &[ALL]);
        check("sum(absent_over_time(x[5m]))", &[ALL]);
    }

    #[test]
    fn what_is_matched_on() {
        const ALL: &str = "a b __name__";
        // Of what is shown, all that it shows.
        check("x * on (a) group_left y", &[ALL, "a __name__"]);
        check("x * on (a) group_right (b) y", &[ALL, ALL]);
        check("x * on () group_right (b) y", &["b __name__", ALL]);
        check("x > bool on (a) y", &["a __name__", "a __name__"]);
        // Of what is summed up, less.
        check(
            "sum(x * on (a) group_left y)",
            &["a __name__", "a __name__"],
        );
        check("sum by (b) (x * on (a) group_left y)", &[ALL, "a __name__"]);
        check(
            "sum by (b) (rate(x[5m]) < on () group_left (b) -y)",
            &["b __name__", "b __name__"],
        );
        check(
            "sum without (b) (y - on () group_right x)",
            &["__name__", "a __name__"],
        );
        check(
            "sum without (b) (y - on (b) group_right x)",
            &["b __name__", ALL],
        );
        // Of what is joined further, what the others look at.
        check(
            "sum by (a) (x * on (b) group_left (a) (y * on (a) group_left z))",
            &[ALL, ALL, "a __name__"],
        );
        check(
            "sum((z * on (a) group_right x) * on () group_left y)",
            &["a __name__", "a __name__", "__name__"],
        );
        // What other labels tell.
        check("sum(x * ignoring (a) y)", &[ALL, ALL]);
        check("sum(x * ignoring (a) group_left y)", &[ALL, ALL]);
        check("sum(x + on (a) fill(0) y)", &[ALL, ALL]);
        check("sum(x and on (a) y)", &[ALL, ALL]);
    }
}
