//! `prometheus.WriteRequest`, the message of remote write 1.0: each series spells its labels out.
//!
//! Its `metadata` is passed over, as Prometheus does: it names families and no series.
//!
//! Source: [remote write 1.0](https://prometheus.io/docs/specs/prw/remote_write_spec/).

use model::protobuf::Fields;

use super::batch::{Batch, Series};
use super::ingest::{Decode, LabelError, Pairs};
use super::key::KeyHasher;
use crate::histogram;
use crate::proto::{Run, WireError};

/// Reads one request.
pub(crate) struct Decoder<'a> {
    fields: Fields<'a>,
}

impl<'a> Decoder<'a> {
    /// Returns the decoder of `request`.
    pub(crate) fn new(request: &'a [u8]) -> Self {
        Decoder {
            fields: Fields::of(request),
        }
    }
}

impl<'a> Decode<'a> for Decoder<'a> {
    fn fill(&mut self, hasher: &KeyHasher, batch: &mut Batch<'a>) -> Result<bool, WireError> {
        while !batch.is_full() {
            match self.fields.read()? {
                Some((1, value)) => series(value.bytes("Timeseries")?, hasher, batch)?,
                Some(_) => (),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn labels(&self, bytes: &'a [u8], out: &mut Pairs<'a>) -> Result<(), LabelError> {
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.read()? {
            if number == 1 {
                out.push(label(value.bytes("Labels")?)?);
            }
        }
        Ok(())
    }
}

fn series<'a>(
    message: &'a [u8],
    hasher: &KeyHasher,
    batch: &mut Batch<'a>,
) -> Result<(), WireError> {
    let mut fields = Fields::of(message);
    // Other fields between the labels are allowed, and never seen.
    let mut run = Run::new();
    loop {
        let at = message.len() - fields.left();
        let Some((number, value)) = fields.read()? else {
            break;
        };
        batch.check_size()?;
        match number {
            1 => {
                value.bytes("Labels")?;
                run.add(at, message.len() - fields.left());
            }
            2 => {
                let (t, value) = sample(value.bytes("Samples")?)?;
                batch.push_float(t, value);
            }
            3 => exemplar(value.bytes("Exemplars")?, batch)?,
            4 => {
                let found = histogram::decode(value.bytes("Histograms")?)?;
                batch.push_histogram(0, found.t, found.value);
            }
            _ => (),
        }
    }
    let labels = run.of(message);
    batch.push_series(Series {
        labels,
        key: run.is_whole.then(|| hasher.key(labels)),
        metadata: None,
        has_items: false,
    });
    Ok(())
}

/// Returns time and value of a sample message.
#[inline]
fn sample(message: &[u8]) -> Result<(i64, f64), WireError> {
    let mut fields = Fields::of(message);
    let (mut t, mut v) = (0, 0.0);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => v = value.double("Value")?,
            2 => t = value.int64("Timestamp")?,
            _ => (),
        }
    }
    Ok((t, v))
}

/// Adds an exemplar; its labels, field 1, differ between the versions and are looked at later.
pub(super) fn exemplar<'a>(message: &'a [u8], batch: &mut Batch<'a>) -> Result<(), WireError> {
    let mut fields = Fields::of(message);
    let (mut t, mut v) = (0, 0.0);
    while let Some((number, value)) = fields.read()? {
        match number {
            2 => v = value.double("Value")?,
            3 => t = value.int64("Timestamp")?,
            _ => (),
        }
    }
    batch.push_exemplar(message, t, v);
    Ok(())
}

fn label(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut fields = Fields::of(message);
    let (mut name, mut text) = (&[][..], &[][..]);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = value.bytes("Name")?,
            2 => text = value.bytes("Value")?,
            _ => (),
        }
    }
    Ok((name, text))
}
