//! Duration expressions as text.

use std::fmt::{self, Display, Formatter};

use crate::ast::{DurationExpr, DurationOp};

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(number) => number.fmt(f),
            DurationExpr::Step(_) => f.write_str("step()"),
            DurationExpr::Range(_) => f.write_str("range()"),
            DurationExpr::Negate(inner, _) => write!(f, "-{inner}"),
            DurationExpr::Plus(inner, _) => write!(f, "+{inner}"),
            DurationExpr::Paren(inner, _) => write!(f, "({inner})"),
            DurationExpr::Binary(op, left, right, _) => {
                let op = match op {
                    DurationOp::Add => "+",
                    DurationOp::Sub => "-",
                    DurationOp::Mul => "*",
                    DurationOp::Div => "/",
                    DurationOp::Mod => "%",
                    DurationOp::Pow => "^",
                    DurationOp::Min => return write!(f, "min_of({left}, {right})"),
                    DurationOp::Max => return write!(f, "max_of({left}, {right})"),
                };
                write!(f, "{left} {op} {right}")
            }
        }
    }
}
