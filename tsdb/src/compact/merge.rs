//! Several sources as one: series merged by labels, their chunks by time.
//!
//! Chunks that overlap no other are copied byte for byte; those that do are decoded, merged and encoded again.

use model::Labels;
use model::storage::ReadError;

use super::encode::{self, ChunkLimits, EncodedChunk};
use super::source::{SeriesSource, SourceChunk};
use crate::chunk::{ChunkError, Encoding};

/// How chunks are made of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeOptions {
    /// How large chunks get that are made of overlapping ones.
    pub limits: ChunkLimits,
    /// Whether neighbours that fit into the limits together become one chunk (floats in the XOR encoding only).
    pub joins_neighbours: bool,
}

/// The union of several sources. Of samples at one time that of the earlier source counts.
pub struct MergeSource<'s> {
    members: Vec<Member<'s>>,
    /// Which members have the current series.
    current: Vec<usize>,
    pieces: Vec<Piece>,
    options: MergeOptions,
}

struct Member<'s> {
    source: Box<dyn SeriesSource + 's>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    /// Its series has been given, or it has not begun.
    Spent,
    /// It has a series.
    Ready,
    Over,
}

/// A chunk of the merged series.
enum Piece {
    Copied(ChunkAt),
    Encoded(EncodedChunk),
}

/// A chunk of a member's current series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChunkAt {
    member: usize,
    index: usize,
}

impl<'s> MergeSource<'s> {
    /// Returns the union of `sources`.
    pub fn new(sources: Vec<Box<dyn SeriesSource + 's>>, options: MergeOptions) -> Self {
        let member = |source| Member {
            source,
            state: State::Spent,
        };
        MergeSource {
            members: sources.into_iter().map(member).collect(),
            current: Vec::new(),
            pieces: Vec::new(),
            options,
        }
    }

    fn at(&self, at: ChunkAt) -> SourceChunk<'_> {
        self.members[at.member].source.chunk(at.index)
    }

    /// All chunks of the current series, in runs that overlap.
    fn overlapping_runs(&self) -> Vec<Vec<ChunkAt>> {
        let mut all = Vec::new();
        for &member in &self.current {
            let count = self.members[member].source.chunk_count();
            all.extend((0..count).map(|index| ChunkAt { member, index }));
        }
        all.sort_by_key(|&at| {
            let chunk = self.at(at);
            (chunk.mint, chunk.maxt)
        });
        let mut runs: Vec<Vec<ChunkAt>> = Vec::new();
        let mut maxt = i64::MIN;
        for at in all {
            let chunk = self.at(at);
            match runs.last_mut() {
                Some(run) if chunk.mint <= maxt => run.push(at),
                _ => runs.push(vec![at]),
            }
            maxt = maxt.max(chunk.maxt);
        }
        runs
    }

    fn merge_run(&self, mut run: Vec<ChunkAt>) -> Result<Vec<Piece>, ChunkError> {
        // The same chunk twice is common: blocks that were restored or uploaded twice.
        run.sort_by_key(|at| (at.member, at.index));
        let mut distinct: Vec<ChunkAt> = Vec::new();
        for at in run {
            if distinct.iter().all(|&other| self.at(other) != self.at(at)) {
                distinct.push(at);
            }
        }
        if let [only] = distinct[..] {
            return Ok(vec![Piece::Copied(only)]);
        }
        let chunks: Vec<SourceChunk<'_>> = distinct.iter().map(|&at| self.at(at)).collect();
        let merged = encode::merge(&chunks, self.options.limits)?;
        Ok(merged.into_iter().map(Piece::Encoded).collect())
    }

    /// A chunk that does not follow the one it was written after says nothing of resets any more.
    fn forget_resets(&self, pieces: &mut [Piece]) {
        let mut last = None;
        for (i, piece) in pieces.iter_mut().enumerate() {
            let Piece::Copied(at) = *piece else {
                last = None;
                continue;
            };
            let before = at.index.checked_sub(1).map(|index| ChunkAt { index, ..at });
            let is_in_place = if i == 0 {
                at.index == 0
            } else {
                last == before && last.is_some()
            };
            if !is_in_place && let Some(changed) = encode::with_unknown_reset(self.at(at)) {
                *piece = Piece::Encoded(changed);
            }
            last = Some(at);
        }
    }

    /// Joins neighbours that fit into one chunk together.
    fn join(&self, pieces: Vec<Piece>) -> Result<Vec<Piece>, ChunkError> {
        let mut joined = Vec::with_capacity(pieces.len());
        let mut run: Vec<Piece> = Vec::new();
        let (mut samples, mut bytes) = (0, 0);
        for piece in pieces {
            let chunk = self.view(&piece);
            let (more, len) = (usize::from(encode::count(chunk)?), chunk.bytes.len());
            let is_joinable = chunk.encoding == Encoding::Xor;
            let limits = self.options.limits;
            let fits = samples + more <= usize::from(limits.samples) && bytes + len <= limits.bytes;
            if !is_joinable || !fits {
                self.finish_run(&mut run, &mut joined)?;
                (samples, bytes) = (0, 0);
            }
            if is_joinable {
                run.push(piece);
                (samples, bytes) = (samples + more, bytes + len);
            } else {
                joined.push(piece);
            }
        }
        self.finish_run(&mut run, &mut joined)?;
        Ok(joined)
    }

    fn finish_run(&self, run: &mut Vec<Piece>, joined: &mut Vec<Piece>) -> Result<(), ChunkError> {
        if run.len() < 2 {
            joined.append(run);
            return Ok(());
        }
        let chunks: Vec<SourceChunk<'_>> = run.iter().map(|piece| self.view(piece)).collect();
        let whole = encode::concatenate(&chunks)?;
        joined.extend(whole.map(Piece::Encoded));
        run.clear();
        Ok(())
    }

    fn view<'a>(&'a self, piece: &'a Piece) -> SourceChunk<'a> {
        match piece {
            Piece::Copied(at) => self.at(*at),
            Piece::Encoded(chunk) => chunk.as_source(),
        }
    }

    fn merge_chunks(&self) -> Result<Vec<Piece>, ChunkError> {
        let mut pieces = Vec::new();
        for run in self.overlapping_runs() {
            match run[..] {
                [only] => pieces.push(Piece::Copied(only)),
                _ => pieces.extend(self.merge_run(run)?),
            }
        }
        self.forget_resets(&mut pieces);
        if self.options.joins_neighbours {
            pieces = self.join(pieces)?;
        }
        Ok(pieces)
    }
}

