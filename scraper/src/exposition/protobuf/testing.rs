//! Messages as targets encode them.

#[path = "../../../../remote/tests/support/message.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "of the tests of another crate, which use all of it"
)]
mod encode;

pub(crate) use encode::{Message, message, zigzag};

/// Returns a family message of that type; `metrics` are `Metric` messages.
pub(crate) fn family(name: &str, kind: u64, metrics: impl IntoIterator<Item = Message>) -> Message {
    let head = message().bytes(1, name.as_bytes()).number(3, kind);
    let metrics = metrics.into_iter();
    metrics.fold(head, |family, metric| family.message(4, metric))
}

/// Returns the bytes of `message` after their length.
pub(crate) fn delimited(family: &Message) -> Vec<u8> {
    // A field of bytes is its tag, the length and the bytes.
    message().bytes(1, &family.0).0.split_off(1)
}

/// Returns a native histogram with two positive buckets.
pub(crate) fn native() -> Message {
    message()
        .number(1, 4)
        .double(2, 7.5)
        .zigzag(5, 1)
        .double(6, 0.001)
        .number(7, 1)
        .message(12, message().zigzag(1, 1).number(2, 2))
        .packed(13, [zigzag(1), zigzag(1)])
}

/// Returns a classic bucket.
pub(crate) fn classic(count: u64, bound: f64) -> Message {
    message().number(1, count).double(2, bound)
}

/// Returns a `LabelPair`.
pub(crate) fn label(name: &str, value: &str) -> Message {
    message()
        .bytes(1, name.as_bytes())
        .bytes(2, value.as_bytes())
}
