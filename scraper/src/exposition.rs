//! Exposition formats: from the bytes of a scrape to events, borrowed and without allocation per line.
//!
//! ```text
//! body ──► Parser::next(expected) ──► Event::Series   series as written, value, timestamp
//!                                 └─► Event::Metadata type, help or unit of a family
//! ```
//!
//! Half of a body may be lines about families, and they say the same each time. [`Parser::trusting`] returns them as they
//! are, to be hashed; only when that hash is new does the body have to be read again by the strict [`Parser::new`].
//!
//! The caller may say which series it expects next: a scrape brings the same lines in the same order each time, and a
//! comparison of bytes is much cheaper than finding where a series ends. Labels are decoded by [`labels::decode`],
//! which is needed only for series never seen before.
//!
//! Bodies in protobuf have no lines; [`protobuf::Reader`] makes the same of them, and native histograms.

pub(crate) mod classic;
mod content_type;
mod cursor;
mod expected;
pub(crate) mod key;
pub mod labels;
mod number;
mod openmetrics;
pub mod protobuf;
mod text;

use std::borrow::Cow;

use model::metadata::MetricType;

pub use content_type::{BodyFormat, ContentTypeError, Format};
use cursor::Cursor;
pub use expected::Expected;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A sample.
    Series(SeriesLine<'a>),
    /// Something about a family.
    Metadata(MetadataLine<'a>),
    /// A line about a family that was not looked into, see [`Parser::trusting`].
    Comment(&'a str),
}

/// One sample line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesLine<'a> {
    /// Name and labels as written.
    pub series: &'a str,
    /// Whether that is the series that the caller expected.
    pub is_expected: bool,
    /// The value; every NaN is the ordinary one.
    pub value: f64,
    /// The line's own timestamp, milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// The exemplar behind the sample.
    pub exemplar: Option<ExemplarText<'a>>,
}

/// An exemplar of a sample line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExemplarText<'a> {
    /// Its labels as written, in braces.
    pub labels: &'a str,
    /// The value.
    pub value: f64,
    /// Its timestamp, milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// One line about a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetadataLine<'a> {
    /// The family's name as written: bare or quoted.
    pub family: &'a str,
    /// What it says.
    pub what: MetadataKind<'a>,
}

/// What a metadata line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataKind<'a> {
    /// The type.
    Type(MetricType),
    /// The help text, escapes and all.
    Help(&'a str),
    /// The unit.
    Unit(&'a str),
}

impl<'a> MetadataLine<'a> {
    /// Returns the family's name, unquoted.
    pub fn name(&self) -> Cow<'a, str> {
        labels::unquoted(self.family)
    }
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ParseError {
    /// Where in the body.
    pub place: Place,
    /// What was expected and what was found.
    pub what: String,
}

/// Where in a body something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this line of a text, from 1.
    Line(usize),
    /// In the message that begins at this byte, from 0.
    Byte(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Byte(byte) => write!(f, "byte {byte}"),
        }
    }
}

/// Reads a body line by line.
pub struct Parser<'a> {
    cursor: Cursor<'a>,
    format: Format,
    /// The last `# TYPE` line.
    last_type: LastType<'a>,
    is_trusting: bool,
}

/// The last `# TYPE` line: what it says, or the line itself while nobody asked.
enum LastType<'a> {
    /// The family as written, and its type.
    Known(&'a str, MetricType),
    Line(&'a str),
}

impl<'a> Parser<'a> {
    /// Returns a parser at the start of `body`.
    ///
    /// # Errors
    ///
    /// When the body is not UTF-8.
    pub fn new(body: &'a [u8], format: Format) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let line = 1 + body[..error.valid_up_to()]
                .iter()
                .filter(|&&b| b == b'\n')
                .count();
            ParseError {
                place: Place::Line(line),
                what: "invalid UTF-8".to_owned(),
            }
        })?;
        let last_type = LastType::Known("", MetricType::Unknown);
        Ok(Parser {
            cursor: Cursor::new(text),
            format,
            last_type,
            is_trusting: false,
        })
    }

    /// Returns a parser that does not look into lines about families: they come as [`Event::Comment`].
    ///
    /// # Errors
    ///
    /// When the body is not UTF-8.
    pub fn trusting(body: &'a [u8], format: Format) -> Result<Self, ParseError> {
        Ok(Parser {
            is_trusting: true,
            ..Parser::new(body, format)?
        })
    }

    /// Returns what the next line that says something says; `None` at the end.
    ///
    /// * `expected`: the series that probably comes next.
    ///
    /// # Errors
    ///
    /// When the line is not of the format. The parser cannot go on then.
    pub fn next(&mut self, expected: Expected) -> Result<Option<Event<'a>>, ParseError> {
        let event = match self.format {
            Format::Text => text::next(&mut self.cursor, expected, self.is_trusting)?,
            Format::OpenMetrics => openmetrics::next(&mut self.cursor, expected, self.is_trusting)?,
        };
        match event {
            Some(Event::Metadata(
                line @ MetadataLine {
                    what: MetadataKind::Type(kind),
                    ..
                },
            )) => {
                self.last_type = LastType::Known(line.family, kind);
            }
            Some(Event::Comment(line)) if text::is_type(line) => {
                self.last_type = LastType::Line(line)
            }
            _ => (),
        }
        Ok(event)
    }

    /// Returns the type that the last `# TYPE` line named, which the series after it are taken to be of.
    pub fn kind(&mut self) -> MetricType {
        self.known_type().1
    }

    /// Returns the family that the last `# TYPE` line is about, and its type.
    pub fn family(&mut self) -> (Cow<'a, str>, MetricType) {
        let (family, kind) = self.known_type();
        (labels::unquoted(family), kind)
    }

    /// Looks into the last `# TYPE` line if nobody has yet.
    fn known_type(&mut self) -> (&'a str, MetricType) {
        if let LastType::Line(line) = self.last_type {
            let mut strict = Cursor::new(line);
            let parsed = match self.format {
                Format::Text => text::next(&mut strict, Expected::NOTHING, false),
                Format::OpenMetrics => openmetrics::next(&mut strict, Expected::NOTHING, false),
            };
            self.last_type = match parsed {
                Ok(Some(Event::Metadata(
                    line @ MetadataLine {
                        what: MetadataKind::Type(kind),
                        ..
                    },
                ))) => LastType::Known(line.family, kind),
                // Whoever reads the body strictly will say what is wrong.
                _ => LastType::Known("", MetricType::Unknown),
            };
        }
        match self.last_type {
            LastType::Known(family, kind) => (family, kind),
            LastType::Line(_) => ("", MetricType::Unknown),
        }
    }
}

/// Returns the number that `text` is as a whole, as in a line of either format.
pub(crate) fn parse_value(text: &str) -> Option<f64> {
    number::parse(text)
}

#[cfg(test)]
mod tests;
