//! The protobuf wire format, read without copying: tags, varints, and slices of the input.
//!
//! Source: [protobuf encoding](https://protobuf.dev/programming-guides/encoding/). Groups, which nobody sends, are
//! refused. Error texts are those of Go's decoder, because senders show them.

use crate::histogram::Span;

/// Why bytes are no message of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends within a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// No field can have this tag.
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    /// A field has another type than its name says.
    #[error("proto: wrong wireType = {found} for field {field}")]
    Type {
        /// Whose.
        field: &'static str,
        /// The wire type that it has.
        found: u8,
    },
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `int32`, `int64`, `uint32`, `uint64`, `sint32`, `sint64`, `bool`, `enum`.
    Varint(u64),
    /// `fixed64`, `sfixed64`, `double`.
    Fixed64(u64),
    /// `string`, `bytes`, messages, packed repeated fields.
    Bytes(&'a [u8]),
    /// `fixed32`, `sfixed32`, `float`.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// Returns the bytes of the field called `field`.
    ///
    /// # Errors
    ///
    /// When the field is of another type.
    #[inline]
    pub fn bytes(self, field: &'static str) -> Result<&'a [u8], WireError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong(field)),
        }
    }

    /// Returns the number.
    ///
    /// # Errors
    ///
    /// When the field is of another type.
    #[inline]
    pub fn varint(self, field: &'static str) -> Result<u64, WireError> {
        match self {
            Value::Varint(number) => Ok(number),
            other => Err(other.wrong(field)),
        }
    }

    /// Returns the number as an `int64`.
    ///
    /// # Errors
    ///
    /// When the field is of another type.
    #[inline]
    pub fn int64(self, field: &'static str) -> Result<i64, WireError> {
        self.varint(field).map(u64::cast_signed)
    }

    /// Returns the number.
    ///
    /// # Errors
    ///
    /// When the field is of another type.
    #[inline]
    pub fn double(self, field: &'static str) -> Result<f64, WireError> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(other.wrong(field)),
        }
    }

    /// Appends the numbers of a repeated varint field, which may be packed or not, as `read` makes them.
    ///
    /// # Errors
    ///
    /// When the field is of another type or a number is cut off.
    pub fn varints_into<T>(
        self,
        field: &'static str,
        out: &mut Vec<T>,
        read: impl Fn(u64) -> T,
    ) -> Result<(), WireError> {
        match self {
            Value::Varint(number) => out.push(read(number)),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    out.push(read(varint(&mut packed)?));
                }
            }
            other => return Err(other.wrong(field)),
        }
        Ok(())
    }

    /// Appends the numbers of a repeated double field, which may be packed or not.
    ///
    /// # Errors
    ///
    /// When the field is of another type or a number is cut off.
    pub fn doubles_into(self, field: &'static str, out: &mut Vec<f64>) -> Result<(), WireError> {
        match self {
            Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Value::Bytes(packed) => {
                let (numbers, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError::Truncated);
                }
                out.extend(numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)));
            }
            other => return Err(other.wrong(field)),
        }
        Ok(())
    }

    #[cold]
    fn wrong(self, field: &'static str) -> WireError {
        let found = match self {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32(_) => 5,
        };
        WireError::Type { field, found }
    }
}

/// The fields of a message, in the order of the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Returns the fields of `message`.
    #[inline]
    pub fn of(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// Returns how many bytes are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Returns the next field's number and value; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the bytes are no field; the fields end there.
    #[inline]
    pub fn read(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::Tag(tag))?;
        if number == 0 {
            return Err(WireError::Tag(tag));
        }
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = varint(&mut self.rest)?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                let (bytes, rest) = self
                    .rest
                    .split_at_checked(length)
                    .ok_or(WireError::Truncated)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Tag(tag)),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Reads a varint off the front of `bytes`.
///
/// # Errors
///
/// When it is cut off or has more than 64 bits.
#[inline]
pub fn varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    if let [byte @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Ok(u64::from(*byte));
    }
    long_varint(bytes)
}

fn long_varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if 9 < at || (at == 9 && 1 < byte) {
            return Err(WireError::Overflow);
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Ok(number);
        }
    }
    Err(WireError::Truncated)
}

/// Returns the number that zigzag coding made to `encoded`: small numbers of either sign are short.
#[inline]
pub fn zigzag(encoded: u64) -> i64 {
    (encoded >> 1).cast_signed() ^ -(encoded & 1).cast_signed()
}

/// Reads a span of a native histogram, which all messages have alike; `what` is the field's name for errors.
///
/// # Errors
///
/// When it is no message, or its fields have other types.
pub fn span(value: Value<'_>, what: &'static str) -> Result<Span, WireError> {
    let mut fields = Fields::of(value.bytes(what)?);
    let mut span = Span::default();
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => span.offset = int32(zigzag(value.varint("Offset")?)),
            2 => span.length = uint32(value.varint("Length")?),
            _ => (),
        }
    }
    Ok(span)
}

