//! Calls of functions with arguments that fit.

use promql::ValueType;
use promql::functions::{FUNCTIONS, Function, Variadic};

use super::generate::Generator;
use super::words;

impl Generator<'_> {
    /// Returns a call of a function that gives this type.
    pub(crate) fn call(&mut self, returns: ValueType, depth: usize) -> String {
        let known: Vec<&Function> = FUNCTIONS
            .iter()
            .filter(|f| f.returns == returns && !self.language.missing.contains(f.name))
            .collect();
        // Those of range vectors are few, and what most is in.
        let ranged = self.random.percent(50);
        let function = loop {
            let candidate = known[self.random.below(known.len())];
            if !ranged
                || returns != ValueType::Vector
                || candidate.args.contains(&ValueType::Matrix)
            {
                break candidate;
            }
        };
        let args = match function.name {
            "label_replace" | "label_join" | "sort_by_label" | "sort_by_label_desc" => {
                self.label_args(function.name, depth)
            }
            // Modifiers are those of the lookup too since 3.6.
            "info" => self.selector(),
            // What date a NaN is depends on the processor.
            "minute" | "hour" | "day_of_week" | "day_of_month" | "day_of_year"
            | "days_in_month" | "month" | "year" => {
                let seconds = [
                    "",
                    "date",
                    "date offset 7s",
                    "vector(time())",
                    "sum(date)",
                    "-date",
                    "date * 1.5",
                ];
                self.random.pick(&seconds).to_owned()
            }
            // With a NaN it is NaN since 3.6.
            "mad_over_time" => {
                let range = self.random.pick(words::RANGES);
                let metric = self.random.pick(&[
                    "temperature",
                    "requests_total",
                    "blend",
                    "stale",
                    "sparse",
                ]);
                format!("{metric}[{range}]{}", self.modifiers())
            }
            // 0 and 1 are allowed since 3.6.
            "double_exponential_smoothing" => {
                let factors = ["0.1", "0.5", "0.9"];
                format!(
                    "{}, {}, {}",
                    self.matrix(depth),
                    self.random.pick(&factors),
                    self.random.pick(&factors)
                )
            }
            _ => {
                let (least, most) = function.arity();
                let most = match function.variadic {
                    Variadic::Any => least + 2,
                    _ => most.unwrap_or(least),
                };
                let count = least + self.random.below(most - least + 1);
                let args = (0..count).map(|index| {
                    // What decides about a value is mostly a plain number.
                    let kind = function.arg(index);
                    let depth = if kind == ValueType::Scalar && depth < 3 {
                        0
                    } else {
                        depth
                    };
                    self.of(kind, depth)
                });
                args.collect::<Vec<_>>().join(", ")
            }
        };
        format!("{}({args})", function.name)
    }

    fn label_args(&mut self, function: &str, depth: usize) -> String {
        let vector = self.vector(depth);
        let mut label = || format!("\"{}\"", self.random.pick(words::LABELS));
        match function {
            "label_replace" => {
                let (target, source) = (label(), label());
                let replacement = self.random.pick(words::REPLACEMENTS);
                let regex = self.random.pick(words::REGEXES);
                format!("{vector}, {target}, \"{replacement}\", {source}, \"{regex}\"")
            }
            "label_join" => format!("{vector}, {}, \"-\", {}, {}", label(), label(), label()),
            _ => format!("{vector}, {}, {}", label(), label()),
        }
    }
}
