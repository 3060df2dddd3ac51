//! Everything in the language has a twin.

use std::collections::BTreeSet;
use std::path::Path;

use super::cases;
use crate::ast::{AGGREGATES, BinaryOp, Expr};
use crate::functions::FUNCTIONS;

/// What the plain evaluator does not know: where its twin is instead, and why.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "info",
        "function/info/tests.rs",
        "needs series of targets that come and go",
    ),
    (
        "limit_ratio",
        "engine/tests/plain/property.rs",
        "takes by a hash: a ratio and its complement are compared",
    ),
];

/// Every operator; the compiler sees to it that none is forgotten.
fn next(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Pow => BinaryOp::Mul,
        BinaryOp::Mul => BinaryOp::Div,
        BinaryOp::Div => BinaryOp::Mod,
        BinaryOp::Mod => BinaryOp::Atan2,
        BinaryOp::Atan2 => BinaryOp::Add,
        BinaryOp::Add => BinaryOp::Sub,
        BinaryOp::Sub => BinaryOp::Equal,
        BinaryOp::Equal => BinaryOp::NotEqual,
        BinaryOp::NotEqual => BinaryOp::LessEqual,
        BinaryOp::LessEqual => BinaryOp::Less,
        BinaryOp::Less => BinaryOp::GreaterEqual,
        BinaryOp::GreaterEqual => BinaryOp::Greater,
        BinaryOp::Greater => BinaryOp::TrimUpper,
        BinaryOp::TrimUpper => BinaryOp::TrimLower,
        BinaryOp::TrimLower => BinaryOp::And,
        BinaryOp::And => BinaryOp::Unless,
        BinaryOp::Unless => BinaryOp::Or,
        BinaryOp::Or => return None,
    })
}

fn used(expr: &Expr, names: &mut BTreeSet<&'static str>) {
    match expr {
        Expr::Call(node) => names.insert(node.function.name),
        Expr::Binary(node) => names.insert(node.op.as_str()),
        Expr::Aggregate(node) => names.insert(node.op.as_str()),
        _ => false,
    };
    for child in expr.children() {
        used(child, names);
    }
}

#[test]
fn everything_has_a_twin() {
    let mut has_case = BTreeSet::new();
    for (text, _) in cases::all() {
        used(&crate::parse(text).unwrap(), &mut has_case);
    }
    let mut language: BTreeSet<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    language.extend(AGGREGATES.iter().map(|(name, _)| *name));
    let mut op = Some(BinaryOp::Pow);
    while let Some(this) = op {
        language.insert(this.as_str());
        op = next(this);
    }
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _, _)| *name).collect();
    let with_twin: BTreeSet<&str> = has_case.union(&elsewhere).copied().collect();
    assert_eq!(with_twin, language);
    assert!(
        has_case.is_disjoint(&elsewhere),
        "two twins, of which one is forgotten"
    );
}

#[test]
fn twins_elsewhere_are_there() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (name, path, _) in ELSEWHERE {
        let text = std::fs::read_to_string(sources.join(path)).unwrap();
        assert!(text.contains("proptest!"), "{path}: no property test");
        let group = Path::new(path).file_stem().unwrap().to_str().unwrap();
        assert!(
            text.contains(name) || group == "tests",
            "{path}: not of {name}"
        );
    }
}
