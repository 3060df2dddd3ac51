//! What a `MetricFamily` message says about the family itself.

use model::metadata::MetricType;
use model::protobuf::Fields;

use super::{Problem, utf8};

/// Name, type, help and unit of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Family<'a> {
    /// The name.
    pub name: &'a str,
    /// The type.
    pub kind: MetricType,
    /// The help text.
    pub help: &'a str,
    /// The unit, empty if not given.
    pub unit: &'a str,
}

impl<'a> Family<'a> {
    /// Reads the fields of a message; its metrics are passed over.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Problem> {
        // A type that is not sent is the first of the list.
        let mut family = Family {
            kind: MetricType::Counter,
            ..Family::default()
        };
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.read()? {
            match number {
                1 => family.name = utf8(value, "the name")?,
                2 => family.help = utf8(value, "the help text")?,
                3 => family.kind = kind(value.varint("Type")?),
                5 => family.unit = utf8(value, "the unit")?,
                _ => (),
            }
        }
        Ok(family)
    }
}

fn kind(number: u64) -> MetricType {
    match number {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Summary,
        4 => MetricType::Histogram,
        5 => MetricType::GaugeHistogram,
        _ => MetricType::Unknown,
    }
}
