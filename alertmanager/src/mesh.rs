//! Silences and log entries as messages: what is stored, what Alertmanager's own files hold, and what instances exchange.
//!
//! A file is a list of messages, each after its length as a varint. Fields that are not known are passed over.
//!
//! Source: Alertmanager's `silence.proto` and `nflog.proto`, as listed in its documentation of the data directory.

use model::protobuf::{Fields, WireError, Writer, put_varint, varint};
use model::{MatchOp, Matcher};
use uuid::Uuid;

use crate::dispatch::{IntegrationKey, LogEntry};
use crate::silence::Silence;

/// Why bytes are no silence or log entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeshError {
    /// They are no message.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Text,
    /// A matcher is none.
    #[error("{0}")]
    Matcher(String),
}

/// Returns a silence as a `Silence` message.
pub fn encode_silence(silence: &Silence) -> Vec<u8> {
    let mut set = Writer::default();
    let mut message = Writer::default();
    message.bytes(1, silence.id.as_bytes());
    for matcher in &silence.matchers {
        let encoded = encode_matcher(matcher);
        set.message(1, encoded.clone());
        // Older readers know only this list.
        message.message(2, encoded);
    }
    message
        .message(3, timestamp(silence.starts_at_ms))
        .message(4, timestamp(silence.ends_at_ms))
        .message(5, timestamp(silence.updated_at_ms))
        .bytes(8, silence.created_by.as_bytes())
        .bytes(9, silence.comment.as_bytes());
    for (name, value) in &silence.annotations {
        let mut entry = Writer::default();
        entry.bytes(1, name.as_bytes()).bytes(2, value.as_bytes());
        message.message(10, entry);
    }
    message.message(11, set);
    message.into_bytes()
}

fn encode_matcher(matcher: &Matcher) -> Writer {
    let kind = match matcher.op() {
        MatchOp::Equal => 0,
        MatchOp::Regex => 1,
        MatchOp::NotEqual => 2,
        MatchOp::NotRegex => 3,
    };
    let mut message = Writer::default();
    message
        .varint(1, kind)
        .bytes(2, matcher.name().as_bytes())
        .bytes(3, matcher.value().as_bytes());
    message
}

fn timestamp(ms: i64) -> Writer {
    let mut message = Writer::default();
    message
        .varint(1, ms.div_euclid(1_000).cast_unsigned())
        .varint(2, ms.rem_euclid(1_000).cast_unsigned() * 1_000_000);
    message
}

fn decode_timestamp(bytes: &[u8]) -> Result<i64, MeshError> {
    let (mut seconds, mut ns) = (0, 0);
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => seconds = value.int64("seconds")?,
            2 => ns = value.int64("nanos")?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000).saturating_add(ns / 1_000_000))
}

pub(crate) fn text(bytes: &[u8]) -> Result<String, MeshError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| MeshError::Text)
}

/// Reads a `Silence` message. Of several sets of matchers, of which each alone silences, every one becomes a silence: the
/// first keeps the id, those of the others follow from it.
///
/// # Errors
///
/// When it is no such message.
pub fn decode_silences(bytes: &[u8]) -> Result<Vec<Silence>, MeshError> {
    let mut silence = Silence::default();
    let (mut old, mut sets) = (Vec::new(), Vec::new());
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => silence.id = text(value.bytes("id")?)?,
            2 => old.push(decode_matcher(value.bytes("matchers")?)?),
            3 => silence.starts_at_ms = decode_timestamp(value.bytes("starts_at")?)?,
            4 => silence.ends_at_ms = decode_timestamp(value.bytes("ends_at")?)?,
            5 => silence.updated_at_ms = decode_timestamp(value.bytes("updated_at")?)?,
            8 => silence.created_by = text(value.bytes("created_by")?)?,
            9 => silence.comment = text(value.bytes("comment")?)?,
            10 => {
                let (name, value) = decode_pair(value.bytes("annotations")?)?;
                silence.annotations.insert(name, value);
            }
            11 => sets.push(decode_set(value.bytes("matcher_sets")?)?),
            _ => {}
        }
    }
    if sets.is_empty() {
        sets.push(old);
    }
    let silences = sets.into_iter().enumerate().map(|(index, matchers)| {
        let mut silence = silence.clone();
        silence.matchers = matchers;
        if let Ok(id) = Uuid::try_parse(&silence.id)
            && 0 < index
        {
            silence.id = Uuid::from_u128(id.as_u128() ^ index as u128).to_string();
        }
        silence
    });
    Ok(silences.collect())
}

fn decode_set(bytes: &[u8]) -> Result<Vec<Matcher>, MeshError> {
    let (mut matchers, mut fields) = (Vec::new(), Fields::of(bytes));
    while let Some((number, value)) = fields.read()? {
        if number == 1 {
            matchers.push(decode_matcher(value.bytes("matchers")?)?);
        }
    }
    Ok(matchers)
}

