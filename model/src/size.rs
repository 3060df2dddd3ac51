//! Sizes in bytes as Prometheus writes them: `512MB`, powers of 1024.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A size in bytes. `1KB` is 1,024 bytes; a unit is required except for `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u32); 7] = [
    ("EB", 60),
    ("PB", 50),
    ("TB", 40),
    ("GB", 30),
    ("MB", 20),
    ("KB", 10),
    ("B", 0),
];

/// Why a size could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("units: unknown unit {unit} in {text} (write it like 512MB)")]
pub struct ParseSizeError {
    unit: String,
    text: String,
}

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let digits = text
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, unit) = text.split_at(digits);
        let error = || ParseSizeError {
            unit: unit.to_owned(),
            text: text.to_owned(),
        };
        if text == "0" {
            return Ok(ByteSize(0));
        }
        let canonical = unit.to_ascii_uppercase().replace("IB", "B");
        let (_, shift) = UNITS
            .iter()
            .find(|(name, _)| *name == canonical)
            .ok_or_else(error)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole
                .checked_mul(1 << shift)
                .map(ByteSize)
                .ok_or_else(error);
        }
        let bytes = number.parse::<f64>().map_err(|_| error())? * (1u64 << shift) as f64;
        if !(0.0..18_446_744_073_709_549_568.0).contains(&bytes) {
            return Err(error());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked just above"
        )]
        Ok(ByteSize(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS
            .iter()
            .find(|(_, shift)| 0 < self.0 && self.0.is_multiple_of(1 << shift));
        match exact {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        assert_eq!("512MB".parse(), Ok(ByteSize(512 << 20)));
        assert_eq!("1.5KB".parse(), Ok(ByteSize(1536)));
        assert_eq!("0".parse(), Ok(ByteSize(0)));
        assert_eq!("15MiB".parse(), Ok(ByteSize(15 << 20)));
        assert!("100".parse::<ByteSize>().is_err());
        assert!("-1MB".parse::<ByteSize>().is_err());
        assert!("99999999999EB".parse::<ByteSize>().is_err());
        assert_eq!(ByteSize(512 << 20).to_string(), "512MB");
        assert_eq!(ByteSize(1536).to_string(), "1536B");
        assert_eq!(ByteSize(0).to_string(), "0B");
    }
}
