//! Points of delta temporality, added up: what each series counted so far.
//!
//! A stream is known by its resource, scope, metric and attributes, and has the sum of what came of it, from its first point on.
//! A point that begins before the first did, or is not later than the last one, is dropped: it would be counted twice. A stream
//! without points for [`STALE_MS`] is forgotten, and starts again from zero.
//!
//! Source: [the data model of OpenTelemetry](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums-delta-to-cumulative);
//! the rules and the five minutes are those of its delta-to-cumulative processor, which Prometheus uses.

use hashbrown::HashMap;
use metrics::{Counter, Gauge, Registry};
use parking_lot::Mutex;

use super::histogram::{Explicit, Exponential};
use crate::write::key::{KeyHasher, SeriesKey};

/// How long a stream without points is remembered, in milliseconds.
const STALE_MS: i64 = 5 * 60 * 1_000;

/// How often what is to be forgotten is looked for, in milliseconds.
const SWEEP_MS: i64 = 60 * 1_000;

/// Most bytes that all streams may have together.
pub const STREAMS_BYTES_MAX: usize = 256 << 20;

/// What a stream has beside buckets: its entry in the table, which is a third empty.
const STREAM_BYTES: usize = (size_of::<SeriesKey>() + size_of::<Stream>()) * 3 / 2;

/// What a stream counted, in one interval or so far.
#[derive(Clone, Debug)]
pub(super) enum Total {
    Integer(i64),
    Double(f64),
    Explicit(Explicit),
    Exponential(Exponential),
}

impl Total {
    /// Returns the number of a sum.
    pub(super) fn number(&self) -> f64 {
        match self {
            Total::Integer(number) => *number as f64,
            Total::Double(number) => *number,
            Total::Explicit(_) | Total::Exponential(_) => 0.0,
        }
    }

    fn add(&mut self, delta: Total) -> Result<(), Dropped> {
        match (&mut *self, delta) {
            (Total::Integer(sum), Total::Integer(more)) => *sum = sum.saturating_add(more),
            (Total::Explicit(sum), Total::Explicit(more)) => sum.add(more),
            (Total::Exponential(sum), Total::Exponential(more)) => {
                sum.add(more).map_err(Dropped::Buckets)?;
            }
            (
                Total::Integer(_) | Total::Double(_),
                more @ (Total::Integer(_) | Total::Double(_)),
            ) => {
                *self = Total::Double(self.number() + more.number());
            }
            // A stream is of one kind of metric, so this does not come about.
            (_, delta) => *self = delta,
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match self {
            Total::Integer(_) | Total::Double(_) => 0,
            Total::Explicit(histogram) => histogram.bytes(),
            Total::Exponential(histogram) => histogram.bytes(),
        }
    }
}

/// Why a point was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Dropped {
    #[error("the point begins before its series did; is it sent by several processes?")]
    OlderStart,
    #[error("the point is not later than the last one of its series")]
    OutOfOrder,
    #[error("the series of delta temporality have more than {STREAMS_BYTES_MAX} bytes together")]
    Full,
    #[error("{0}")]
    Buckets(String),
}

impl Dropped {
    fn reason(&self) -> &'static str {
        match self {
            Dropped::OlderStart => "older_start",
            Dropped::OutOfOrder => "out_of_order",
            Dropped::Full => "full",
            Dropped::Buckets(_) => "buckets",
        }
    }
}

struct Stream {
    /// Nanoseconds since the epoch.
    start: u64,
    last: u64,
    /// When its last point came, in milliseconds since the epoch.
    seen_ms: i64,
    total: Total,
}

impl Stream {
    fn is_stale(&self, now_ms: i64) -> bool {
        self.seen_ms.saturating_add(STALE_MS) < now_ms
    }
}

#[derive(Default)]
struct Streams {
    map: HashMap<SeriesKey, Stream>,
    bytes: usize,
    swept_ms: i64,
}

impl Streams {
    fn remove(&mut self, key: SeriesKey) {
        if let Some(stream) = self.map.remove(&key) {
            self.bytes -= STREAM_BYTES + stream.total.bytes();
        }
    }
}