impl SeriesSource for MergeSource<'_> {
    fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
        let streams = self
            .members
            .iter()
            .map(|member| member.source.symbols().peekable());
        let mut streams: Vec<_> = streams.collect();
        Box::new(std::iter::from_fn(move || {
            for stream in &mut streams {
                if let Some(error) = stream.next_if(Result::is_err) {
                    return Some(error);
                }
            }
            let heads = streams
                .iter_mut()
                .filter_map(|stream| stream.peek()?.as_ref().ok().copied());
            let least = heads.min()?;
            for stream in &mut streams {
                let _ = stream.next_if(|symbol| matches!(symbol, Ok(text) if *text == least));
            }
            Some(Ok(least))
        }))
    }

    fn advance(&mut self) -> Result<bool, ReadError> {
        self.pieces.clear();
        self.current.clear();
        for member in &mut self.members {
            if member.state == State::Spent {
                let is_ready = member.source.advance()?;
                member.state = if is_ready { State::Ready } else { State::Over };
            }
        }
        let ready = |member: &&Member<'_>| member.state == State::Ready;
        let labels = |member: &Member<'_>| member.source.labels().clone();
        let Some(least) = self.members.iter().filter(ready).map(labels).min() else {
            return Ok(false);
        };
        for (i, member) in self.members.iter_mut().enumerate() {
            if member.state == State::Ready && *member.source.labels() == least {
                member.state = State::Spent;
                self.current.push(i);
            }
        }
        self.pieces = self.merge_chunks().map_err(|error| ReadError::Corrupt {
            path: "merged blocks".into(),
            what: format!("{error} (a chunk of {least})"),
        })?;
        Ok(true)
    }

    fn labels(&self) -> &Labels {
        self.members[self.current[0]].source.labels()
    }

    fn chunk_count(&self) -> usize {
        self.pieces.len()
    }

    fn chunk(&self, index: usize) -> SourceChunk<'_> {
        self.view(&self.pieces[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{among, model, read, write};
    use crate::compact::source::testing::{Model, VecSource, encode};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SMALL: MergeOptions = MergeOptions {
        limits: ChunkLimits::SMALL,
        joins_neighbours: false,
    };
    const LARGE: MergeOptions = MergeOptions {
        limits: ChunkLimits::LARGE,
        joins_neighbours: true,
    };

    fn one(samples: impl IntoIterator<Item = (i64, f64)>) -> Model {
        let labels = Labels::from_pairs([("a", "b")]);
        BTreeMap::from([(labels, samples.into_iter().collect())])
    }

    /// The chunks of the only series of a merge.
    fn merged(sources: &[(Model, usize)], options: MergeOptions) -> Vec<EncodedChunk> {
        let boxed = sources
            .iter()
            .map(|(model, n)| Box::new(VecSource::new(model, *n)) as Box<dyn SeriesSource>);
        let mut merge = MergeSource::new(boxed.collect(), options);
        assert!(merge.advance().unwrap());
        let chunks = (0..merge.chunk_count()).map(|i| {
            let SourceChunk {
                mint,
                maxt,
                encoding,
                bytes,
            } = merge.chunk(i);
            let bytes = bytes.to_vec();
            EncodedChunk {
                mint,
                maxt,
                encoding,
                bytes,
            }
        });
        chunks.collect()
    }

    #[test]
    fn apart_is_copied_and_overlapping_is_merged_earlier_first() {
        let a = one([(10, 1.0), (20, 2.0), (30, 3.0)]);
        let b = one([(25, 9.0), (30, 9.0), (40, 4.0)]);
        let chunks = merged(&[(a.clone(), 2), (b.clone(), 2)], SMALL);
        let expected = [
            &[(10, 1.0), (20, 2.0)][..],
            &[(25, 9.0), (30, 3.0)],
            &[(40, 4.0)],
        ]
        .map(encode);
        assert_eq!(chunks, expected);
        // The same chunk twice is one.
        assert_eq!(
            merged(&[(a.clone(), 2), (a.clone(), 2)], SMALL),
            merged(&[(a, 2)], SMALL)
        );
    }

    #[test]
    fn neighbours_are_joined_up_to_the_limit() {
        let samples = |n: i64| (0..n).map(|i| (1000 * i, 5.0));
        let chunks = merged(&[(one(samples(2400)), 120)], LARGE);
        let counts: Vec<u16> = chunks
            .iter()
            .map(|chunk| encode::count(chunk.as_source()).unwrap())
            .collect();
        assert_eq!(counts, [960, 960, 480]);
        let again: Vec<(i64, f64)> = samples(960).collect();
        assert_eq!(chunks[0], encode(&again));
    }

    #[test]
    fn a_histogram_chunk_out_of_its_place_forgets_resets() {
        let histogram = |at: i64| {
            let encoding = Encoding::Histogram;
            EncodedChunk {
                mint: at,
                maxt: at + 1,
                encoding,
                bytes: vec![0, 1, 0b0100_0000, 7],
            }
        };
        let flags = |lists: &[&[i64]]| {
            let source = |list: &&[i64]| {
                Box::new(Fixed {
                    chunks: list.iter().map(|&at| histogram(at)).collect(),
                    next: 0,
                    labels: Labels::empty(),
                }) as Box<dyn SeriesSource>
            };
            let mut merge = MergeSource::new(lists.iter().map(source).collect(), LARGE);
            assert!(merge.advance().unwrap());
            (0..merge.chunk_count())
                .map(|i| merge.chunk(i).bytes[2] >> 6)
                .collect::<Vec<_>>()
        };
        assert_eq!(flags(&[&[0, 10, 20]]), [1, 1, 1]);
        assert_eq!(flags(&[&[0, 20], &[10, 30, 40]]), [1, 0, 0, 0, 1]);
    }

    struct Fixed {
        chunks: Vec<EncodedChunk>,
        labels: Labels,
        next: usize,
    }

    impl SeriesSource for Fixed {
        fn symbols(&self) -> Box<dyn Iterator<Item = Result<&str, ReadError>> + '_> {
            Box::new(std::iter::empty())
        }
        fn advance(&mut self) -> Result<bool, ReadError> {
            self.next += 1;
            Ok(self.next == 1)
        }
        fn labels(&self) -> &Labels {
            &self.labels
        }
        fn chunk_count(&self) -> usize {
            self.chunks.len()
        }
        fn chunk(&self, index: usize) -> SourceChunk<'_> {
            self.chunks[index].as_source()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_maps(models in prop::collection::vec((model(), 1usize..20), 1..4), large: bool) {
            let dir = tempfile::tempdir().unwrap();
            let blocks: Vec<_> = (0u64..).zip(&models).filter_map(|(i, (model, n))| write(dir.path(), model, *n, i)).collect();
            let options = if large { LARGE } else { SMALL };
            let compacting = crate::compact::run::CompactOptions {
                ulid: crate::ulid::Ulid::new(100, 0), merge: Some(options), write: crate::block::tests::OPTIONS,
            };
            let meta = crate::compact::run::compact(&crate::block::tests::Unsynced, dir.path(), &blocks, compacting).unwrap();
            let mut expected = Model::new();
            for (model, _) in &models {
                for (labels, samples) in model {
                    let all = expected.entry(labels.clone()).or_default();
                    samples.iter().for_each(|(&t, &v)| { all.entry(t).or_insert(v); });
                }
            }
            let expected = among(&expected, 0, 1000, |_, _| true);
            match meta {
                None => prop_assert!(expected.is_empty()),
                Some(meta) => {
                    let path = dir.path().join(meta.ulid.to_string());
                    let block = crate::block::Block::open(std::sync::Arc::new(crate::block::tests::Unsynced), &path).unwrap();
                    prop_assert_eq!(read(&std::sync::Arc::new(block), (0, 1000), &[]), expected);
                    prop_assert_eq!(meta.compaction.level, 2);
                    prop_assert_eq!(meta.compaction.parents.len(), blocks.len());
                }
            }
        }
    }
}
