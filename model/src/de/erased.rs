//! Reading types by a deserialiser behind a pointer.
//!
//! A reader of YAML is a large piece of generic code, and serde has it compiled anew for each type that is read: for a
//! configuration of hundreds of types that is a third of a program. Here a type is compiled for one deserialiser only, a
//! pointer to whatever reads, and the reader for one visitor only, a pointer to whatever is read.
//!
//! Errors stay what they are: one that the reader made waits where it was made and is given back unchanged, place and all; one
//! that a type made (an unknown field, say) is made anew as the reader's as soon as it gets there.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

/// Reads a value with a reader, which gets something to read for serde: a seed of every type.
///
/// # Errors
///
/// The reader's.
pub fn read<'de, T, E>(reader: impl FnOnce(AnySeed<'_, 'de>) -> Result<(), E>) -> Result<T, E>
where
    T: Deserialize<'de>,
    E: de::Error,
{
    let mut filled = Filled::new(PhantomData);
    reader(AnySeed(&mut filled))?;
    filled.value().map_err(|fault| fault.raise(None))
}

/// What is to be read, of any type. The value is kept where it is wanted.
pub struct AnySeed<'a, 'de>(&'a mut dyn Seed<'de>);

impl<'de> DeserializeSeed<'de> for AnySeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut held = Held::new(deserializer);
        let read = self.0.read(&mut held);
        held.outcome(read)
    }
}

