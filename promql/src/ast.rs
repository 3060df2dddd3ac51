//! The syntax tree of a PromQL expression.
//!
//! # Invariants
//!
//! 1. A tree that came from [`crate::parse`] is well typed and at most [`HEIGHT_MAX`] nodes high, so that walking and
//!    dropping it by recursion is safe.
//! 2. Nodes compare by meaning: their positions are all equal to each other.

mod operator;

use model::Matcher;

use crate::functions::Function;
use crate::position::Position;
pub(crate) use operator::AGGREGATES;
pub use operator::{AggregateOp, BinaryOp};

/// The greatest height of a tree that the parser builds.
pub const HEIGHT_MAX: usize = 250;

/// The shape of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// A text.
    String,
    /// At most one sample per series and step.
    Vector,
    /// A window of samples per series and step.
    Matrix,
}

impl ValueType {
    /// Returns the name that error messages use.
    pub const fn describe(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
        }
    }

    /// Returns the name that the HTTP API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `1.5`, `5m`
    Number(NumberLiteral),
    /// `"text"`
    String(Box<StringLiteral>),
    /// `name{label="value"}`
    Vector(Box<VectorSelector>),
    /// `name[5m]`
    Matrix(Box<MatrixSelector>),
    /// `expr[1h:5m]`
    Subquery(Box<Subquery>),
    /// `function(arguments)`
    Call(Box<Call>),
    /// `-expr`
    Unary(Box<Unary>),
    /// `left + right`
    Binary(Box<Binary>),
    /// `sum by (label) (expr)`
    Aggregate(Box<Aggregate>),
    /// `(expr)`
    Paren(Box<Paren>),
}

/// A number, perhaps written as a duration (then in seconds).
#[derive(Clone, Copy, Debug)]
pub struct NumberLiteral {
    /// The value.
    pub value: f64,
    /// Whether it was written as a duration.
    pub is_duration: bool,
    /// Where.
    pub position: Position,
}

/// Numbers are equal by their bits, so that NaN is NaN and `-0` is not `0`.
impl PartialEq for NumberLiteral {
    fn eq(&self, other: &Self) -> bool {
        let same = self.value.to_bits() == other.value.to_bits()
            || (self.value.is_nan() && other.value.is_nan());
        same && self.is_duration == other.is_duration
    }
}

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// The text, unquoted; U+FFFD stands for what is not UTF-8.
    pub value: String,
    /// The text as bytes, if it is not UTF-8. Nothing in storage has such a text.
    pub not_utf8: Option<Vec<u8>>,
    /// Where.
    pub position: Position,
}

/// The fixed point in time of an `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// The query's first step.
    Start,
    /// The query's last step.
    End,
}

/// A length of time in a selector.
#[derive(Clone, Debug, PartialEq)]
pub enum Span {
    /// Milliseconds.
    Ms(i64),
    /// To be computed when the query's steps are known.
    Expr(Box<DurationExpr>),
}

impl Default for Span {
    fn default() -> Self {
        Span::Ms(0)
    }
}

impl Span {
    /// Returns whether this is the literal zero, which is not printed.
    pub(crate) fn is_zero(&self) -> bool {
        matches!(self, Span::Ms(0))
    }
}

/// An operator of duration expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    Min,
    /// `max_of(a, b)`
    Max,
}

/// Arithmetic on durations, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds, or a duration.
    Number(NumberLiteral),
    /// `step()`: the distance of the query's steps; 0 in an instant query.
    Step(Position),
    /// `range()`: from the query's first step to its last.
    Range(Position),
    /// `-a`
    Negate(Box<DurationExpr>, Position),
    /// `+a`
    Plus(Box<DurationExpr>, Position),
    /// `a + b`, `min_of(a, b)`
    Binary(DurationOp, Box<DurationExpr>, Box<DurationExpr>, Position),
    /// `(a)`
    Paren(Box<DurationExpr>, Position),
}

impl DurationExpr {
    /// Returns where it was written.
    pub fn position(&self) -> Position {
        match self {
            DurationExpr::Number(number) => number.position,
            DurationExpr::Step(position)
            | DurationExpr::Range(position)
            | DurationExpr::Negate(_, position)
            | DurationExpr::Plus(_, position)
            | DurationExpr::Binary(_, _, _, position)
            | DurationExpr::Paren(_, position) => *position,
        }
    }
}

/// `offset` and `@` of a selector or subquery.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Modifiers {
    /// How far back to look; negative looks ahead.
    pub offset: Span,
    /// The fixed time to look at.
    pub at: Option<At>,
}

/// How a selector treats the ends of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Extension {
    /// Only samples inside.
    #[default]
    None,
    /// `anchored`: the last sample before the range counts as its start.
    Anchored,
    /// `smoothed`: values at the ends are interpolated.
    Smoothed,
}

