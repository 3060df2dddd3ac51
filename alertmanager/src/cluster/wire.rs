//! The envelope of everything that members send: who may read it, and what it is.
//!
//! ```text
//! "hc" │ version 1 │ length of label, 1 byte │ label │ kind, 1 byte │ contents
//! ```
//!
//! A packet is one envelope. On a TCP connection, its length comes first (4 bytes, network byte order).

/// Bytes of a packet: it should fit into a frame of Ethernet.
pub(crate) const PACKET_BYTES_MAX: usize = 1_400;
/// Bytes of an envelope on a TCP connection.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// Bytes of a label.
pub(crate) const LABEL_BYTES_MAX: usize = 255;

const MAGIC: [u8; 2] = *b"hc";
const VERSION: u8 = 1;

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Who is there.
    Membership,
    /// Updates, which nobody answers.
    Updates,
    /// All that the sender knows, which is answered with the same.
    State,
}

/// Why an envelope is not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireFault {
    /// It is none.
    #[error("it is no message of a Hearth cluster")]
    Garbage,
    /// A newer version wrote it.
    #[error("it has version {0}; this build reads version {VERSION}")]
    Version(u8),
    /// It belongs to another cluster.
    #[error("it belongs to a cluster with another --cluster.label")]
    Label,
}

impl WireFault {
    /// Returns the word for metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            WireFault::Garbage => "garbage",
            WireFault::Version(_) => "version",
            WireFault::Label => "label",
        }
    }
}

/// Returns how many bytes an envelope has besides its contents.
pub(crate) fn overhead(label: &str) -> usize {
    MAGIC.len() + 3 + label.len()
}

/// Puts contents into an envelope. The label is at most [`LABEL_BYTES_MAX`] long.
pub(crate) fn seal(label: &str, kind: Kind, contents: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(overhead(label) + contents.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(label.as_bytes());
    bytes.push(match kind {
        Kind::Membership => 0,
        Kind::Updates => 1,
        Kind::State => 2,
    });
    bytes.extend_from_slice(contents);
    bytes
}

/// Opens an envelope of the cluster `label`.
///
/// # Errors
///
/// When it is none, or not for this cluster.
pub(crate) fn open<'a>(label: &str, bytes: &'a [u8]) -> Result<(Kind, &'a [u8]), WireFault> {
    let garbage = WireFault::Garbage;
    let bytes = bytes.strip_prefix(&MAGIC).ok_or(garbage)?;
    let (&version, bytes) = bytes.split_first().ok_or(garbage)?;
    if version != VERSION {
        return Err(WireFault::Version(version));
    }
    let (&length, bytes) = bytes.split_first().ok_or(garbage)?;
    let (its_label, bytes) = bytes.split_at_checked(length.into()).ok_or(garbage)?;
    if its_label != label.as_bytes() {
        return Err(WireFault::Label);
    }
    let (&kind, contents) = bytes.split_first().ok_or(garbage)?;
    let kind = match kind {
        0 => Kind::Membership,
        1 => Kind::Updates,
        2 => Kind::State,
        _ => return Err(garbage),
    };
    Ok((kind, contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_opened_by_their_own_cluster_only() {
        for kind in [Kind::Membership, Kind::Updates, Kind::State] {
            let bytes = seal("prod", kind, b"x");
            assert_eq!(bytes.len(), overhead("prod") + 1);
            assert_eq!(open("prod", &bytes), Ok((kind, &b"x"[..])));
            assert_eq!(open("", &bytes), Err(WireFault::Label));
            assert_eq!(open("pro", &bytes), Err(WireFault::Label));
        }
        let mut newer = seal("", Kind::State, b"");
        newer[2] = 9;
        assert_eq!(open("", &newer), Err(WireFault::Version(9)));
        assert_eq!(open("", &newer[..2]), Err(WireFault::Garbage));
        assert_eq!(open("", b"GET / HTTP/1.1"), Err(WireFault::Garbage));
    }
}
