//! PromQL: nom parser, printer, type checks and the columnar engine.
//!
//! ```text
//! text ── parse ──► Expr ── Engine ──► QueryResult
//!                    └── Display, pretty ──► text
//! ```
//!
//! The engine reads through the storage traits of `model` and runs over anything that implements them. It is
//! synchronous; its only global state is a pool of threads, as many as there are processors, that starts with the first
//! query of many series.
//!
//! Expressions of more than 250 levels are refused with a parse error; a chain of operators (`a + b + c + …`) is as deep
//! as it is long, since it leans to the left.

pub mod ast;
mod check;
pub mod functions;
mod lex;
mod parse;
mod position;
mod print;

pub mod edit;

mod engine;
mod function;
mod histogram;
mod limits;
mod numeric;
mod operator;
mod profile;
mod row;
mod table;
mod window;

pub mod script;

mod annotations;
mod error;
mod value;

pub use annotations::Annotations;
pub use ast::{Expr, ValueType, VectorSelector};
pub use engine::{Engine, EngineOptions, Features, QueryOptions};
pub use error::{ErrorKind, QueryError};
pub use parse::{ParseError, ParseOptions, parse, parse_selector, parse_with};
pub use position::Position;
pub use print::pretty;
pub use profile::PlanNode;
pub use value::{MatrixSeries, QueryResult, QueryStats, Value, VectorSample};