/// The sums of all streams.
pub(super) struct Totals {
    hasher: KeyHasher,
    streams: Mutex<Streams>,
    bytes_max: usize,
    tracked: Gauge,
    dropped: [Counter; 4],
}

/// The reasons in the order of the counters.
const REASONS: [&str; 4] = ["older_start", "out_of_order", "full", "buckets"];

impl Totals {
    pub(super) fn new(registry: &Registry) -> Self {
        let dropped = registry.counter_vec(
            "hearth_otlp_delta_points_dropped_total",
            "Points of delta temporality that were not added to the sum of their series.",
            &["reason"],
        );
        Totals {
            hasher: KeyHasher::new(),
            streams: Mutex::default(),
            bytes_max: STREAMS_BYTES_MAX,
            tracked: registry.gauge(
                "hearth_otlp_delta_series",
                "Series of delta temporality whose sum is remembered.",
            ),
            dropped: REASONS.map(|reason| dropped.with(&[reason])),
        }
    }

    /// Returns the key of what identifies a stream.
    pub(super) fn key(&self, identity: &[u8]) -> SeriesKey {
        self.hasher.key(identity)
    }

    /// Adds a point to its stream and returns the sum, and since when it counts: nanoseconds since the epoch.
    ///
    /// * `start`, `t`: when the point begins and ends, nanoseconds since the epoch.
    ///
    /// # Errors
    ///
    /// When it is dropped, which is counted.
    pub(super) fn add(
        &self,
        key: SeriesKey,
        (start, t): (u64, u64),
        mut delta: Total,
        now_ms: i64,
    ) -> Result<(Total, u64), Dropped> {
        let fitted = match &mut delta {
            Total::Exponential(histogram) => histogram.fit().map_err(Dropped::Buckets),
            _ => Ok(()),
        };
        let streams = &mut *self.streams.lock();
        let outcome = fitted.and_then(|()| self.add_to(streams, key, (start, t), delta, now_ms));
        self.tracked.set(streams.map.len() as f64);
        if let Err(dropped) = &outcome {
            let counters = REASONS.iter().zip(&self.dropped);
            let mut counters = counters.filter(|(reason, _)| **reason == dropped.reason());
            counters
                .next()
                .into_iter()
                .for_each(|(_, counter)| counter.inc());
        }
        outcome
    }

    fn add_to(
        &self,
        streams: &mut Streams,
        key: SeriesKey,
        (start, t): (u64, u64),
        delta: Total,
        now_ms: i64,
    ) -> Result<(Total, u64), Dropped> {
        if streams
            .map
            .get(&key)
            .is_some_and(|stream| stream.is_stale(now_ms))
        {
            streams.remove(key);
        }
        let Some(stream) = streams.map.get_mut(&key) else {
            let bytes = STREAM_BYTES + delta.bytes();
            if self.bytes_max < streams.bytes + bytes {
                return Err(Dropped::Full);
            }
            streams.bytes += bytes;
            let total = delta.clone();
            let stream = Stream {
                start,
                last: t,
                seen_ms: now_ms,
                total: delta,
            };
            streams.map.insert(key, stream);
            return Ok((total, start));
        };
        if start < stream.start {
            return Err(Dropped::OlderStart);
        }
        if t <= stream.last {
            return Err(Dropped::OutOfOrder);
        }
        let before = stream.total.bytes();
        // A sum has at most the buckets of both.
        if self.bytes_max < streams.bytes + delta.bytes() && 0 < delta.bytes() {
            return Err(Dropped::Full);
        }
        stream.total.add(delta)?;
        (stream.last, stream.seen_ms) = (t, now_ms);
        let total = stream.total.clone();
        let start = stream.start;
        streams.bytes = streams.bytes - before + total.bytes();
        Ok((total, start))
    }

    /// Forgets a stream that has ended.
    pub(super) fn end(&self, key: SeriesKey) {
        let streams = &mut *self.streams.lock();
        streams.remove(key);
        self.tracked.set(streams.map.len() as f64);
    }