/// `name{label="value"} offset 5m @ 0`
#[derive(Clone, Debug)]
pub struct VectorSelector {
    /// The metric name, if it was given outside of matchers. It is among the matchers too.
    pub name: Option<String>,
    /// All tests, the one on `__name__` included.
    pub matchers: Vec<Matcher>,
    /// When.
    pub modifiers: Modifiers,
    /// `anchored` or `smoothed`.
    pub extension: Extension,
    /// Where, modifiers included.
    pub position: Position,
}

/// The order of matchers means nothing.
impl PartialEq for VectorSelector {
    fn eq(&self, other: &Self) -> bool {
        let same_matchers = self.matchers.len() == other.matchers.len()
            && self.matchers.iter().all(|m| other.matchers.contains(m))
            && other.matchers.iter().all(|m| self.matchers.contains(m));
        same_matchers
            && self.name == other.name
            && self.modifiers == other.modifiers
            && self.extension == other.extension
    }
}

/// `name[5m] offset 5m`; the modifiers are the inner selector's.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Which series.
    pub selector: VectorSelector,
    /// Length of the window.
    pub range: Span,
    /// Where, modifiers included.
    pub position: Position,
}

/// `expr[1h:5m] offset 5m`
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each inner step.
    pub expr: Expr,
    /// Length of the window.
    pub range: Span,
    /// Distance of the inner steps; none means the default.
    pub step: Option<Span>,
    /// When.
    pub modifiers: Modifiers,
    /// Where.
    pub position: Position,
}

/// `function(arguments)`
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where.
    pub position: Position,
}

/// `-expr` or `+expr`
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether it is a minus.
    pub negates: bool,
    /// The operand.
    pub expr: Expr,
    /// Where.
    pub position: Position,
}

/// Which side of a binary operator may have several series per match group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// None.
    #[default]
    OneToOne,
    /// The left: `group_left`.
    ManyToOne,
    /// The right: `group_right`.
    OneToMany,
    /// Both: set operators.
    ManyToMany,
}

/// How series of both sides of a binary operator find each other.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct VectorMatching {
    /// Which side may have several.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether it is `on`.
    pub on: bool,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// The value of a missing left side.
    pub fill_left: Option<NumberLiteral>,
    /// The value of a missing right side.
    pub fill_right: Option<NumberLiteral>,
}

/// `left op right`
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub left: Expr,
    /// Right operand.
    pub right: Expr,
    /// Whether a comparison yields 0 and 1.
    pub returns_bool: bool,
    /// How series match; present when both sides are vectors.
    pub matching: Option<VectorMatching>,
    /// Where the operator is.
    pub op_position: Position,
    /// Where.
    pub position: Position,
}

/// `sum by (label) (expr)`
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// `k`, a quantile or a label name.
    pub parameter: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether it is `without`.
    pub without: bool,
    /// Where.
    pub position: Position,
}

/// `(expr)`
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Expr,
    /// Where, parentheses included.
    pub position: Position,
}

impl Expr {
    /// Returns the shape of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(call) => call.function.returns,
            Expr::Unary(unary) => unary.expr.value_type(),
            Expr::Paren(paren) => paren.expr.value_type(),
            Expr::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
        }
    }

    /// Returns where the expression was written.
    pub fn position(&self) -> Position {
        match self {
            Expr::Number(node) => node.position,
            Expr::String(node) => node.position,
            Expr::Vector(node) => node.position,
            Expr::Matrix(node) => node.position,
            Expr::Subquery(node) => node.position,
            Expr::Call(node) => node.position,
            Expr::Unary(node) => node.position,
            Expr::Binary(node) => node.position,
            Expr::Aggregate(node) => node.position,
            Expr::Paren(node) => node.position,
        }
    }

    /// Returns the expression inside any parentheses.
    pub fn unparenthesized(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    /// Returns the direct sub-expressions, in order of writing.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
            Expr::Subquery(node) => vec![&node.expr],
            Expr::Call(node) => node.args.iter().collect(),
            Expr::Unary(node) => vec![&node.expr],
            Expr::Binary(node) => vec![&node.left, &node.right],
            Expr::Aggregate(node) => node.parameter.iter().chain([&node.expr]).collect(),
            Expr::Paren(node) => vec![&node.expr],
        }
    }

    /// Returns all selectors, range selectors' ones included, in order of writing.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.collect_selectors(&mut found);
        found
    }

    fn collect_selectors<'a>(&'a self, found: &mut Vec<&'a VectorSelector>) {
        match self {
            Expr::Vector(selector) => found.push(selector),
            Expr::Matrix(matrix) => found.push(&matrix.selector),
            _ => (),
        }
        for child in self.children() {
            child.collect_selectors(found);
        }
    }
}
