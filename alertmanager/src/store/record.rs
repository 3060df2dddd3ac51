//! Alerts and groups as messages of our own, and the keys of records.

use model::Labels;
use model::protobuf::{Fields, Value, Writer};

use crate::alert::StoredAlert;
use crate::dispatch::{GroupKey, GroupRecord, IntegrationKey};
use crate::mesh::{MeshError, text};

/// What stands between the parts of a key; no name has it.
const SEPARATOR: u8 = 0xff;

pub(super) fn log_key(key: &IntegrationKey) -> Vec<u8> {
    let index = key.index.to_string();
    [&key.group_key, &key.receiver, &*key.kind, &index]
        .map(str::as_bytes)
        .join(&SEPARATOR)
}

pub(super) fn group_key(key: &GroupKey) -> Vec<u8> {
    [&key.0, &key.1]
        .map(|part| part.as_bytes())
        .join(&SEPARATOR)
}

fn put_labels(message: &mut Writer, field: u32, labels: &Labels) {
    for (name, value) in labels {
        let mut pair = Writer::default();
        pair.bytes(1, name.as_bytes()).bytes(2, value.as_bytes());
        message.message(field, pair);
    }
}

fn pair(value: Value<'_>) -> Result<(String, String), MeshError> {
    let (mut name, mut text_value) = (String::new(), String::new());
    let mut fields = Fields::of(value.bytes("label")?);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = text(value.bytes("name")?)?,
            2 => text_value = text(value.bytes("value")?)?,
            _ => {}
        }
    }
    Ok((name, text_value))
}

fn labels(pairs: &[(String, String)]) -> Labels {
    Labels::from_pairs(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

pub(super) fn encode_alert(alert: &StoredAlert) -> Vec<u8> {
    let mut message = Writer::default();
    put_labels(&mut message, 1, &alert.labels);
    put_labels(&mut message, 2, &alert.annotations);
    message
        .varint(3, alert.starts_at_ms.cast_unsigned())
        .varint(4, alert.ends_at_ms.cast_unsigned())
        .varint(5, alert.updated_at_ms.cast_unsigned())
        .varint(6, u64::from(alert.is_timeout))
        .bytes(7, alert.generator_url.as_bytes());
    message.into_bytes()
}

pub(super) fn decode_alert(bytes: &[u8]) -> Result<StoredAlert, MeshError> {
    let (mut own, mut annotations) = (Vec::new(), Vec::new());
    let (mut starts_at_ms, mut ends_at_ms, mut updated_at_ms) = (0, 0, 0);
    let (mut is_timeout, mut generator_url) = (false, String::new());
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => own.push(pair(value)?),
            2 => annotations.push(pair(value)?),
            3 => starts_at_ms = value.int64("starts_at")?,
            4 => ends_at_ms = value.int64("ends_at")?,
            5 => updated_at_ms = value.int64("updated_at")?,
            6 => is_timeout = value.varint("is_timeout")? != 0,
            7 => generator_url = text(value.bytes("generator_url")?)?,
            _ => {}
        }
    }
    let own = labels(&own);
    Ok(StoredAlert {
        fingerprint: crate::alert::fingerprint(&own),
        labels: own,
        annotations: labels(&annotations),
        starts_at_ms,
        ends_at_ms,
        is_timeout,
        updated_at_ms,
        generator_url,
    })
}

pub(super) fn encode_group(key: &GroupKey, group: &GroupRecord) -> Vec<u8> {
    let mut message = Writer::default();
    message
        .bytes(1, key.0.as_bytes())
        .bytes(2, key.1.as_bytes())
        .varint(3, group.next_flush_ms.cast_unsigned())
        .varint(4, u64::from(group.has_flushed))
        .packed(5, group.members.iter().copied());
    message.into_bytes()
}

pub(super) fn decode_group(bytes: &[u8]) -> Result<(GroupKey, GroupRecord), MeshError> {
    let (mut key, mut group) = (GroupKey::default(), GroupRecord::default());
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => key.0 = text(value.bytes("key")?)?,
            2 => key.1 = text(value.bytes("receiver")?)?,
            3 => group.next_flush_ms = value.int64("next_flush")?,
            4 => group.has_flushed = value.varint("has_flushed")? != 0,
            5 => value.varints_into("members", &mut group.members, |member| member)?,
            _ => {}
        }
    }
    Ok((key, group))
}
