//! Numbers of JSON, which may be text, as protobuf has them.

use std::fmt;

/// How a number is written.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Double,
    /// `fixed64`.
    Fixed,
    /// `sfixed64`.
    SignedFixed,
    /// `uint32` and `uint64`.
    Varint,
    /// `int64`.
    Signed,
    /// `sint32`.
    Zigzag,
    /// `AggregationTemporality`.
    Temporality,
}

/// A number of a list, in either way to write it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Element {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

impl Element {
    pub(super) fn token(&self) -> Token<'_> {
        match self {
            Element::Unsigned(number) => Token::Integer(i128::from(*number)),
            Element::Signed(number) => Token::Integer(i128::from(*number)),
            Element::Float(number) => Token::Float(*number),
            Element::Text(text) => Token::Text(text),
        }
    }
}

/// What stands where a number is expected.
#[derive(Clone, Copy)]
pub(super) enum Token<'t> {
    Integer(i128),
    Float(f64),
    Text(&'t str),
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Integer(number) => write!(f, "{number}"),
            Token::Float(number) => write!(f, "{number}"),
            Token::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl Token<'_> {
    fn integer(self) -> Option<i128> {
        match self {
            Token::Integer(number) => Some(number),
            Token::Text(text) if text.parse::<i128>().is_ok() => text.parse().ok(),
            // Such as 1e3; beyond these a double has no units any more.
            _ => {
                let number = self.double()?;
                let is_whole = number.fract() == 0.0 && number.abs() <= (1u64 << 53) as f64;
                #[expect(clippy::cast_possible_truncation, reason = "it was looked at")]
                is_whole.then_some(number as i128)
            }
        }
    }

    fn double(self) -> Option<f64> {
        match self {
            Token::Integer(number) => Some(number as f64),
            Token::Float(number) => Some(number),
            Token::Text("NaN") => Some(f64::NAN),
            Token::Text("Infinity") => Some(f64::INFINITY),
            Token::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Token::Text(text) => {
                let is_plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
                text.parse().ok().filter(|_| text.bytes().all(is_plain))
            }
        }
    }
}

impl Number {
    pub(super) fn is_fixed(self) -> bool {
        matches!(self, Number::Double | Number::Fixed | Number::SignedFixed)
    }

    /// Returns the bits of the number as protobuf has them; `None` when it is none of this kind.
    pub(super) fn bits(self, token: Token<'_>) -> Option<u64> {
        match self {
            Number::Double => token.double().map(f64::to_bits),
            Number::Fixed | Number::Varint => u64::try_from(token.integer()?).ok(),
            Number::SignedFixed | Number::Signed => {
                i64::try_from(token.integer()?).ok().map(i64::cast_unsigned)
            }
            Number::Zigzag => {
                let number = i64::from(i32::try_from(token.integer()?).ok()?);
                Some(((number << 1) ^ (number >> 63)).cast_unsigned())
            }
            Number::Temporality => match token {
                Token::Text("AGGREGATION_TEMPORALITY_UNSPECIFIED") => Some(0),
                Token::Text("AGGREGATION_TEMPORALITY_DELTA") => Some(1),
                Token::Text("AGGREGATION_TEMPORALITY_CUMULATIVE") => Some(2),
                other => u64::try_from(other.integer()?).ok(),
            },
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Number::Double => "a number",
            Number::Fixed | Number::Varint => "an integer of 64 bits without a sign",
            Number::SignedFixed | Number::Signed => "an integer of 64 bits",
            Number::Zigzag => "an integer of 32 bits",
            Number::Temporality => "1 (delta) or 2 (cumulative)",
        }
    }
}
