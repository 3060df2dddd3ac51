//! `io.prometheus.write.v2.Request`, the message of remote write 2.0: strings are in one table, series name them by number.
//!
//! Start timestamps are those of each sample; what the draft of the protocol said of a whole series is passed over.
//!
//! Source: [remote write 2.0](https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/).

use model::protobuf::{Fields, uint32};

use super::batch::{Batch, RawMetadata, Series};
use super::ingest::{Decode, LabelError, Pairs};
use super::key::{KeyHasher, SeriesKey};
use super::v1::exemplar;
use crate::histogram;
use crate::proto::{Run, WireError};

/// Most strings that a request may have.
const SYMBOLS_MAX: usize = 1_000_000;

/// Most bytes of one label set. A request can name one long string again and again.
const LABELS_BYTES_MAX: usize = 1 << 20;

/// Reads one request.
pub(crate) struct Decoder<'a> {
    fields: Fields<'a>,
    symbols: Vec<&'a [u8]>,
    /// The key of each symbol.
    keys: Vec<SeriesKey>,
    /// Room for the keys of one series' labels.
    scratch: Vec<u8>,
    refs: Vec<u32>,
}

impl<'a> Decoder<'a> {
    /// Returns the decoder of `request`; its symbols are read before its series, in whatever order they come.
    ///
    /// # Errors
    ///
    /// When the bytes are no such message.
    pub(crate) fn new(request: &'a [u8], hasher: &KeyHasher) -> Result<Self, WireError> {
        let mut symbols = Vec::new();
        let mut fields = Fields::of(request);
        while let Some((number, value)) = fields.read()? {
            if number == 4 {
                if symbols.len() == SYMBOLS_MAX {
                    return Err(WireError::Symbols(SYMBOLS_MAX));
                }
                symbols.push(value.bytes("Symbols")?);
            }
        }
        Ok(Decoder {
            fields: Fields::of(request),
            keys: symbols.iter().map(|text| hasher.key(text)).collect(),
            symbols,
            scratch: Vec::new(),
            refs: Vec::new(),
        })
    }

    fn series(
        &mut self,
        message: &'a [u8],
        hasher: &KeyHasher,
        batch: &mut Batch<'a>,
    ) -> Result<(), WireError> {
        let mut fields = Fields::of(message);
        self.refs.clear();
        let mut run = Run::new();
        let mut metadata = None;
        loop {
            let at = message.len() - fields.left();
            let Some((number, value)) = fields.read()? else {
                break;
            };
            batch.check_size()?;
            match number {
                1 => {
                    value.varints_into("LabelsRefs", &mut self.refs, uint32)?;
                    run.add(at, message.len() - fields.left());
                }
                2 => {
                    let (start, t, value) = sample(value.bytes("Samples")?)?;
                    batch.push_float_since(start, t, value);
                }
                3 => {
                    let found = histogram::decode(value.bytes("Histograms")?)?;
                    batch.push_histogram(found.start, found.t, found.value);
                }
                4 => exemplar(value.bytes("Exemplars")?, batch)?,
                5 => metadata = self.metadata(value.bytes("Metadata")?)?,
                _ => (),
            }
        }
        batch.push_series(Series {
            labels: run.of(message),
            key: self.key(hasher),
            metadata,
            has_items: false,
        });
        Ok(())
    }

    /// Returns the key of the labels in `refs`; `None` when they name symbols that there are not.
    fn key(&mut self, hasher: &KeyHasher) -> Option<SeriesKey> {
        self.scratch.clear();
        for &symbol in &self.refs {
            let key = self.keys.get(symbol as usize)?;
            key.append_to(&mut self.scratch);
        }
        Some(hasher.key(&self.scratch))
    }

    fn metadata(&self, message: &[u8]) -> Result<Option<RawMetadata<'a>>, WireError> {
        let mut fields = Fields::of(message);
        let (mut kind, mut help, mut unit) = (0, 0, 0);
        while let Some((number, value)) = fields.read()? {
            match number {
                1 => kind = value.varint("Type")?,
                3 => help = uint32(value.varint("HelpRef")?),
                4 => unit = uint32(value.varint("UnitRef")?),
                _ => (),
            }
        }
        let text = |symbol: u32| {
            let symbol = symbol as usize;
            Some((*self.symbols.get(symbol)?, self.keys.get(symbol)?.short()))
        };
        let (Some((help, help_hash)), Some((unit, unit_hash))) = (text(help), text(unit)) else {
            return Ok(None);
        };
        if kind == 0 && help.is_empty() && unit.is_empty() {
            return Ok(None);
        }
        let hash = uint32(kind) ^ help_hash.rotate_left(7) ^ unit_hash.rotate_left(19);
        Ok(Some(RawMetadata {
            kind,
            help,
            unit,
            hash: hash.max(1),
        }))
    }
}

/// Returns start timestamp, time and value of a sample message.
#[inline]
fn sample(message: &[u8]) -> Result<(i64, i64, f64), WireError> {
    let mut fields = Fields::of(message);
    let (mut start, mut t, mut v) = (0, 0, 0.0);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => v = value.double("Value")?,
            2 => t = value.int64("Timestamp")?,
            3 => start = value.int64("StartTimestamp")?,
            _ => (),
        }
    }
    Ok((start, t, v))
}

impl<'a> Decode<'a> for Decoder<'a> {
    fn fill(&mut self, hasher: &KeyHasher, batch: &mut Batch<'a>) -> Result<bool, WireError> {
        while !batch.is_full() {
            match self.fields.read()? {
                Some((5, value)) => self.series(value.bytes("Timeseries")?, hasher, batch)?,
                Some(_) => (),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn labels(&self, bytes: &'a [u8], out: &mut Pairs<'a>) -> Result<(), LabelError> {
        let mut refs = Vec::new();
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.read()? {
            if number == 1 {
                value.varints_into("LabelsRefs", &mut refs, uint32)?;
            }
        }
        let (pairs, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(LabelError::OddRefs(refs.len()));
        }
        let mut bytes = 0;
        for &refs in pairs {
            let [name, value] = refs.map(|symbol| self.symbols.get(symbol as usize));
            let (Some(name), Some(value)) = (name, value) else {
                let size = self.symbols.len();
                return Err(LabelError::RefOutOfRange { refs, size });
            };
            bytes += name.len() + value.len();
            if LABELS_BYTES_MAX < bytes {
                return Err(LabelError::TooLong(LABELS_BYTES_MAX));
            }
            out.push((name, value));
        }
        Ok(())
    }
}
