//! From OTLP's names and units to those of metrics and labels.
//!
//! Source: [Prometheus and OpenMetrics compatibility](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/),
//! and where that leaves a choice, what Prometheus 3.5 chooses.

use super::options::{Options, TranslationStrategy};

/// What of a metric's type its name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A sum that only grows.
    Counter,
    /// A gauge.
    Gauge,
    /// Anything else.
    Other,
}

/// Units as they are abbreviated, and in full.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// The same behind a slash.
const PER_UNITS: &[(&str, &str)] = &[
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// Returns the name of a metric; empty if nothing of it can stay.
pub(super) fn metric_name(
    strategy: TranslationStrategy,
    name: &str,
    unit: &str,
    kind: NameKind,
) -> String {
    let name = match (strategy.escapes, strategy.adds_suffixes) {
        (false, false) => return name.to_owned(),
        (false, true) => return suffixed(name, unit, kind),
        (true, true) => suffixed_tokens(name, unit, kind),
        (true, false) => tokens(name, |c| c == '_' || is_plain(c)).join("_"),
    };
    prefixed_if_digit(name)
}

/// Returns the unit in words: what is measured, and per what.
pub(super) fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main.trim(), per.trim()),
        None => (unit.trim(), ""),
    };
    let in_full = |unit: &str, known: &[(&str, &str)]| {
        // What is in braces is an annotation and no unit.
        if unit.contains(['{', '}']) {
            return String::new();
        }
        let found = known.iter().find(|(short, _)| *short == unit);
        found.map_or(unit, |(_, full)| full).to_owned()
    };
    (in_full(main, UNITS), in_full(per, PER_UNITS))
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// Returns the parts of `text` that consist of what `keeps` says yes to.
fn tokens(text: &str, keeps: impl Fn(char) -> bool) -> Vec<&str> {
    text.split(|c| !keeps(c))
        .filter(|token| !token.is_empty())
        .collect()
}

fn prefixed_if_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

fn suffixed_tokens(name: &str, unit: &str, kind: NameKind) -> String {
    let (main, per) = unit_words(unit);
    let main = tokens(&main, is_plain).join("_");
    let per = tokens(&per, is_plain).join("_");
    let per = if per.is_empty() {
        per
    } else {
        format!("per_{per}")
    };
    let mut words = tokens(name, is_plain);
    for suffix in [&main, &per] {
        if !suffix.is_empty() && !words.contains(&suffix.as_str()) {
            words.push(suffix);
        }
    }
    if let Some(last) = last_word(unit, kind) {
        words.retain(|word| *word != last);
        words.push(last);
    }
    words.join("_")
}

/// Returns what a name ends with for its type's sake.
fn last_word(unit: &str, kind: NameKind) -> Option<&'static str> {
    match kind {
        NameKind::Counter => Some("total"),
        // Counters of things often have this unit, although it is wrong for them.
        NameKind::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    }
}

/// Adds suffixes to a name that may have any characters.
fn suffixed(name: &str, unit: &str, kind: NameKind) -> String {
    let last = last_word(unit, kind);
    let stem = last.and_then(|last| name.strip_suffix(last)?.strip_suffix(['_', '.']));
    let mut out = stem.unwrap_or(name).to_owned();
    let (main, per) = unit_words(unit);
    let per = if per.is_empty() {
        per
    } else {
        format!("per_{per}")
    };
    for suffix in [main.as_str(), per.as_str(), last.unwrap_or("")] {
        if !suffix.is_empty() && !out.ends_with(suffix) {
            out.push('_');
            out.push_str(suffix);
        }
    }
    out
}

/// Returns the name of a label.
pub(super) fn label_name(options: &Options, name: &str) -> String {
    if !options.strategy.escapes {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || options.preserves_underscores || !out.ends_with('_') {
            out.push(c);
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{out}")
    } else if options.sanitizes_underscores && out.starts_with('_') && !out.starts_with("__") {
        format!("key{out}")
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: TranslationStrategy = TranslationStrategy {
        escapes: true,
        adds_suffixes: true,
    };

    #[track_caller]
    fn check(name: &str, unit: &str, kind: NameKind, expected: &str) {
        assert_eq!(metric_name(DEFAULT, name, unit, kind), expected);
    }

    #[test]
    fn units_and_types_come_last() {
        use NameKind::{Counter, Gauge, Other};
        check(
            "http.server.duration",
            "ms",
            Other,
            "http_server_duration_milliseconds",
        );
        check("requests", "1", Counter, "requests_total");
        check("requests_total_seen", "1", Counter, "requests_seen_total");
        check(
            "system.cpu.utilization",
            "1",
            Gauge,
            "system_cpu_utilization_ratio",
        );
        check("system.io", "By", Counter, "system_io_bytes_total");
        check("speed", "m/s", Gauge, "speed_meters_per_second");
        check("speed_meters", "m/s", Gauge, "speed_meters_per_second");
        check("queue", "{messages}", Gauge, "queue");
        check("odd", "foo.bar", Gauge, "odd_foo_bar");
        check("2xx  codes", "", Gauge, "_2xx_codes");
        check("a:b\u{e9}", "%", Gauge, "a:b_percent");
        check("\u{e9}", "", Gauge, "");
        check("rate", "{n}/s", Gauge, "rate_per_second");
    }

    #[test]
    fn other_strategies() {
        let of = |escapes, adds_suffixes, name, unit, kind| {
            let strategy = TranslationStrategy {
                escapes,
                adds_suffixes,
            };
            metric_name(strategy, name, unit, kind)
        };
        let counter = NameKind::Counter;
        assert_eq!(of(true, false, "a.b__c", "s", counter), "a_b__c");
        assert_eq!(of(false, true, "a.b", "s", counter), "a.b_seconds_total");
        assert_eq!(
            of(false, true, "a.seconds.total", "s", counter),
            "a.seconds_total"
        );
        assert_eq!(of(false, true, "a", "1", NameKind::Gauge), "a_ratio");
        assert_eq!(
            of(false, true, "a", "m/s", NameKind::Gauge),
            "a_meters_per_second"
        );
        assert_eq!(of(false, false, "a.b", "s", counter), "a.b");
    }

    #[test]
    fn labels() {
        let options = Options::default();
        let check = |name, expected: &str| assert_eq!(label_name(&options, name), expected);
        check("service.name", "service_name");
        check("1st", "key_1st");
        check("_private", "key_private");
        check("__internal", "__internal");
        check("a..b", "a__b");
        let squeezed = Options {
            preserves_underscores: false,
            sanitizes_underscores: false,
            ..options.clone()
        };
        assert_eq!(label_name(&squeezed, "a..b"), "a_b");
        assert_eq!(label_name(&squeezed, "_a"), "_a");
    }
}
