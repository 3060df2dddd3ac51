//! Times and spans of time as Go prints them.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Returns the moment `ms` milliseconds after the epoch, in UTC; moments that no calendar holds become the nearest.
pub(crate) fn from_ms(ms: i64) -> Zoned {
    let clamped = ms.clamp(
        Timestamp::MIN.as_millisecond(),
        Timestamp::MAX.as_millisecond(),
    );
    Timestamp::from_millisecond(clamped)
        .unwrap_or_default()
        .to_zoned(TimeZone::UTC)
}

/// Returns `2006-01-02 15:04:05.999999999 -0700 MST`, Go's `Time.String`.
pub(crate) fn print(time: &Zoned) -> String {
    let mut out = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    out.push_str(&fraction(time.subsec_nanosecond()));
    out.push_str(&time.strftime(" %z %Z").to_string());
    out
}

/// Returns `ms` milliseconds after the epoch as RFC 3339 in UTC, with as many decimals as it needs: Go's JSON form.
pub(crate) fn rfc3339(ms: i64) -> String {
    let time = from_ms(ms);
    let mut out = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    out.push_str(&fraction(time.subsec_nanosecond()));
    out.push('Z');
    out
}

/// Returns the decimals of a second with their point and without trailing zeros, or nothing.
fn fraction(ns: i32) -> String {
    if ns == 0 {
        return String::new();
    }
    format!(".{ns:09}").trim_end_matches('0').to_owned()
}

/// Returns a span of nanoseconds as Go's `Duration.String`: `1h20m30.5s`, `1.5ms`, `0s`.
pub(crate) fn print_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let (unit_ns, unit) = match ns {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let decimals = |rest: u64, unit_ns: u64| {
        if rest == 0 {
            String::new()
        } else {
            let width = unit_ns.ilog10() as usize;
            format!(".{rest:0width$}").trim_end_matches('0').to_owned()
        }
    };
    if unit_ns < 1_000_000_000 {
        return format!(
            "{sign}{}{}{unit}",
            ns / unit_ns,
            decimals(ns % unit_ns, unit_ns)
        );
    }
    let seconds = ns / unit_ns;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut out = sign.to_owned();
    if 0 < hours {
        out.push_str(&format!("{hours}h"));
    }
    if 0 < hours || 0 < minutes {
        out.push_str(&format!("{minutes}m"));
    }
    out.push_str(&format!(
        "{}{}s",
        seconds % 60,
        decimals(ns % unit_ns, unit_ns)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_go() {
        assert_eq!(
            print(&from_ms(1_712_345_678_500)),
            "2024-04-05 19:34:38.5 +0000 UTC"
        );
        assert_eq!(rfc3339(1_772_359_200_123), "2026-03-01T10:00:00.123Z");
        for (ns, expected) in [
            (0, "0s"),
            (1_500, "1.5µs"),
            (4_830_500_000_000, "1h20m30.5s"),
            (-90_000_000_000, "-1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(print_duration(ns), expected);
        }
    }
}