/// What a type asks a deserialiser for: serde's methods of the same names.
#[derive(Clone, Copy)]
enum Want {
    Any,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    String,
    Bytes,
    ByteBuf,
    Option,
    Unit,
    UnitStruct(&'static str),
    NewtypeStruct(&'static str),
    Seq,
    Tuple(usize),
    TupleStruct(&'static str, usize),
    Map,
    Struct(&'static str, &'static [&'static str]),
    Enum(&'static str, &'static [&'static str]),
    Identifier,
    IgnoredAny,
}

/// What a deserialiser shows a type: those of serde's `visit_` methods that the others come down to.
enum Shown<'a, 'de> {
    Bool(bool),
    I64(i64),
    I128(i128),
    U64(u64),
    U128(u128),
    F64(f64),
    Str(&'a str),
    BorrowedStr(&'de str),
    String(String),
    Bytes(&'a [u8]),
    None,
    Some(&'a mut dyn Source<'de>),
    Unit,
    Newtype(&'a mut dyn Source<'de>),
    Seq(&'a mut dyn Items<'de>),
    Map(&'a mut dyn Entries<'de>),
    Enum(&'a mut dyn Variants<'de>),
}

/// A deserialiser, used up by its first reading.
trait Source<'de> {
    fn read(&mut self, want: Want, sink: &mut dyn Sink<'de>) -> Result<(), Fault>;

    fn is_human_readable(&self) -> bool;
}

/// A visitor, which keeps what it made.
trait Sink<'de> {
    fn take(&mut self, shown: Shown<'_, 'de>) -> Result<(), Fault>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// What is read from a deserialiser, and kept.
trait Seed<'de> {
    fn read(&mut self, source: &mut dyn Source<'de>) -> Result<(), Fault>;
}

trait Items<'de> {
    fn next(&mut self, seed: &mut dyn Seed<'de>) -> Result<bool, Fault>;

    fn size_hint(&self) -> Option<usize>;
}

trait Entries<'de> {
    fn key(&mut self, seed: &mut dyn Seed<'de>) -> Result<bool, Fault>;

    fn value(&mut self, seed: &mut dyn Seed<'de>) -> Result<(), Fault>;

    fn size_hint(&self) -> Option<usize>;
}

/// A variant: which one first, then what is in it.
trait Variants<'de> {
    fn variant(&mut self, seed: &mut dyn Seed<'de>) -> Result<(), Fault>;

    fn content(&mut self, content: Content<'_, 'de>) -> Result<(), Fault>;
}

enum Content<'a, 'de> {
    Unit,
    Newtype(&'a mut dyn Seed<'de>),
    Tuple(usize, &'a mut dyn Sink<'de>),
    Struct(&'static [&'static str], &'a mut dyn Sink<'de>),
}

/// What went wrong, until it is the reader's error.
#[derive(Clone, Debug)]
enum Fault {
    /// The reader's own error, which waits where it was made; and its text.
    Kept(String),
    Custom(String),
    InvalidType(String, String),
    InvalidValue(String, String),
    InvalidLength(usize, String),
    UnknownVariant(String, &'static [&'static str]),
    UnknownField(String, &'static [&'static str]),
    MissingField(&'static str),
    DuplicateField(&'static str),
}

impl Fault {
    /// Returns the fault as the reader's error, which is `kept` if it was the reader's.
    fn raise<E: de::Error>(self, kept: Option<E>) -> E {
        match self {
            Self::Kept(text) => kept.unwrap_or_else(|| E::custom(text)),
            Self::Custom(text) => E::custom(text),
            Self::InvalidType(found, expected) => {
                E::invalid_type(Unexpected::Other(&found), &expected.as_str())
            }
            Self::InvalidValue(found, expected) => {
                E::invalid_value(Unexpected::Other(&found), &expected.as_str())
            }
            Self::InvalidLength(len, expected) => E::invalid_length(len, &expected.as_str()),
            Self::UnknownVariant(name, known) => E::unknown_variant(&name, known),
            Self::UnknownField(name, known) => E::unknown_field(&name, known),
            Self::MissingField(name) => E::missing_field(name),
            Self::DuplicateField(name) => E::duplicate_field(name),
        }
    }
}

impl Display for Fault {
    /// Serde's own words.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error: de::value::Error = self.clone().raise(None);
        Display::fmt(&error, formatter)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::InvalidType(found.to_string(), expected.to_string())
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::InvalidValue(found.to_string(), expected.to_string())
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::InvalidLength(len, expected.to_string())
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownVariant(variant.to_owned(), known)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField(field.to_owned(), known)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::DuplicateField(field)
    }
}

/// A part of the reader, and the error that it made last.
struct Held<T, E> {
    part: Option<T>,
    error: Option<E>,
}

impl<T, E: de::Error> Held<T, E> {
    fn new(part: T) -> Self {
        Self {
            part: Some(part),
            error: None,
        }
    }

    fn take(&mut self) -> Result<T, Fault> {
        self.part.take().ok_or_else(used_up)
    }

    fn part(&mut self) -> Result<&mut T, Fault> {
        self.part.as_mut().ok_or_else(used_up)
    }

    fn keep<R>(&mut self, outcome: Result<R, E>) -> Result<R, Fault> {
        outcome.map_err(|error| {
            let text = error.to_string();
            self.error = Some(error);
            Fault::Kept(text)
        })
    }

    fn outcome(self, outcome: Result<(), Fault>) -> Result<(), E> {
        outcome.map_err(|fault| fault.raise(self.error))
    }
}

/// A part of a type's reading, and what came of it.
struct Filled<T, V> {
    part: Option<T>,
    value: Option<V>,
}

impl<T, V> Filled<T, V> {
    fn new(part: T) -> Self {
        Self {
            part: Some(part),
            value: None,
        }
    }

    fn take(&mut self) -> Result<T, Fault> {
        self.part.take().ok_or_else(used_up)
    }

    fn value(self) -> Result<V, Fault> {
        self.value
            .ok_or_else(|| Fault::custom("the reader returned without a value"))
    }
}

/// No deserialiser of serde's rules gets there.
fn used_up() -> Fault {
    Fault::custom("a value was read twice")
}

// From the reader to the type: a deserialiser behind a pointer, and a visitor that passes on.

impl<'de, D: Deserializer<'de>> Source<'de> for Held<D, D::Error> {
    fn read(&mut self, want: Want, sink: &mut dyn Sink<'de>) -> Result<(), Fault> {
        let reader = self.take()?;
        let sink = PassedOn(sink);
        let outcome = match want {
            Want::Any => reader.deserialize_any(sink),
            Want::Bool => reader.deserialize_bool(sink),
            Want::I8 => reader.deserialize_i8(sink),
            Want::I16 => reader.deserialize_i16(sink),
            Want::I32 => reader.deserialize_i32(sink),
            Want::I64 => reader.deserialize_i64(sink),
            Want::I128 => reader.deserialize_i128(sink),
            Want::U8 => reader.deserialize_u8(sink),
            Want::U16 => reader.deserialize_u16(sink),
            Want::U32 => reader.deserialize_u32(sink),
            Want::U64 => reader.deserialize_u64(sink),
            Want::U128 => reader.deserialize_u128(sink),
            Want::F32 => reader.deserialize_f32(sink),
            Want::F64 => reader.deserialize_f64(sink),
            Want::Char => reader.deserialize_char(sink),
            Want::Str => reader.deserialize_str(sink),
            Want::String => reader.deserialize_string(sink),
            Want::Bytes => reader.deserialize_bytes(sink),
            Want::ByteBuf => reader.deserialize_byte_buf(sink),
            Want::Option => reader.deserialize_option(sink),
            Want::Unit => reader.deserialize_unit(sink),
            Want::UnitStruct(name) => reader.deserialize_unit_struct(name, sink),
            Want::NewtypeStruct(name) => reader.deserialize_newtype_struct(name, sink),
            Want::Seq => reader.deserialize_seq(sink),
            Want::Tuple(len) => reader.deserialize_tuple(len, sink),
            Want::TupleStruct(name, len) => reader.deserialize_tuple_struct(name, len, sink),
            Want::Map => reader.deserialize_map(sink),
            Want::Struct(name, fields) => reader.deserialize_struct(name, fields, sink),
            Want::Enum(name, variants) => reader.deserialize_enum(name, variants, sink),
            Want::Identifier => reader.deserialize_identifier(sink),
            Want::IgnoredAny => reader.deserialize_ignored_any(sink),
        };
        self.keep(outcome)
    }

    fn is_human_readable(&self) -> bool {
        self.part.as_ref().is_none_or(D::is_human_readable)
    }
}

struct PassedOn<'a, 'de>(&'a mut dyn Sink<'de>);

impl<'de> PassedOn<'_, 'de> {
    fn scalar<E: de::Error>(self, shown: Shown<'_, 'de>) -> Result<(), E> {
        self.0.take(shown).map_err(|fault| fault.raise(None))
    }
}

/// The visits of scalars: `method(type) => variant`.
macro_rules! pass_on {
    ($($method:ident($type:ty) => $shown:ident),* $(,)?) => {
        $(
            fn $method<E: de::Error>(self, value: $type) -> Result<(), E> {
                self.scalar(Shown::$shown(value))
            }
        )*
    };
}

impl<'de> Visitor<'de> for PassedOn<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    pass_on! {
        visit_bool(bool) => Bool,
        visit_i64(i64) => I64,
        visit_i128(i128) => I128,
        visit_u64(u64) => U64,
        visit_u128(u128) => U128,
        visit_f64(f64) => F64,
        visit_str(&str) => Str,
        visit_borrowed_str(&'de str) => BorrowedStr,
        visit_string(String) => String,
        visit_bytes(&[u8]) => Bytes,
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Shown::None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Shown::Unit)
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let mut held = Held::new(reader);
        let taken = self.0.take(Shown::Some(&mut held));
        held.outcome(taken)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let mut held = Held::new(reader);
        let taken = self.0.take(Shown::Newtype(&mut held));
        held.outcome(taken)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        let mut held = Held::new(access);
        let taken = self.0.take(Shown::Seq(&mut held));
        held.outcome(taken)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        let mut held = Held::new(access);
        let taken = self.0.take(Shown::Map(&mut held));
        held.outcome(taken)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        let mut choice = Choice {
            held: Held::new(access),
            variant: None,
        };
        let taken = self.0.take(Shown::Enum(&mut choice));
        choice.held.outcome(taken)
    }
}

impl<'de, A: SeqAccess<'de>> Items<'de> for Held<A, A::Error> {
    fn next(&mut self, seed: &mut dyn Seed<'de>) -> Result<bool, Fault> {
        let next = self.part()?.next_element_seed(AnySeed(seed));
        Ok(self.keep(next)?.is_some())
    }

    fn size_hint(&self) -> Option<usize> {
        self.part.as_ref().and_then(A::size_hint)
    }
}

impl<'de, A: MapAccess<'de>> Entries<'de> for Held<A, A::Error> {
    fn key(&mut self, seed: &mut dyn Seed<'de>) -> Result<bool, Fault> {
        let key = self.part()?.next_key_seed(AnySeed(seed));
        Ok(self.keep(key)?.is_some())
    }

    fn value(&mut self, seed: &mut dyn Seed<'de>) -> Result<(), Fault> {
        let value = self.part()?.next_value_seed(AnySeed(seed));
        self.keep(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.part.as_ref().and_then(A::size_hint)
    }
}

struct Choice<'de, A: EnumAccess<'de>> {
    held: Held<A, A::Error>,
    variant: Option<A::Variant>,
}

impl<'de, A: EnumAccess<'de>> Variants<'de> for Choice<'de, A> {
    fn variant(&mut self, seed: &mut dyn Seed<'de>) -> Result<(), Fault> {
        let chosen = self.held.take()?.variant_seed(AnySeed(seed));
        let ((), variant) = self.held.keep(chosen)?;
        self.variant = Some(variant);
        Ok(())
    }

    fn content(&mut self, content: Content<'_, 'de>) -> Result<(), Fault> {
        let variant = self.variant.take().ok_or_else(used_up)?;
        let read = match content {
            Content::Unit => variant.unit_variant(),
            Content::Newtype(seed) => variant.newtype_variant_seed(AnySeed(seed)),
            Content::Tuple(len, sink) => variant.tuple_variant(len, PassedOn(sink)),
            Content::Struct(fields, sink) => variant.struct_variant(fields, PassedOn(sink)),
        };
        self.held.keep(read)
    }
}

// From the type to the reader: what a type takes for its deserialiser, its visitors and seeds behind pointers.

fn ask<'de, V: Visitor<'de>>(
    source: &mut dyn Source<'de>,
    want: Want,
    visitor: V,
) -> Result<V::Value, Fault> {
    let mut filled = Filled::new(visitor);
    source.read(want, &mut filled)?;
    filled.value()
}

/// A deserialiser's methods: `method(arguments) => variant`.
macro_rules! ask {
    ($($method:ident($($name:ident: $type:ty),*) => $want:ident),* $(,)?) => {
        $(
            fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, Fault> {
                ask(self, Want::$want$(($name))*, visitor)
            }
        )*
    };
}

impl<'de, 'a> Deserializer<'de> for &'a mut (dyn Source<'de> + 'a) {
    type Error = Fault;

    ask! {
        deserialize_any() => Any,
        deserialize_bool() => Bool,
        deserialize_i8() => I8,
        deserialize_i16() => I16,
        deserialize_i32() => I32,
        deserialize_i64() => I64,
        deserialize_i128() => I128,
        deserialize_u8() => U8,
        deserialize_u16() => U16,
        deserialize_u32() => U32,
        deserialize_u64() => U64,
        deserialize_u128() => U128,
        deserialize_f32() => F32,
        deserialize_f64() => F64,
        deserialize_char() => Char,
        deserialize_str() => Str,
        deserialize_string() => String,
        deserialize_bytes() => Bytes,
        deserialize_byte_buf() => ByteBuf,
        deserialize_option() => Option,
        deserialize_unit() => Unit,
        deserialize_unit_struct(name: &'static str) => UnitStruct,
        deserialize_newtype_struct(name: &'static str) => NewtypeStruct,
        deserialize_seq() => Seq,
        deserialize_tuple(len: usize) => Tuple,
        deserialize_map() => Map,
        deserialize_identifier() => Identifier,
        deserialize_ignored_any() => IgnoredAny,
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        ask(self, Want::TupleStruct(name, len), visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        ask(self, Want::Struct(name, fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        ask(self, Want::Enum(name, variants), visitor)
    }

    fn is_human_readable(&self) -> bool {
        (**self).is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Sink<'de> for Filled<V, V::Value> {
    fn take(&mut self, shown: Shown<'_, 'de>) -> Result<(), Fault> {
        let visitor = self.take()?;
        let value = match shown {
            Shown::Bool(value) => visitor.visit_bool(value),
            Shown::I64(value) => visitor.visit_i64(value),
            Shown::I128(value) => visitor.visit_i128(value),
            Shown::U64(value) => visitor.visit_u64(value),
            Shown::U128(value) => visitor.visit_u128(value),
            Shown::F64(value) => visitor.visit_f64(value),
            Shown::Str(value) => visitor.visit_str(value),
            Shown::BorrowedStr(value) => visitor.visit_borrowed_str(value),
            Shown::String(value) => visitor.visit_string(value),
            Shown::Bytes(value) => visitor.visit_bytes(value),
            Shown::None => visitor.visit_none(),
            Shown::Some(source) => visitor.visit_some(source),
            Shown::Unit => visitor.visit_unit(),
            Shown::Newtype(source) => visitor.visit_newtype_struct(source),
            Shown::Seq(items) => visitor.visit_seq(items),
            Shown::Map(entries) => visitor.visit_map(entries),
            Shown::Enum(variants) => visitor.visit_enum(variants),
        };
        self.value = Some(value?);
        Ok(())
    }

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(visitor) => visitor.expecting(formatter),
            None => formatter.write_str("nothing more"),
        }
    }
}

impl<'de, S: DeserializeSeed<'de>> Seed<'de> for Filled<S, S::Value> {
    fn read(&mut self, source: &mut dyn Source<'de>) -> Result<(), Fault> {
        self.value = Some(self.take()?.deserialize(source)?);
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for dyn Items<'de> + '_ {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let mut filled = Filled::new(seed);
        let there = self.next(&mut filled)?;
        there.then(|| filled.value()).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Items::size_hint(self)
    }
}

impl<'de> MapAccess<'de> for dyn Entries<'de> + '_ {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let mut filled = Filled::new(seed);
        let there = self.key(&mut filled)?;
        there.then(|| filled.value()).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let mut filled = Filled::new(seed);
        self.value(&mut filled)?;
        filled.value()
    }

    fn size_hint(&self) -> Option<usize> {
        Entries::size_hint(self)
    }
}

impl<'de, 'a> EnumAccess<'de> for &'a mut (dyn Variants<'de> + 'a) {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let mut filled = Filled::new(seed);
        self.variant(&mut filled)?;
        Ok((filled.value()?, self))
    }
}

impl<'de, 'a> VariantAccess<'de> for &'a mut (dyn Variants<'de> + 'a) {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        self.content(Content::Unit)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        let mut filled = Filled::new(seed);
        self.content(Content::Newtype(&mut filled))?;
        filled.value()
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        let mut filled = Filled::new(visitor);
        self.content(Content::Tuple(len, &mut filled))?;
        filled.value()
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let mut filled = Filled::new(visitor);
        self.content(Content::Struct(fields, &mut filled))?;
        filled.value()
    }
}

#[cfg(test)]
mod tests;
