//! Changes to the matchers of a whole expression, as promtool makes them.
//!
//! Unlike promtool, which leaves the name before the braces as it is, a matcher on `__name__` takes its place.

use model::Matcher;

use crate::ast::{Expr, VectorSelector};

const METRIC_NAME: &str = "__name__";

/// Puts `matcher` in place of all matchers of its label in every selector; where there is none it is added.
pub fn set_matcher(expr: &mut Expr, matcher: &Matcher) {
    for_each_selector(expr, &mut |selector| {
        forget_name(selector, matcher.name());
        let mut is_set = false;
        for found in &mut selector.matchers {
            if found.name() == matcher.name() {
                *found = matcher.clone();
                is_set = true;
            }
        }
        if !is_set {
            selector.matchers.push(matcher.clone());
        }
    });
}

/// Removes all matchers of the label `name` from every selector. A selector without any is printed as nothing,
/// as by promtool.
pub fn delete_matchers(expr: &mut Expr, name: &str) {
    for_each_selector(expr, &mut |selector| {
        forget_name(selector, name);
        selector.matchers.retain(|matcher| matcher.name() != name);
    });
}

fn forget_name(selector: &mut VectorSelector, label: &str) {
    if label == METRIC_NAME {
        selector.name = None;
    }
}

fn for_each_selector(expr: &mut Expr, change: &mut impl FnMut(&mut VectorSelector)) {
    match expr {
        Expr::Vector(node) => change(node),
        Expr::Matrix(node) => change(&mut node.selector),
        Expr::Number(_) | Expr::String(_) => (),
        Expr::Subquery(node) => for_each_selector(&mut node.expr, change),
        Expr::Unary(node) => for_each_selector(&mut node.expr, change),
        Expr::Paren(node) => for_each_selector(&mut node.expr, change),
        Expr::Call(node) => {
            for arg in &mut node.args {
                for_each_selector(arg, change);
            }
        }
        Expr::Binary(node) => {
            for_each_selector(&mut node.left, change);
            for_each_selector(&mut node.right, change);
        }
        Expr::Aggregate(node) => {
            for expr in node.parameter.iter_mut().chain([&mut node.expr]) {
                for_each_selector(expr, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;

    use super::*;

    #[track_caller]
    fn check_set(query: &str, name: &str, expected: &str) {
        let mut expr = crate::parse(query).unwrap();
        set_matcher(&mut expr, &Matcher::new(name, MatchOp::Equal, "c").unwrap());
        assert_eq!(expr.to_string(), expected);
    }

    #[track_caller]
    fn check_delete(query: &str, name: &str, expected: &str) {
        let mut expr = crate::parse(query).unwrap();
        delete_matchers(&mut expr, name);
        assert_eq!(expr.to_string(), expected);
    }

    #[test]
    fn set_takes_the_place_or_is_added() {
        check_set(
            r#"sum(rate(foo{a=~"b"}[5m])) / bar or max_over_time(x{y="z"}[1h:])"#,
            "a",
            r#"sum(rate(foo{a="c"}[5m])) / bar{a="c"} or max_over_time(x{a="c",y="z"}[1h:])"#,
        );
        check_set(r#"foo{a="1",a!="2"}"#, "a", r#"foo{a="c",a="c"}"#);
        check_set("foo", "a b", r#"foo{"a b"="c"}"#);
        check_set(
            "topk(scalar(k), foo)",
            "a",
            r#"topk(scalar(k{a="c"}), foo{a="c"})"#,
        );
        check_set("foo", "__name__", r#"{__name__="c"}"#);
    }

    #[test]
    fn delete_leaves_the_others() {
        check_delete(r#"-(foo{a="1",b="2",a="3"})"#, "a", r#"-(foo{b="2"})"#);
        check_delete(r#"foo{b="2"}"#, "__name__", r#"{b="2"}"#);
        check_delete(r#"{b="2"}"#, "b", "");
    }
}
