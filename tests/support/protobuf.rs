//! Protobuf by hand, the writing side, just enough for tests.

/// Returns a signed number as it stands in a varint of type `sint`.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A protobuf message as it is encoded.
#[derive(Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    /// Appends a field.
    pub(crate) fn varint(&mut self, field: u64, value: u64) {
        put_varint(&mut self.0, field << 3);
        put_varint(&mut self.0, value);
    }

    /// Appends a field.
    pub(crate) fn double(&mut self, field: u64, value: f64) {
        put_varint(&mut self.0, field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a field.
    pub(crate) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        put_varint(&mut self.0, field << 3 | 2);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Appends a field.
    pub(crate) fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}