/// Returns the lower half of an `int32`, `sint32` or `enum` field.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the wire format says that the upper bits of a 32-bit field are dropped"
)]
pub fn int32(number: i64) -> i32 {
    number as i32
}

/// Returns the lower half of a `uint32` field.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the wire format says that the upper bits of a 32-bit field are dropped"
)]
pub fn uint32(number: u64) -> u32 {
    number as u32
}

/// Writes the fields of a message one after the other. Zeros and empty strings are written too: leaving them out is up to
/// whoever calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Returns the message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Writes a varint.
    pub fn varint(&mut self, field: u32, number: u64) -> &mut Self {
        put_varint(&mut self.0, u64::from(field) << 3);
        put_varint(&mut self.0, number);
        self
    }

    /// Writes a `fixed64` or `sfixed64`.
    pub fn fixed64(&mut self, field: u32, number: u64) -> &mut Self {
        put_varint(&mut self.0, u64::from(field) << 3 | 1);
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Writes a double.
    pub fn double(&mut self, field: u32, number: f64) -> &mut Self {
        self.fixed64(field, number.to_bits())
    }

    /// Writes a string, bytes or a message.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        put_varint(&mut self.0, u64::from(field) << 3 | 2);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Writes a message.
    pub fn message(&mut self, field: u32, message: Writer) -> &mut Self {
        self.bytes(field, &message.0)
    }

    /// Writes a list of varints, packed.
    pub fn packed(&mut self, field: u32, numbers: impl IntoIterator<Item = u64>) -> &mut Self {
        let mut packed = Vec::new();
        for number in numbers {
            put_varint(&mut packed, number);
        }
        self.bytes(field, &packed)
    }
}

/// Appends `number` as a varint.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[(u32, Value<'_>)], end: Result<(), WireError>) {
        let (mut fields, mut seen) = (Fields::of(bytes), Vec::new());
        let ended = loop {
            match fields.read() {
                Ok(Some(field)) => seen.push(field),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert_eq!((&seen[..], ended), (expected, end));
    }

    #[test]
    fn every_wire_type() {
        let bytes = [
            &[0x08, 0x96, 0x01][..],
            &[0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
            &[0x1a, 2, b'h', b'i'],
            &[0x25, 1, 0, 0, 0],
        ]
        .concat();
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1f64.to_bits())),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32(1)),
        ];
        check(&bytes, &expected, Ok(()));
    }

    #[test]
    fn malformed_fields() {
        check(&[0x08], &[], Err(WireError::Truncated));
        check(&[0x08, 0x80], &[], Err(WireError::Truncated));
        check(&[0x0a, 5, 1], &[], Err(WireError::Truncated));
        check(&[0x09, 1, 2], &[], Err(WireError::Truncated));
        check(&[0x00, 1], &[], Err(WireError::Tag(0)));
        check(&[0x0b], &[], Err(WireError::Tag(11)));
        let long = [&[0x08][..], &[0xff; 9], &[2]].concat();
        check(&long, &[], Err(WireError::Overflow));
        let longest = [&[0x08][..], &[0xff; 9], &[1]].concat();
        check(&longest, &[(1, Value::Varint(u64::MAX))], Ok(()));
    }

    #[test]
    fn repeated_numbers_packed_or_not() {
        let mut out = Vec::new();
        let packed = Value::Bytes(&[1, 2, 3]);
        packed.varints_into("x", &mut out, zigzag).unwrap();
        Value::Varint(4)
            .varints_into("x", &mut out, zigzag)
            .unwrap();
        assert_eq!(out, [-1, 1, -2, 2]);
        let wrong = Value::Fixed32(0).varints_into("x", &mut out, zigzag);
        assert_eq!(
            wrong,
            Err(WireError::Type {
                field: "x",
                found: 5
            })
        );
        let mut out = Vec::new();
        let packed = 2.5f64.to_le_bytes();
        Value::Bytes(&packed).doubles_into("x", &mut out).unwrap();
        assert_eq!(out, [2.5]);
        let torn = Value::Bytes(&packed[1..]).doubles_into("x", &mut out);
        assert_eq!(torn, Err(WireError::Truncated));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Writer::default();
        inner.varint(1, u64::MAX);
        let mut outer = Writer::default();
        outer
            .varint(1, 150)
            .bytes(3, b"hi")
            .packed(4, [1, 300])
            .double(5, 1.5)
            .message(20, inner.clone());
        let expected = [
            (1, Value::Varint(150)),
            (3, Value::Bytes(b"hi")),
            (4, Value::Bytes(&[1, 0xac, 2])),
            (5, Value::Fixed64(1.5f64.to_bits())),
            (20, Value::Bytes(&inner.into_bytes()[..])),
        ];
        check(&outer.into_bytes(), &expected, Ok(()));
    }
}