    /// Forgets streams without points for long, at most once a minute.
    pub(super) fn sweep(&self, now_ms: i64) {
        let streams = &mut *self.streams.lock();
        if now_ms < streams.swept_ms.saturating_add(SWEEP_MS) {
            return;
        }
        streams.swept_ms = now_ms;
        let mut bytes = 0;
        streams.map.retain(|_, stream| {
            let stays = !stream.is_stale(now_ms);
            if stays {
                bytes += STREAM_BYTES + stream.total.bytes();
            }
            stays
        });
        streams.map.shrink_to(streams.map.len() * 2);
        streams.bytes = bytes;
        self.tracked.set(streams.map.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals() -> (Totals, SeriesKey) {
        let totals = Totals::new(&Registry::new());
        let key = totals.key(b"one");
        (totals, key)
    }

    fn add(totals: &Totals, name: &[u8], times: (u64, u64), now_ms: i64) -> Result<f64, Dropped> {
        let sum = totals.add(totals.key(name), times, Total::Integer(5), now_ms);
        sum.map(|(total, _)| total.number())
    }

    #[test]
    fn points_are_added_in_order() {
        let (totals, _) = totals();
        let add = |times| add(&totals, b"one", times, 0);
        assert_eq!(add((100, 200)), Ok(5.0));
        assert_eq!(add((200, 300)), Ok(10.0));
        assert_eq!(add((200, 300)), Err(Dropped::OutOfOrder));
        assert_eq!(add((100, 250)), Err(Dropped::OutOfOrder));
        assert_eq!(add((99, 400)), Err(Dropped::OlderStart));
        // A gap is no reason.
        assert_eq!(add((350, 400)), Ok(15.0));
        let counted: Vec<f64> = totals.dropped.iter().map(Counter::value).collect();
        assert_eq!(counted, [1.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn integers_stay_exact_until_a_double_comes() {
        let (totals, key) = totals();
        let add = |t, delta| totals.add(key, (t - 1, t), delta, 0).unwrap();
        add(1, Total::Integer(1 << 53));
        assert!(
            matches!(add(2, Total::Integer(1)), (Total::Integer(sum), 0) if sum == (1 << 53) + 1)
        );
        assert!(matches!(add(3, Total::Double(0.5)), (Total::Double(_), 0)));
    }

    #[test]
    fn streams_are_forgotten() {
        let (totals, _) = totals();
        let add = |name: &[u8], t, now_ms| add(&totals, name, (0, t), now_ms).unwrap();
        add(b"one", 1, 0);
        add(b"two", 1, 1);
        totals.sweep(STALE_MS + 1);
        assert_eq!(totals.tracked.value(), 1.0);
        // Stale by now, though nobody has looked.
        assert_eq!(add(b"two", 2, STALE_MS + 2), 5.0);
        assert_eq!(add(b"two", 3, STALE_MS + 3), 10.0);
        totals.end(totals.key(b"two"));
        assert_eq!(add(b"two", 4, STALE_MS + 4), 5.0);
        assert_eq!(totals.streams.lock().bytes, STREAM_BYTES);
    }

    #[test]
    fn streams_are_bounded() {
        let (mut totals, _) = totals();
        totals.bytes_max = 2 * STREAM_BYTES;
        assert!(add(&totals, b"one", (0, 1), 0).is_ok());
        assert!(add(&totals, b"two", (0, 1), 0).is_ok());
        assert_eq!(add(&totals, b"three", (0, 1), 0), Err(Dropped::Full));
        // Those that are there go on.
        assert_eq!(add(&totals, b"one", (0, 2), 0), Ok(10.0));
        let wide = Explicit {
            counts: vec![1],
            ..Explicit::default()
        };
        let wide = totals.add(totals.key(b"one"), (0, 3), Total::Explicit(wide), 0);
        assert_eq!(wide.err(), Some(Dropped::Full));
        totals.end(totals.key(b"one"));
        assert!(add(&totals, b"three", (0, 1), 0).is_ok());
    }
}
