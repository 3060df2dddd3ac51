//! Expressions over several lines, as Prometheus' formatter lays them out.
//!
//! What fits in [`LINE_MAX`] bytes stays on its line; what does not is split at its outermost operator, arguments or
//! parentheses, two spaces deeper.

use crate::ast::Expr;

use super::{head, operator, suffix};

/// Longer expressions are split.
const LINE_MAX: usize = 100;

/// Returns `expr` laid out over lines of at most about a hundred bytes; it parses back to the same tree.
pub fn pretty(expr: &Expr) -> String {
    format_at(expr, 0)
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn needs_split(expr: &Expr) -> bool {
    LINE_MAX < expr.to_string().len()
}

fn format_at(expr: &Expr, level: usize) -> String {
    let pad = indent(level);
    if !needs_split(expr) {
        return format!("{pad}{expr}");
    }
    match expr {
        Expr::Binary(binary) => format!(
            "{}\n{pad}{}\n{}",
            format_at(&binary.left, level + 1),
            operator(binary),
            format_at(&binary.right, level + 1)
        ),
        Expr::Aggregate(aggregate) => {
            let args: Vec<&Expr> = aggregate
                .parameter
                .iter()
                .chain([&aggregate.expr])
                .collect();
            list(&format!("{pad}{}(", head(aggregate)), &args, level)
        }
        Expr::Call(call) => {
            let args: Vec<&Expr> = call.args.iter().collect();
            list(&format!("{pad}{}(", call.function.name), &args, level)
        }
        Expr::Paren(paren) => format!("{pad}(\n{}\n{pad})", format_at(&paren.expr, level + 1)),
        Expr::Subquery(subquery) => {
            format!("{}{}", format_at(&subquery.expr, level), suffix(subquery))
        }
        Expr::Unary(unary) => {
            let sign = if unary.negates { '-' } else { '+' };
            let inner = format_at(&unary.expr, level);
            format!("{pad}{sign}{}", inner.trim_start())
        }
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
            format!("{pad}{expr}")
        }
    }
}

fn list(opening: &str, args: &[&Expr], level: usize) -> String {
    let args: Vec<String> = args.iter().map(|arg| format_at(arg, level + 1)).collect();
    format!("{opening}\n{}\n{})", args.join(",\n"), indent(level))
}
