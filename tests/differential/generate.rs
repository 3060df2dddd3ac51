//! Expressions from a seed: valid ones, well typed, and a share of wrong ones.

use std::collections::BTreeSet;

use promql::ValueType;

use super::data::{START, TICK};
use super::random::Random;
use super::words;

/// What the version at hand has.
pub(crate) struct Language {
    /// Functions that it lacks, or that it defines otherwise.
    pub(crate) missing: BTreeSet<&'static str>,
    /// Whether it is 3.x.
    pub(crate) is_modern: bool,
}

/// Makes expressions.
pub(crate) struct Generator<'l> {
    pub(crate) language: &'l Language,
    pub(crate) random: Random,
}

impl Generator<'_> {
    /// Returns an expression, wrong in one of ten cases.
    pub(crate) fn expression(&mut self) -> String {
        let depth = self.random.below(5);
        let text = match self.random.below(40) {
            0..32 => self.vector(depth),
            32..36 => self.scalar(depth.max(1)),
            36..39 => self.matrix(depth.min(2)),
            _ => self.string(),
        };
        if self.random.percent(10) {
            self.spoil(&text)
        } else {
            text
        }
    }

    /// Returns a time to ask at, milliseconds since the epoch.
    pub(crate) fn time(&mut self) -> i64 {
        let seconds = self.random.below(27 * 60) as i64;
        let ms = seconds * 1_000;
        if self.random.percent(50) {
            START + ms / TICK * TICK
        } else {
            START + ms
        }
    }

    /// Returns start, end and step of a range query, milliseconds.
    pub(crate) fn range(&mut self) -> [i64; 3] {
        let start = self.time();
        let step = [7, 15, 15, 30, 60, 60, 130, 300][self.random.below(8)] * 1_000;
        [
            start,
            start + step * self.random.below(12) as i64 + 3_000,
            step,
        ]
    }

    pub(crate) fn of(&mut self, kind: ValueType, depth: usize) -> String {
        match kind {
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::Scalar => self.scalar(depth),
            ValueType::String => self.string(),
        }
    }

    pub(crate) fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector() + &self.modifiers();
        }
        let inner = depth - 1;
        match self.random.below(30) {
            0..3 => self.selector() + &self.modifiers(),
            3..11 => self.call(ValueType::Vector, inner),
            11..17 => self.aggregate(inner),
            17..24 => self.binary_vectors(inner),
            24..27 => self.binary_with_scalar(inner),
            27 => self.sign() + &self.vector(inner),
            28 => format!("({})", self.vector(inner)),
            _ => self.buckets_quantile(),
        }
    }

    pub(crate) fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.random.pick(words::NUMBERS).to_owned();
        }
        let inner = depth - 1;
        match self.random.below(10) {
            0..4 => self.random.pick(words::NUMBERS).to_owned(),
            4 => format!("scalar({})", self.vector(inner)),
            5 => self.call(ValueType::Scalar, inner),
            6 => self.sign() + &self.scalar(inner),
            7 => format!("({})", self.scalar(inner)),
            _ => {
                let op = self.operator();
                let bool = if is_comparison(op) { "bool " } else { "" };
                let op = if is_set(op) { "+" } else { op };
                format!("{} {op} {bool}{}", self.scalar(inner), self.scalar(inner))
            }
        }
    }

    pub(crate) fn matrix(&mut self, depth: usize) -> String {
        let range = self.random.pick(words::RANGES);
        if depth == 0 || self.random.percent(65) {
            return format!("{}[{range}]{}", self.selector(), self.modifiers());
        }
        // 2.x does not look at what is in a subquery without steps.
        let longest = usize::from(!self.language.is_modern);
        let steps = words::SUBQUERY_STEPS.len() - longest;
        let step = self.random.pick(&words::SUBQUERY_STEPS[..steps]);
        let range = self.random.pick(words::SUBQUERY_RANGES);
        let inner = self.vector(depth - 1);
        // A subquery binds more tightly than any operator.
        let inner = match self.random.below(2) {
            0 => format!("({inner})"),
            _ => inner,
        };
        format!("{inner}[{range}:{step}]{}", self.modifiers())
    }

    fn string(&mut self) -> String {
        self.random.pick(words::STRINGS).to_owned()
    }

    fn sign(&mut self) -> String {
        self.random.pick(&["-", "-", "+", "- "]).to_owned()
    }

    pub(crate) fn selector(&mut self) -> String {
        let modern = self.language.is_modern;
        let metrics = if modern {
            words::METRICS.len()
        } else {
            words::METRICS_CLASSIC
        };
        let name = words::METRICS[self.random.below(metrics)];
        let mut matchers = Vec::new();
        while self.random.percent(35) && matchers.len() < 3 {
            let (label, value) = words::MATCHERS[self.random.below(words::MATCHERS.len())];
            if matchers
                .iter()
                .any(|other: &String| other.starts_with(label))
            {
                // What absent() makes of two depends on how storage orders them.
                continue;
            }
            let op = self.random.pick(&["=", "!=", "=~", "=~", "!~"]);
            matchers.push(format!("{label}{op}\"{value}\""));
        }
        match self.random.below(12) {
            0 => {
                let op = self.random.pick(&["=~\"", "=~\"(", "=\""]);
                let end = if op.ends_with('(') { ")?.*\"" } else { "\"" };
                matchers.push(format!("__name__{op}{name}{end}"));
                format!("{{{}}}", matchers.join(","))
            }
            1 if modern => {
                matchers.insert(0, format!("\"{name}\""));
                format!("{{{}}}", matchers.join(", "))
            }
            _ if matchers.is_empty() => name.to_owned(),
            _ => format!("{name}{{{}}}", matchers.join(",")),
        }
    }

    pub(crate) fn modifiers(&mut self) -> String {
        let mut modifiers = Vec::new();
        if self.random.percent(15) {
            modifiers.push(format!(" offset {}", self.random.pick(words::OFFSETS)));
        }
        if self.random.percent(10) {
            let at = match self.random.below(4) {
                0 => "start()".to_owned(),
                1 => "end()".to_owned(),
                _ => {
                    // Where no window of 2.x begins at a sample; see the head of the test.
                    let ms = if self.language.is_modern { 0 } else { 3 };
                    let tick = self.random.below(100) as i64;
                    format!("{}.{ms:03}", (START + tick * TICK) / 1_000)
                }
            };
            modifiers.push(format!(" @ {at}"));
        }
        if self.random.percent(50) {
            modifiers.reverse();
        }
        modifiers.concat()
    }

    fn buckets_quantile(&mut self) -> String {
        let quantile = self
            .random
            .pick(&["0.5", "0.9", "0.99", "0", "1", "-1", "1.1", "NaN"]);
        let rate = if self.language.is_modern {
            "rate"
        } else {
            "delta"
        };
        let buckets = self
            .random
            .pick(&["latency_bucket", "latency_bucket", "broken_bucket"]);
        let range = self.random.pick(words::RANGES);
        match self.random.below(3) {
            0 => format!("histogram_quantile({quantile}, {buckets})"),
            1 => format!("histogram_quantile({quantile}, {rate}({buckets}[{range}]))"),
            _ => {
                format!("histogram_quantile({quantile}, sum by (le) ({rate}({buckets}[{range}])))")
            }
        }
    }

    fn labels(&mut self) -> String {
        let count = self.random.below(4);
        let labels: Vec<&str> = (0..count)
            .map(|_| self.random.pick(words::LABELS))
            .collect();
        labels.join(", ")
    }

    fn aggregate(&mut self, depth: usize) -> String {
        let op = self.random.pick(words::AGGREGATIONS);
        let op = match op {
            op if self.language.missing.contains(op) => "sum",
            "stddev" | "stdvar" if !self.language.is_modern => "avg",
            "topk" | "bottomk" if !self.language.is_modern => "max",
            op => op,
        };
        let parameter = match op {
            "topk" | "bottomk" | "limitk" => self
                .random
                .pick(&["1, ", "2, ", "3, ", "100, ", "0, ", "-1, ", "1.9, "]),
            "quantile" => self
                .random
                .pick(&["0.5, ", "0.9, ", "0, ", "1, ", "-1, ", "2, ", "NaN, "]),
            "count_values" => self.random.pick(&["\"value\", ", "\"job\", ", "\"n\", "]),
            _ => "",
        };
        // The parameter of 3.5 may change from step to step.
        let parameter = match op {
            "topk" | "quantile" if self.language.is_modern && self.random.percent(10) => {
                format!("{}, ", self.scalar(depth.min(1)))
            }
            _ => parameter.to_owned(),
        };
        // Of samples that tie, the first are taken: of what comes in an order.
        let inner = match op {
            // A value becomes a label, to the last digit.
            "count_values" => self.selector() + &self.modifiers(),
            "topk" | "bottomk" | "limitk" if self.random.percent(60) => {
                self.selector() + &self.modifiers()
            }
            "topk" | "bottomk" | "limitk" => {
                let function = self
                    .random
                    .pick(&["rate", "increase", "max_over_time", "deriv"]);
                format!("{function}({})", self.matrix(0))
            }
            _ => self.vector(depth),
        };
        let grouping = self.random.pick(&["by", "without"]);
        match self.random.below(5) {
            0 | 1 => format!("{op}({parameter}{inner})"),
            2 | 3 => format!("{op} {grouping} ({}) ({parameter}{inner})", self.labels()),
            _ => format!("{op}({parameter}{inner}) {grouping} ({})", self.labels()),
        }
    }

    fn operator(&mut self) -> &'static str {
        match self.random.pick(words::OPERATORS) {
            "atan2" if !self.language.is_modern => "-",
            op => op,
        }
    }

    fn binary_vectors(&mut self, depth: usize) -> String {
        let op = self.operator();
        let (left, right) = if self.random.percent(45) {
            // Sides that have something to do with each other.
            let (left, right) = words::JOINS[self.random.below(words::JOINS.len())];
            (left.to_owned(), right.to_owned())
        } else {
            (self.vector(depth), self.vector(depth))
        };
        let mut words = vec![left, op.to_owned()];
        if is_comparison(op) && self.random.percent(40) {
            words.push("bool".to_owned());
        }
        if self.random.percent(60) {
            let matching = self.random.pick(&["on", "on", "ignoring"]);
            words.push(format!(
                "{matching}({})",
                match self.random.below(3) {
                    0 => "job".to_owned(),
                    1 => "job, instance".to_owned(),
                    _ => self.labels(),
                }
            ));
            if !is_set(op) && self.random.percent(50) {
                let side = self.random.pick(&["group_left", "group_right"]);
                let include = if self.random.percent(50) {
                    "()".to_owned()
                } else {
                    format!(
                        "({})",
                        self.random
                            .pick(&["version", "zone", "code", "version, zone"])
                    )
                };
                words.push(side.to_owned() + &include);
            }
        }
        words.push(right);
        words.join(" ")
    }

    fn binary_with_scalar(&mut self, depth: usize) -> String {
        let op = self.operator();
        let op = if is_set(op) { "*" } else { op };
        let bool = if is_comparison(op) && self.random.percent(40) {
            "bool "
        } else {
            ""
        };
        let (vector, scalar) = (self.vector(depth), self.scalar(depth.min(1)));
        match self.random.below(3) {
            0 => format!("{scalar} {op} {bool}{vector}"),
            _ => format!("{vector} {op} {bool}{scalar}"),
        }
    }

    /// Returns `text` with one thing wrong, most probably.
    fn spoil(&mut self, text: &str) -> String {
        if text.contains("start()") || text.contains("end()") {
            // In other places they are functions since 3.12.
            return text.to_owned();
        }
        let mut at = self.random.below(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let (before, after) = text.split_at(at);
        match self.random.below(8) {
            // A range vector, a scalar, a text where something else is wanted, or not.
            0 => {
                let kind =
                    [ValueType::Matrix, ValueType::Scalar, ValueType::String][self.random.below(3)];
                let function = self.random.pick(words::CALLED_WRONGLY);
                format!("{function}({})", self.of(kind, 1))
            }
            1 => format!("{text} {} {}", self.operator(), self.string()),
            2 => format!("{text} {} {}", self.operator(), self.matrix(0)),
            3 => format!("{before}{}{after}", self.random.pick(words::STRAYS)),
            4 => format!("{before} {} {after}", self.random.pick(words::STRAYS)),
            5 => before.to_owned(),
            6 => {
                before.to_owned()
                    + after
                        .chars()
                        .next()
                        .map_or("", |first| &after[first.len_utf8()..])
            }
            _ => after.to_owned(),
        }
    }
}

fn is_comparison(op: &str) -> bool {
    matches!(op, "==" | "!=" | "<" | "<=" | ">" | ">=")
}

fn is_set(op: &str) -> bool {
    matches!(op, "and" | "or" | "unless")
}
