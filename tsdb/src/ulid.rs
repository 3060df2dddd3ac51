//! ULIDs: the names of blocks, which sort by the time they were made.
//!
//! 48 bits of milliseconds since the epoch, then 80 random bits; 26 characters of Crockford's base 32 in text.
//!
//! Source: the [ULID specification](https://github.com/ulid/spec).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of the text form.
pub const ULID_CHARS: usize = 26;
const RANDOM_BITS: u32 = 80;

/// The name of one block. Compares as its text does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ulid(u128);

/// Why a text is no ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ULID has 26 characters of Crockford's base 32, the first of them 0 to 7")]
pub struct InvalidUlid;

impl Ulid {
    /// Returns the ULID of a time and randomness.
    ///
    /// * `ms`: milliseconds since the epoch; the low 48 bits count.
    /// * `randomness`: the low 80 bits count.
    pub const fn new(ms: u64, randomness: u128) -> Self {
        let random = randomness & ((1 << RANDOM_BITS) - 1);
        Ulid((ms as u128) << RANDOM_BITS | random)
    }

    /// Returns a ULID of this moment that no other call returns.
    pub fn now() -> Self {
        crate::db::new_ulid()
    }

    /// Returns when it was made, in milliseconds since the epoch.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0 >> RANDOM_BITS).expect("48 bits are left")
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ULID_CHARS];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl FromStr for Ulid {
    type Err = InvalidUlid;

    fn from_str(text: &str) -> Result<Self, InvalidUlid> {
        if text.len() != ULID_CHARS || b'7' < text.as_bytes()[0] {
            return Err(InvalidUlid);
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET
                .iter()
                .position(|&c| c == upper)
                .ok_or(InvalidUlid)?;
            value = value << 5 | digit as u128;
        }
        Ok(Ulid(value))
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn example_of_the_specification() {
        let ulid: Ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(ulid.ms(), 1_469_922_850_259);
        assert_eq!(ulid.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    }

    #[test]
    fn what_is_no_ulid() {
        for text in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5Fé",
        ] {
            assert_eq!(text.parse::<Ulid>(), Err(InvalidUlid), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_and_sorts(a in 0u64..1 << 48, b in 0u64..1 << 48, random: u128) {
            let (x, y) = (Ulid::new(a, random), Ulid::new(b, random));
            prop_assert_eq!(x.to_string().parse(), Ok(x));
            prop_assert_eq!(x.ms(), a);
            prop_assert_eq!(x.cmp(&y), x.to_string().cmp(&y.to_string()));
        }
    }
}
