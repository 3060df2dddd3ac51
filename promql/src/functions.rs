//! The signatures of PromQL's functions.
//!
//! Every function of Prometheus 3.14 is here, so that every expression parses and prints; which of them the engine
//! evaluates is decided in [`crate::engine`].

use crate::ast::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of the arguments; the last one is repeated for `optional` ones.
    pub args: &'static [ValueType],
    /// How many of the last arguments may be missing; negative: the last may come any number of times, also none.
    pub variadic: Variadic,
    /// Type of the result.
    pub returns: ValueType,
    /// Whether Prometheus needs a feature flag for it.
    pub is_experimental: bool,
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variadic {
    /// As many as listed.
    Exact,
    /// The last one may be missing.
    Optional,
    /// The last one may come from no time to this many times.
    UpTo(usize),
    /// The last one may come any number of times, also none.
    Any,
}

impl Function {
    /// Returns the function `name`.
    pub fn find(name: &str) -> Option<&'static Function> {
        FUNCTIONS
            .binary_search_by(|function| function.name.cmp(name))
            .ok()
            .map(|at| &FUNCTIONS[at])
    }

    /// Returns the least and the greatest number of arguments; none means unlimited.
    pub fn arity(&self) -> (usize, Option<usize>) {
        let listed = self.args.len();
        match self.variadic {
            Variadic::Exact => (listed, Some(listed)),
            Variadic::Optional => (listed - 1, Some(listed)),
            Variadic::UpTo(times) => (listed - 1, Some(listed - 1 + times)),
            Variadic::Any => (listed - 1, None),
        }
    }

    /// Returns the type of argument `index`.
    pub fn arg(&self, index: usize) -> ValueType {
        self.args[index.min(self.args.len() - 1)]
    }
}

const fn stable(
    name: &'static str,
    args: &'static [ValueType],
    variadic: Variadic,
    returns: ValueType,
) -> Function {
    Function {
        name,
        args,
        variadic,
        returns,
        is_experimental: false,
    }
}

const fn experimental(
    name: &'static str,
    args: &'static [ValueType],
    variadic: Variadic,
    returns: ValueType,
) -> Function {
    Function {
        name,
        args,
        variadic,
        returns,
        is_experimental: true,
    }
}

const fn of_vector(name: &'static str) -> Function {
    stable(name, &[Vector], Variadic::Exact, Vector)
}

const fn of_time(name: &'static str) -> Function {
    stable(name, &[Vector], Variadic::Optional, Vector)
}

const fn of_range(name: &'static str) -> Function {
    stable(name, &[Matrix], Variadic::Exact, Vector)
}

