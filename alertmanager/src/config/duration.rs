//! Durations of the fields that are read and printed as Go does it: `1m0s`, `1.5h`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in milliseconds, not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GoDuration {
    ms: i64,
}

impl GoDuration {
    /// Returns the duration of `seconds` seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        GoDuration {
            ms: seconds * 1_000,
        }
    }

    /// Returns the duration, unless it is zero, which stands for "no limit".
    pub fn limit(self) -> Option<model::Duration> {
        (self.ms != 0).then(|| model::Duration::from_ms(self.ms))
    }

    /// Reads numbers with units, `1h2m3.5s`. What is finer than a millisecond is cut off.
    fn parse(text: &str) -> Option<Self> {
        // A number alone is nanoseconds.
        if let Ok(nanoseconds) = text.parse::<u32>() {
            let ms = i64::from(nanoseconds / 1_000_000);
            return Some(GoDuration { ms });
        }
        let mut rest = text;
        let mut total = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let end = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            let unit_ms = match &rest[..end] {
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1_000.0,
                "ms" => 1.0,
                "us" | "µs" | "μs" => 1e-3,
                "ns" => 1e-6,
                _ => return None,
            };
            rest = &rest[end..];
            total += number * unit_ms;
        }
        // Go's limit is about 292 years.
        let is_right = !text.is_empty() && total < 9.2e12;
        #[expect(clippy::cast_possible_truncation, reason = "checked just before")]
        is_right.then_some(GoDuration { ms: total as i64 })
    }
}

impl std::fmt::Display for GoDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, ms) = (self.ms / 1_000, self.ms % 1_000);
        if seconds == 0 && ms != 0 {
            return write!(f, "{ms}ms");
        }
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if 0 < hours {
            write!(f, "{hours}h")?;
        }
        if 0 < hours || 0 < minutes {
            write!(f, "{minutes}m")?;
        }
        let fraction = if ms == 0 {
            String::new()
        } else {
            format!(".{ms:03}").trim_end_matches('0').to_owned()
        };
        write!(f, "{}{fraction}s", seconds % 60)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        GoDuration::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "time: invalid duration {text:?} (write it like 1h30m or 5s)"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_printed_like_go() {
        for (text, printed) in [
            ("0", "0s"),
            ("5000000", "5ms"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("1.5h", "1h30m0s"),
            ("1500ms", "1.5s"),
            ("7ms", "7ms"),
        ] {
            let duration = GoDuration::parse(text).unwrap();
            assert_eq!(duration.to_string(), printed);
            assert_eq!(GoDuration::parse(printed), Some(duration));
        }
        for bad in ["", "5x", "s", "-1s", "1d", "1e99h", "1..s"] {
            assert_eq!(GoDuration::parse(bad), None, "{bad}");
        }
    }
}
