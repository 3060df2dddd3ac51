//! What the requests of this crate share beyond the wire format itself.

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// They are no message of the expected type.
    #[error(transparent)]
    Malformed(#[from] model::protobuf::WireError),
    /// One series has more than one request may bring.
    #[error("more than {0} samples, histograms or exemplars of one series in one request")]
    TooMany(usize),
    /// More symbols than are taken.
    #[error("more than {0} symbols")]
    Symbols(usize),
}

/// Where the fields of one kind are in a message.
#[derive(Debug)]
pub(crate) struct Run {
    begin: usize,
    end: usize,
    /// Nothing else stands between the first and the last.
    pub(crate) is_whole: bool,
}

impl Run {
    /// Returns the run without fields.
    pub(crate) fn new() -> Self {
        Run {
            begin: 0,
            end: 0,
            is_whole: true,
        }
    }

    /// Adds the field that stands at `begin..end`.
    #[inline]
    pub(crate) fn add(&mut self, begin: usize, end: usize) {
        if self.end == 0 {
            self.begin = begin;
        } else {
            self.is_whole &= begin == self.end;
        }
        self.end = end;
    }

    /// Returns the part of `message` in which the fields are: the whole where other fields stand between them.
    #[inline]
    pub(crate) fn of<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        if self.is_whole {
            &message[self.begin..self.end]
        } else {
            message
        }
    }
}