/// Sorted by name.
pub static FUNCTIONS: [Function; 90] = [
    of_vector("abs"),
    of_vector("absent"),
    of_range("absent_over_time"),
    of_vector("acos"),
    of_vector("acosh"),
    of_vector("asin"),
    of_vector("asinh"),
    of_vector("atan"),
    of_vector("atanh"),
    of_range("avg_over_time"),
    of_vector("ceil"),
    of_range("changes"),
    stable("clamp", &[Vector, Scalar, Scalar], Variadic::Exact, Vector),
    stable("clamp_max", &[Vector, Scalar], Variadic::Exact, Vector),
    stable("clamp_min", &[Vector, Scalar], Variadic::Exact, Vector),
    of_vector("cos"),
    of_vector("cosh"),
    of_range("count_over_time"),
    of_time("day_of_month"),
    of_time("day_of_week"),
    of_time("day_of_year"),
    of_time("days_in_month"),
    of_vector("deg"),
    of_range("delta"),
    of_range("deriv"),
    experimental(
        "double_exponential_smoothing",
        &[Matrix, Scalar, Scalar],
        Variadic::Exact,
        Vector,
    ),
    experimental("end", &[], Variadic::Exact, Scalar),
    of_vector("exp"),
    of_range("first_over_time"),
    of_vector("floor"),
    of_vector("histogram_avg"),
    of_vector("histogram_count"),
    stable(
        "histogram_fraction",
        &[Scalar, Scalar, Vector],
        Variadic::Exact,
        Vector,
    ),
    stable(
        "histogram_quantile",
        &[Scalar, Vector],
        Variadic::Exact,
        Vector,
    ),
    experimental(
        "histogram_quantiles",
        &[Vector, String, Scalar, Scalar],
        Variadic::UpTo(9),
        Vector,
    ),
    of_vector("histogram_stddev"),
    of_vector("histogram_stdvar"),
    of_vector("histogram_sum"),
    of_time("hour"),
    of_range("idelta"),
    of_range("increase"),
    experimental("info", &[Vector, Vector], Variadic::Optional, Vector),
    of_range("irate"),
    stable(
        "label_join",
        &[Vector, String, String, String],
        Variadic::Any,
        Vector,
    ),
    stable(
        "label_replace",
        &[Vector, String, String, String, String],
        Variadic::Exact,
        Vector,
    ),
    of_range("last_over_time"),
    of_vector("ln"),
    of_vector("log10"),
    of_vector("log2"),
    experimental("mad_over_time", &[Matrix], Variadic::Exact, Vector),
    experimental("max_of", &[Scalar, Scalar], Variadic::Exact, Scalar),
    of_range("max_over_time"),
    experimental("min_of", &[Scalar, Scalar], Variadic::Exact, Scalar),
    of_range("min_over_time"),
    of_time("minute"),
    of_time("month"),
    stable("pi", &[], Variadic::Exact, Scalar),
    stable("predict_linear", &[Matrix, Scalar], Variadic::Exact, Vector),
    of_range("present_over_time"),
    stable(
        "quantile_over_time",
        &[Scalar, Matrix],
        Variadic::Exact,
        Vector,
    ),
    of_vector("rad"),
    experimental("range", &[], Variadic::Exact, Scalar),
    of_range("rate"),
    of_range("resets"),
    stable("round", &[Vector, Scalar], Variadic::Optional, Vector),
    stable("scalar", &[Vector], Variadic::Exact, Scalar),
    of_vector("sgn"),
    of_vector("sin"),
    of_vector("sinh"),
    of_vector("sort"),
    experimental("sort_by_label", &[Vector, String], Variadic::Any, Vector),
    experimental(
        "sort_by_label_desc",
        &[Vector, String],
        Variadic::Any,
        Vector,
    ),
    of_vector("sort_desc"),
    of_vector("sqrt"),
    experimental("start", &[], Variadic::Exact, Scalar),
    experimental("start_timestamp", &[Vector], Variadic::Exact, Vector),
    of_range("stddev_over_time"),
    of_range("stdvar_over_time"),
    experimental("step", &[], Variadic::Exact, Scalar),
    of_range("sum_over_time"),
    of_vector("tan"),
    of_vector("tanh"),
    stable("time", &[], Variadic::Exact, Scalar),
    of_vector("timestamp"),
    experimental("ts_of_first_over_time", &[Matrix], Variadic::Exact, Vector),
    experimental("ts_of_last_over_time", &[Matrix], Variadic::Exact, Vector),
    experimental("ts_of_max_over_time", &[Matrix], Variadic::Exact, Vector),
    experimental("ts_of_min_over_time", &[Matrix], Variadic::Exact, Vector),
    stable("vector", &[Scalar], Variadic::Exact, Vector),
    of_time("year"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_for_the_search() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(Function::find("rate").map(|f| f.name), Some("rate"));
        assert_eq!(Function::find("rates"), None);
    }

    #[test]
    fn arities() {
        let arity = |name| Function::find(name).unwrap().arity();
        assert_eq!(arity("round"), (1, Some(2)));
        assert_eq!(arity("label_join"), (3, None));
        assert_eq!(arity("histogram_quantiles"), (3, Some(12)));
        assert_eq!(arity("pi"), (0, Some(0)));
    }
}
