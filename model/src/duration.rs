//! Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in whole milliseconds; negative only where PromQL allows it (offsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration {
    ms: i64,
}

/// Unit, its length in milliseconds, and whether it is printed only when it divides the whole rest.
const UNITS: [(&str, i64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1_000, false),
    ("ms", 1, false),
];

/// Why a duration could not be read. The texts are those that Prometheus' users know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// There was nothing to read.
    #[error("empty duration string")]
    Empty,
    /// It is not a list of number-unit pairs from long to short, each unit at most once.
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    /// It is longer than about 292 years.
    #[error("duration out of range")]
    OutOfRange,
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration { ms: 0 };

    /// Returns the duration of `ms` milliseconds.
    pub const fn from_ms(ms: i64) -> Self {
        Duration { ms }
    }

    /// Returns the duration of `seconds` seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Duration {
            ms: seconds * 1_000,
        }
    }

    /// Returns the length in milliseconds.
    pub const fn as_ms(self) -> i64 {
        self.ms
    }

    /// Returns the length in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.ms as f64 / 1_000.0
    }

    /// Returns whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.ms == 0
    }

    /// Returns the standard library's form; negative durations become zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.ms).unwrap_or(0))
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    /// Reads `1y2w3d4h5m6s7ms` (units from long to short, each at most once) or a bare `0`.
    ///
    /// Source: Prometheus configuration documentation, `<duration>`.
    fn from_str(text: &str) -> Result<Self, ParseDurationError> {
        if text.is_empty() {
            return Err(ParseDurationError::Empty);
        }
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        let invalid = || ParseDurationError::Invalid(text.to_owned());
        let mut rest = text;
        let mut units = UNITS.iter();
        let mut ms = 0i64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..]
                .bytes()
                .take_while(u8::is_ascii_lowercase)
                .count();
            let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
            if number.is_empty() {
                return Err(invalid());
            }
            let (_, unit_ms, _) = units
                .find(|(name, _, _)| *name == unit)
                .ok_or_else(invalid)?;
            let number: i64 = number.parse().map_err(|_| ParseDurationError::OutOfRange)?;
            ms = number
                .checked_mul(*unit_ms)
                .and_then(|part| ms.checked_add(part))
                .ok_or(ParseDurationError::OutOfRange)?;
            rest = &rest[digits + letters..];
        }
        // Prometheus holds durations in nanoseconds: what would overflow there is refused here too.
        if i64::MAX / 1_000_000 < ms {
            return Err(ParseDurationError::OutOfRange);
        }
        Ok(Duration { ms })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        if self.ms < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.ms.unsigned_abs();
        for (unit, unit_ms, only_exact) in UNITS {
            let unit_ms = unit_ms.unsigned_abs();
            if rest < unit_ms || (only_exact && !rest.is_multiple_of(unit_ms)) {
                continue;
            }
            write!(f, "{}{unit}", rest / unit_ms)?;
            rest %= unit_ms;
        }
        Ok(())
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Duration {
            ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| D::Error::custom(format_args!("{error} (write it like 15s or 1h30m)")))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, ms: i64, printed: &str) {
        let duration: Duration = text.parse().unwrap();
        assert_eq!(duration.as_ms(), ms);
        assert_eq!(duration.to_string(), printed);
    }

    #[test]
    fn reads_and_prints() {
        check("0", 0, "0s");
        check("0s", 0, "0s");
        check("324ms", 324, "324ms");
        check("3s", 3_000, "3s");
        check("5m", 300_000, "5m");
        check("90m", 5_400_000, "1h30m");
        check("4d1h30m", 351_000_000, "4d1h30m");
        check("3w2d1h", 23 * 86_400_000 + 3_600_000, "23d1h");
        check("10y", 10 * 365 * 86_400_000, "10y");
        check("2w", 14 * 86_400_000, "2w");
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for bad in [
            "1", "1y1m1d", "-1w", "1.5d", "d", "1h 2m", " 1s", "1s1s", "1M",
        ] {
            assert!(
                matches!(bad.parse::<Duration>(), Err(ParseDurationError::Invalid(_))),
                "{bad}"
            );
        }
        assert_eq!("".parse::<Duration>(), Err(ParseDurationError::Empty));
        assert_eq!(
            "294y".parse::<Duration>(),
            Err(ParseDurationError::OutOfRange)
        );
        assert_eq!(
            "99999999999999999999s".parse::<Duration>(),
            Err(ParseDurationError::OutOfRange)
        );
    }

    proptest! {
        #[test]
        fn printed_reads_back(ms in 0i64..9_000_000_000_000) {
            let duration = Duration::from_ms(ms);
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }
    }
}