fn decode_matcher(bytes: &[u8]) -> Result<Matcher, MeshError> {
    let (mut kind, mut name, mut pattern) = (0, String::new(), String::new());
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => kind = value.varint("type")?,
            2 => name = text(value.bytes("name")?)?,
            3 => pattern = text(value.bytes("pattern")?)?,
            _ => {}
        }
    }
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::Regex,
        2 => MatchOp::NotEqual,
        3 => MatchOp::NotRegex,
        kind => return Err(MeshError::Matcher(format!("unknown matcher type {kind}"))),
    };
    Matcher::new(name, op, pattern).map_err(|error| MeshError::Matcher(error.to_string()))
}

fn decode_pair(bytes: &[u8]) -> Result<(String, String), MeshError> {
    let (mut name, mut text_value) = (String::new(), String::new());
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = text(value.bytes("key")?)?,
            2 => text_value = text(value.bytes("value")?)?,
            _ => {}
        }
    }
    Ok((name, text_value))
}

/// Returns a log entry as a `MeshEntry` message.
pub fn encode_entry(key: &IntegrationKey, entry: &LogEntry) -> Vec<u8> {
    let mut receiver = Writer::default();
    receiver
        .bytes(1, key.receiver.as_bytes())
        .bytes(2, key.kind.as_bytes())
        .varint(3, key.index as u64);
    let mut inner = Writer::default();
    inner
        .bytes(1, key.group_key.as_bytes())
        .message(2, receiver)
        .message(5, timestamp(entry.at_ms))
        .packed(6, entry.firing.iter().copied())
        .packed(7, entry.resolved.iter().copied());
    for (name, value) in &entry.memory {
        let (mut pair, mut text) = (Writer::default(), Writer::default());
        text.bytes(1, value.as_bytes());
        pair.bytes(1, name.as_bytes()).message(2, text);
        inner.message(8, pair);
    }
    let mut message = Writer::default();
    message
        .message(1, inner)
        .message(2, timestamp(entry.expires_at_ms));
    message.into_bytes()
}

/// Reads a `MeshEntry` message.
///
/// # Errors
///
/// When it is no such message.
pub fn decode_entry(bytes: &[u8]) -> Result<(IntegrationKey, LogEntry), MeshError> {
    let (mut key, mut entry) = (IntegrationKey::default(), LogEntry::default());
    let mut outer = Fields::of(bytes);
    while let Some((number, value)) = outer.read()? {
        match number {
            1 => decode_inner(value.bytes("entry")?, &mut key, &mut entry)?,
            2 => entry.expires_at_ms = decode_timestamp(value.bytes("expires_at")?)?,
            _ => {}
        }
    }
    Ok((key, entry))
}

fn decode_inner(
    bytes: &[u8],
    key: &mut IntegrationKey,
    entry: &mut LogEntry,
) -> Result<(), MeshError> {
    let mut fields = Fields::of(bytes);
    let (mut firing, mut resolved) = (Vec::new(), Vec::new());
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => key.group_key = text(value.bytes("group_key")?)?,
            2 => {
                let mut receiver = Fields::of(value.bytes("receiver")?);
                while let Some((number, value)) = receiver.read()? {
                    match number {
                        1 => key.receiver = text(value.bytes("group_name")?)?,
                        2 => key.kind = text(value.bytes("integration")?)?.into(),
                        3 => {
                            let index = value.varint("idx")?;
                            key.index = usize::try_from(index).unwrap_or(usize::MAX);
                        }
                        _ => {}
                    }
                }
            }
            5 => entry.at_ms = decode_timestamp(value.bytes("timestamp")?)?,
            6 => value.varints_into("firing_alerts", &mut firing, |hash| hash)?,
            7 => value.varints_into("resolved_alerts", &mut resolved, |hash| hash)?,
            8 => {
                if let Some((name, value)) = decode_memory(value.bytes("receiver_data")?)? {
                    entry.memory.insert(name, value);
                }
            }
            _ => {}
        }
    }
    entry.firing.extend(firing);
    entry.resolved.extend(resolved);
    Ok(())
}

/// Reads what an integration keeps; numbers are nothing that is kept here.
fn decode_memory(bytes: &[u8]) -> Result<Option<(String, String)>, MeshError> {
    let (mut name, mut kept) = (String::new(), None);
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = text(value.bytes("key")?)?,
            2 => {
                let mut of_kinds = Fields::of(value.bytes("value")?);
                while let Some((number, value)) = of_kinds.read()? {
                    if number == 1 {
                        kept = Some(text(value.bytes("str_val")?)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(kept.map(|kept| (name, kept)))
}

/// Reads the messages of a file, each after its length. What is torn off at the end is left out.
pub fn messages(mut file: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(varint(&mut file).ok()?).ok()?;
        let (message, rest) = file.split_at_checked(length)?;
        file = rest;
        Some(message)
    })
}

/// Reads the `MeshSilence` message of Alertmanager's file `silences`.
///
/// # Errors
///
/// When it is no such message.
pub fn decode_mesh_silences(bytes: &[u8]) -> Result<Vec<Silence>, MeshError> {
    let (mut silences, mut fields) = (Vec::new(), Fields::of(bytes));
    while let Some((number, value)) = fields.read()? {
        if number == 1 {
            silences = decode_silences(value.bytes("silence")?)?;
        }
    }
    Ok(silences)
}

/// Appends a message after its length.
pub fn put_message(out: &mut Vec<u8>, message: &[u8]) {
    put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}
