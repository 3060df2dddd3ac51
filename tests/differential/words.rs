//! What expressions are made of.

/// Names; from [`METRICS_CLASSIC`] on, of what 2.x lacks.
pub(crate) const METRICS: &[&str] = &[
    "requests_total",
    "requests_total",
    "requests_total",
    "temperature",
    "temperature",
    "limit",
    "build_info",
    "target_info",
    "target",
    "latency_bucket",
    "latency_bucket",
    "broken_bucket",
    "latency_count",
    "latency_sum",
    "stale",
    "stale",
    "weird",
    "weird",
    "sparse",
    "once",
    "date",
    "absent_metric",
    "native",
    "native",
    "native_float",
    "native_gauge",
    "custom",
    "custom",
    "blend",
    "blend",
    "blend",
];
/// How many of [`METRICS`] every version has.
pub(crate) const METRICS_CLASSIC: usize = 22;

pub(crate) const LABELS: &[&str] = &[
    "job", "job", "job", "instance", "instance", "code", "le", "version", "zone", "kind", "which",
    "__name__", "n",
];

/// Label and value, which is fit for a test on equality and for a regular expression.
pub(crate) const MATCHERS: &[(&str, &str)] = &[
    ("job", "api"),
    ("job", "db"),
    ("job", "api|web"),
    ("job", ".*"),
    ("job", ".+"),
    ("job", ""),
    ("job", "a.i"),
    ("instance", "a:1"),
    ("instance", "[ab]:1"),
    ("instance", "b.*"),
    ("code", "200"),
    ("code", "5.."),
    ("code", "(200|500)"),
    ("le", "1"),
    ("le", "0.*|\\\\+Inf"),
    ("kind", "nan"),
    ("kind", "inf.*"),
    ("none", ""),
    ("none", "x"),
    ("which", "x|y|z"),
    ("job", "(?i)API"),
    ("job", "d"),
    ("version", "1\\\\..*"),
];

/// Pairs that share labels one way or another.
pub(crate) const JOINS: &[(&str, &str)] = &[
    ("temperature", "limit"),
    ("requests_total", "build_info"),
    ("requests_total", "target"),
    ("target", "temperature"),
    ("temperature", "target"),
    ("build_info", "requests_total"),
    ("latency_sum", "latency_count"),
    ("rate(latency_sum[5m])", "rate(latency_count[5m])"),
    ("stale", "target"),
    ("target", "stale"),
    (
        "requests_total{code=\"200\"}",
        "requests_total{code=\"500\"}",
    ),
    ("weird", "weird"),
    ("weird", "weird offset 15s"),
    ("sum by (job) (requests_total)", "target"),
    ("temperature", "build_info * limit"),
    ("latency_bucket", "latency_count"),
    ("temperature", "target_info"),
    ("{job=\"api\"}", "temperature"),
    ("requests_total", "target_info"),
];

pub(crate) const NUMBERS: &[&str] = &[
    "0", "1", "2", "3", "10", "100", "-1", "0.5", "0.9", "0.1", "1.5", "-0.25", "1e3", "0x1F",
    "NaN", "Inf", "-Inf", "1e-3", "7", "60", ".5", "-0", "3.14159", "1e21",
];

/// Whole seconds all of them; see the head of the test.
pub(crate) const RANGES: &[&str] = &[
    "15s", "30s", "1m", "1m", "2m", "5m", "5m", "5m", "10m", "20m", "1h", "7s", "1m30s",
];
pub(crate) const SUBQUERY_RANGES: &[&str] = &["1m", "2m", "5m", "5m", "10m", "1m1s"];
pub(crate) const SUBQUERY_STEPS: &[&str] = &["15s", "30s", "1m", "1m", "7s", "", "10m"];
pub(crate) const OFFSETS: &[&str] = &["15s", "1m", "5m", "-1m", "-15s", "7s", "1h"];

pub(crate) const OPERATORS: &[&str] = &[
    "+", "+", "-", "-", "*", "*", "/", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=",
    "and", "or", "unless",
];

pub(crate) const AGGREGATIONS: &[&str] = &[
    "sum",
    "sum",
    "avg",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "limitk",
];

pub(crate) const STRINGS: &[&str] = &["\"x\"", "'y'", "`z`", "\"\"", "\"job\"", "\"é\\n\\u00e9\""];
pub(crate) const REPLACEMENTS: &[&str] = &[
    "$1", "x-$1", "${1}y", "", "fixed", "$0", "$name", "$$1", "$2",
];
pub(crate) const REGEXES: &[&str] = &[
    "(.*)",
    "(.).*",
    "a(.*)",
    "",
    ".*",
    "(?P<name>.*):1",
    "(a|b)(.*)",
    "([0-9]+)",
    "(",
    "x",
];

/// Functions, and one that is not, that get whatever there is.
pub(crate) const CALLED_WRONGLY: &[&str] = &[
    "rate",
    "abs",
    "sum",
    "vector",
    "scalar",
    "histogram_quantile",
    "label_replace",
    "no_such_function",
    "count_values",
    "topk",
    "clamp",
    "time",
    "round",
    "-",
    "absent_over_time",
];

/// What stands in a place where it does not belong, or does.
pub(crate) const STRAYS: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    "by",
    "on",
    "bool",
    "offset",
    "@",
    "\"",
    "'",
    "1",
    "x",
    "5m",
    "=",
    "=~",
    "!",
    "-",
    "+",
    "and",
    "$",
    "%",
    "é",
    "[5m]",
    "[5m:]",
    "group_left",
    "#",
    ":",
    "sum",
    "0x",
    "1e",
    "ignoring (job)",
    "\\",
];
