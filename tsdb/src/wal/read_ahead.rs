//! Reading segments ahead: one thread reads, verifies, decompresses and decodes samples, another takes them.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use super::record::{self, RecordKind, RecordSample};
use super::segment::{SegmentError, SegmentReader};
use crate::files::Files;

/// Samples that are handed over at once, at least: a record has a few hundred.
const SAMPLES_PER_PIECE: usize = 16 << 10;
/// Pieces that may wait; the reading thread then waits too.
const PIECES_WAITING_MAX: usize = 8;

/// A segment to be read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its file.
    pub path: PathBuf,
    /// Where to begin.
    pub offset: u64,
}

/// Something that was read, in the order of the log.
pub enum Piece {
    /// Samples of one record or more.
    Samples(Vec<RecordSample>),
    /// A record of another kind.
    Record(Vec<u8>),
    /// A record whose checksum was right and whose bytes are not: it is passed over.
    Bad(record::RecordError),
    /// The segment of this index is read to its end, or as far as it can be.
    End(usize, Result<(), SegmentError>),
}

/// Gives everything in the segments to `take`, in order, while the next is being read.
pub fn read_ahead(files: &dyn Files, sources: &[Source], mut take: impl FnMut(&Piece)) {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(PIECES_WAITING_MAX);
        let (give_back, given_back) = channel();
        scope.spawn(move || {
            let mut reading = Reading {
                sender,
                given_back,
                samples: Vec::new(),
            };
            for (index, source) in sources.iter().enumerate() {
                let outcome = reading.read(files, source);
                reading.flush();
                // Nobody takes any more: the other side has panicked.
                if reading.sender.send(Piece::End(index, outcome)).is_err() {
                    return;
                }
            }
        });
        for piece in receiver {
            take(&piece);
            if let Piece::Samples(mut samples) = piece {
                samples.clear();
                // The reading thread may be done by now.
                let _ = give_back.send(samples);
            }
        }
    });
}

struct Reading {
    sender: SyncSender<Piece>,
    given_back: Receiver<Vec<RecordSample>>,
    samples: Vec<RecordSample>,
}

impl Reading {
    fn read(&mut self, files: &dyn Files, source: &Source) -> Result<(), SegmentError> {
        let mut reader = SegmentReader::open(files, source.path.clone())?;
        reader.seek(source.offset);
        while let Some(bytes) = reader.next()? {
            match record::kind(bytes) {
                // Those with start timestamps are taken as other records are.
                RecordKind::Samples => {
                    let samples = &mut self.samples;
                    let read = record::decode_samples(bytes, |sample| samples.push(sample));
                    if let Err(error) = read {
                        self.flush();
                        self.send(Piece::Bad(error));
                    }
                    if SAMPLES_PER_PIECE <= self.samples.len() {
                        self.flush();
                    }
                }
                _ => {
                    self.flush();
                    self.send(Piece::Record(bytes.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.samples.is_empty() {
            let next = self.given_back.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut self.samples, next);
            self.send(Piece::Samples(full));
        }
    }

    fn send(&self, piece: Piece) {
        // Nobody takes any more: the other side has panicked, and this ends with the segment.
        let _ = self.sender.send(piece);
    }
}
