//! Requests of remote write as senders encode them; the tests of the receiver and the fuzz target use it too.

/// Writes protobuf messages, field by field.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn number(mut self, field: u64, value: u64) -> Self {
        put_varint(&mut self.0, field << 3);
        put_varint(&mut self.0, value);
        self
    }

    pub fn signed(self, field: u64, value: i64) -> Self {
        self.number(field, value.cast_unsigned())
    }

    pub fn zigzag(self, field: u64, value: i64) -> Self {
        self.number(field, zigzag(value))
    }

    pub fn double(mut self, field: u64, value: f64) -> Self {
        put_varint(&mut self.0, field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        put_varint(&mut self.0, field << 3 | 2);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub fn message(self, field: u64, message: Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn packed(self, field: u64, numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut packed = Vec::new();
        numbers
            .into_iter()
            .for_each(|number| put_varint(&mut packed, number));
        self.bytes(field, &packed)
    }

    pub fn packed_doubles(self, field: u64, numbers: &[f64]) -> Self {
        let packed: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.bytes(field, &packed)
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

pub fn message() -> Message {
    Message::default()
}

pub fn sample(t: i64, value: f64) -> Message {
    message().double(1, value).signed(2, t)
}

/// A series of version 1.0.
pub fn series(labels: &[(&str, &str)]) -> Message {
    labels.iter().fold(message(), |series, (name, value)| {
        let label = message()
            .bytes(1, name.as_bytes())
            .bytes(2, value.as_bytes());
        series.message(1, label)
    })
}

/// A native histogram with two positive buckets.
pub fn histogram(t: i64) -> Message {
    message()
        .number(1, 4)
        .double(3, 7.5)
        .zigzag(4, 1)
        .double(5, 0.001)
        .number(6, 1)
        .message(11, message().zigzag(1, 2).number(2, 2))
        .packed(12, [zigzag(1), zigzag(1)])
        .signed(15, t)
}

/// A float histogram with custom buckets.
pub fn custom_histogram(t: i64) -> Message {
    message()
        .double(2, 3.0)
        .double(3, 1.5)
        .zigzag(4, -53)
        .message(11, message().number(2, 2))
        .packed_doubles(13, &[1.0, 2.0])
        .packed_doubles(16, &[0.5, 1.0])
        .signed(15, t)
}

/// A request of version 2.0 with symbols after the series: one with each kind of item but histograms, and one with a
/// histogram. All are of the time `t`.
pub fn version_2(t: i64) -> Message {
    let symbols = [
        "", "__name__", "two", "job", "j", "seconds", "trace_id", "x",
    ];
    let exemplar = message().packed(1, [6, 7]).double(2, 1.0).signed(3, t);
    let metadata = message().number(1, 1).number(3, 2).number(4, 5);
    let series = message()
        .packed(1, [3, 4, 1, 2])
        .message(2, sample(t, 1.0).signed(3, 5))
        .message(4, exemplar)
        .message(5, metadata)
        .signed(6, 7);
    let other = message().number(1, 1).number(1, 5).message(3, histogram(t));
    let request = message().message(5, series).message(5, other);
    symbols.iter().fold(request, |request, symbol| {
        request.bytes(4, symbol.as_bytes())
    })
}
