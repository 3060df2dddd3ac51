//! Which selectors are read for counts and sums of native histograms only.
//!
//! Prometheus does not decode the buckets of such histograms. Since nobody can compare them later then, it decides about
//! counter resets while it reads, and so knows more about them than it does of whole histograms. That shows in warnings.

use std::collections::HashSet;

use crate::ast::{Expr, VectorSelector};

/// The selectors of an expression of whose histograms only count and sum are wanted; valid as long as the expression.
#[derive(Debug, Default)]
pub(crate) struct CountsOnly(HashSet<usize>);

impl CountsOnly {
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut found = CountsOnly::default();
        found.mark(expr, false);
        found
    }

    pub(crate) fn contains(&self, selector: &VectorSelector) -> bool {
        self.0.contains(&address(selector))
    }

    fn mark(&mut self, expr: &Expr, counts_only: bool) {
        let counts_only = match expr {
            Expr::Vector(selector) if counts_only => {
                self.0.insert(address(selector));
                return;
            }
            Expr::Matrix(matrix) if counts_only => {
                self.0.insert(address(&matrix.selector));
                return;
            }
            // Subqueries compare samples that are not neighbours, operators between vectors start anew.
            Expr::Subquery(_) | Expr::Binary(_) => false,
            Expr::Call(call) => match call.function.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => true,
                name if name.starts_with("histogram_") => false,
                _ => counts_only,
            },
            _ => counts_only,
        };
        for child in expr.children() {
            self.mark(child, counts_only);
        }
    }
}

/// Which node it is: nodes with the same text are different ones.
pub(super) fn address(selector: &VectorSelector) -> usize {
    std::ptr::from_ref(selector).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &[bool]) {
        let expr = crate::parse(query).unwrap();
        let found = CountsOnly::of(&expr);
        let selectors = expr.selectors();
        let found: Vec<bool> = selectors.iter().map(|s| found.contains(s)).collect();
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn what_stands_around_decides() {
        check("h + histogram_count(h)", &[false, true]);
        check("histogram_sum(sum(rate(h[5m])))", &[true]);
        check("histogram_avg(h + h)", &[false, false]);
        check("histogram_count(increase(h[1h:5m]))", &[false]);
        check("max_over_time(histogram_count(h)[1h:5m])", &[true]);
        check("histogram_quantile(0.9, sum(h))", &[false]);
    }
}
