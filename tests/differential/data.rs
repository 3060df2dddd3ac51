//! What both servers are asked about: a fleet's worth of everything that PromQL treats in a way of its own.
//!
//! Values are small multiples of 1/8 wherever they can be, so that a sum is exact in any order.

use std::io;

use super::support::http::Connection;
use super::support::protobuf::{Message, zigzag};

/// The first tick, milliseconds since the epoch: a whole minute, so that windows begin and end at samples.
pub(crate) const START: i64 = 1_600_000_020_000;
/// Between two ticks, milliseconds.
pub(crate) const TICK: i64 = 15_000;
/// How many ticks there are.
pub(crate) const TICKS: i64 = 100;
/// The NaN that ends a series.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// What is written.
#[derive(Clone, Copy)]
pub(crate) struct Data {
    /// Milliseconds that all samples come late.
    pub(crate) shift: i64,
    /// Whether there are native histograms and UTF-8 names.
    pub(crate) is_modern: bool,
}

/// One series' name and labels, and what it has at each tick.
struct Series {
    labels: Vec<(&'static str, String)>,
    sample: Box<dyn Fn(i64) -> Option<Sample>>,
}

enum Sample {
    Float(f64),
    Histogram(Histogram),
}

struct Histogram {
    /// `None`: custom bounds.
    schema: Option<i64>,
    is_float: bool,
    is_gauge: bool,
    zero: i64,
    offset: i64,
    positive: Vec<i64>,
    negative: Vec<i64>,
    bounds: Vec<f64>,
}

impl Data {
    /// Writes everything by remote write 1.0, a request for each tick.
    ///
    /// A first request, twenty minutes before, has all series once, in the order of their labels. Prometheus reads
    /// series in the order in which they came, and where samples tie, that is what `topk` goes by.
    pub(crate) fn write(self, address: &str) -> io::Result<()> {
        let mut series = floats();
        if self.is_modern {
            series.extend(modern());
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let mut connection = Connection::open(address)?;
        for tick in std::iter::once(-80).chain(0..TICKS) {
            let mut request = Message::default();
            for series in &series {
                let sample = match (series.sample)(tick.max(0)) {
                    None if tick < 0 => Some(Sample::Float(1.0)),
                    sample => sample,
                };
                if let Some(sample) = sample {
                    let t = START + self.shift + tick * TICK;
                    request.message(1, &time_series(&series.labels, &sample, t));
                }
            }
            let body = snap::raw::Encoder::new().compress_vec(&request.0);
            let body = body.map_err(io::Error::other)?;
            connection.post("/api/v1/write", HEADERS, &body)?;
            let reply = connection.receive()?;
            assert!(
                reply.status / 100 == 2,
                "{}: {}",
                reply.status,
                reply.text()
            );
        }
        Ok(())
    }
}

const HEADERS: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";

fn series(
    name: &'static str,
    labels: &[(&'static str, &str)],
    sample: impl Fn(i64) -> Option<Sample> + 'static,
) -> Series {
    let labels = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let mut labels: Vec<_> = std::iter::once(("__name__", name.to_owned()))
        .chain(labels)
        .collect();
    labels.sort();
    Series {
        labels,
        sample: Box::new(sample),
    }
}

fn float(value: f64) -> Option<Sample> {
    Some(Sample::Float(value))
}

fn pick<T: Copy>(list: &[T], index: i64) -> T {
    let index = usize::try_from(index).expect("ticks are not negative");
    list[index % list.len()]
}

/// A counter that is reset every `life` ticks.
fn counter(tick: i64, step: i64, life: i64) -> f64 {
    (tick % life * step) as f64 + (tick * tick % 7) as f64 / 8.0
}

fn floats() -> Vec<Series> {
    let mut all = Vec::new();
    for (j, job) in ["api", "db", "web"].into_iter().enumerate() {
        let j = j as i64;
        for (i, instance) in ["a:1", "b:1"].into_iter().enumerate() {
            let i = i as i64;
            let here = [("instance", instance), ("job", job)];
            for (c, code) in ["200", "500"].into_iter().enumerate() {
                let c = c as i64;
                let labels = [("code", code), here[0], here[1]];
                all.push(series("requests_total", &labels, move |tick| {
                    // Gaps of one series or another, shorter and longer than the lookback.
                    let gap = (20 + 9 * j..20 + 13 * j + 20 * i).contains(&tick);
                    (!gap || c == 0)
                        .then(|| Sample::Float(counter(tick, 3 + j + 2 * c, 37 + 11 * i)))
                }));
            }
            all.push(series("temperature", &here, move |tick| {
                float(((tick * (7 + j) + 13 * i) % 41 - 12) as f64 / 8.0)
            }));
            all.push(series("limit", &here, move |_| {
                float((2 * j + i) as f64 / 2.0)
            }));
            let version = pick(&["1.9", "1.10", "2"], i + j);
            let info = [here[0], here[1], ("version", version)];
            all.push(series("build_info", &info, |_| float(1.0)));
            let zone = [here[0], here[1], ("zone", pick(&["eu", "us"], i))];
            all.push(series("target_info", &zone, |_| float(1.0)));
        }
        all.push(series("target", &[("job", job)], move |tick| {
            float((j - 1) as f64 + (tick / 10) as f64)
        }));
        for (b, le) in ["0.1", "0.5", "1", "2.5", "+Inf"].into_iter().enumerate() {
            let b = b as i64 + 1;
            let labels = [("job", job), ("le", le)];
            all.push(series("latency_bucket", &labels, move |tick| {
                float((tick % 60 * b * (2 + j)) as f64)
            }));
            if job != "web" {
                let le = [
                    labels[0],
                    ("le", if job == "db" && b == 5 { "big" } else { le }),
                ];
                all.push(series("broken_bucket", &le, move |tick| {
                    float(((tick + 5) * (b * 5 % 4 + b / 2)) as f64)
                }));
            }
        }
        all.push(series("latency_count", &[("job", job)], move |tick| {
            float((tick % 60 * 5 * (2 + j)) as f64)
        }));
        all.push(series("latency_sum", &[("job", job)], move |tick| {
            float((tick % 60 * (9 + 4 * j)) as f64 / 4.0)
        }));
        // Ends and comes back.
        all.push(series("stale", &[("job", job)], move |tick| {
            match tick % (10 + 7 * j) {
                phase if phase < 5 => float(phase as f64),
                5 => float(f64::from_bits(STALE)),
                _ => None,
            }
        }));
    }
    let special = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        1e-300,
        f64::MAX,
        1e21,
        -1e-7,
        0.125,
    ];
    for (n, kind) in ["nan", "inf", "inf_minus", "mixed"].into_iter().enumerate() {
        all.push(series("weird", &[("kind", kind)], move |tick| {
            if n < 3 && tick % 2 == 0 {
                return float(special[n]);
            }
            float(pick(&special, tick * 7 + 3 * n as i64))
        }));
    }
    for (n, which) in ["x", "y"].into_iter().enumerate() {
        let labels = [("which", which)];
        // Less often than the lookback reaches.
        all.push(series("sparse", &labels, move |tick| {
            (tick % 24 == 3 * n as i64).then_some(Sample::Float(tick as f64))
        }));
        all.push(series("once", &labels, move |tick| {
            (tick == 50 + n as i64).then_some(Sample::Float(2.5))
        }));
        all.push(series("date", &labels, move |tick| {
            float((951_700_000 + tick * 90_000 - 900_000_000 * n as i64) as f64)
        }));
    }
    all
}

fn modern() -> Vec<Series> {
    let mut all = vec![
        series("utf8.name", &[("label.dot", "é")], |tick| {
            float(tick as f64)
        }),
        series("utf8.name", &[("label.dot", "b\"\\\n")], |tick| {
            float(-tick as f64)
        }),
    ];
    for (j, job) in ["api", "db"].into_iter().enumerate() {
        let j = j as i64;
        let labels = [("job", job)];
        let counts = move |tick: i64, least: i64| {
            let age = tick % (40 + 9 * j);
            // None is empty for long, as 3.5 takes histograms for different of which one has an empty bucket.
            // Enough that no rate goes back to zero, where those of histograms stop since 3.6.
            vec![age, 2 * age, least + age / 3, 7, age / 2]
        };
        let exponential = move |tick: i64, is_float, is_gauge| {
            Some(Sample::Histogram(Histogram {
                // Coarser later on, from where it is reset.
                schema: Some(if 80 + 18 * j <= tick { j } else { j + 1 }),
                is_float,
                is_gauge,
                zero: tick % 40 / 2,
                offset: -2 + j,
                positive: counts(tick, 300),
                negative: if j == 0 {
                    vec![tick % 40, 4]
                } else {
                    Vec::new()
                },
                bounds: Vec::new(),
            }))
        };
        let custom = move |tick: i64, least: i64| {
            Some(Sample::Histogram(Histogram {
                schema: None,
                is_float: false,
                is_gauge: false,
                zero: 0,
                offset: 0,
                positive: counts(tick, least),
                negative: Vec::new(),
                // The same for all: since 3.6 different ones are reconciled.
                bounds: vec![0.1, 1.0, 2.5, 5.0],
            }))
        };
        all.push(series("native", &labels, move |t| {
            exponential(t, false, false)
        }));
        all.push(series("native_float", &labels, move |t| {
            exponential(t, true, false)
        }));
        all.push(series("native_gauge", &labels, move |t| {
            exponential(t, true, true)
        }));
        all.push(series("custom", &labels, move |t| custom(t, 200)));
        all.push(series("blend", &labels, move |tick| {
            match (tick + 3 * j) / 6 % 3 {
                0 => float(counter(tick, 2, 50)),
                1 => exponential(tick, false, false),
                _ if j == 1 => custom(tick, 0),
                _ => exponential(tick, true, false),
            }
        }));
    }
    all
}

fn time_series(labels: &[(&'static str, String)], sample: &Sample, t: i64) -> Message {
    let mut message = Message::default();
    for (name, value) in labels {
        let mut label = Message::default();
        label.bytes(1, name.as_bytes());
        label.bytes(2, value.as_bytes());
        message.message(1, &label);
    }
    match sample {
        Sample::Float(value) => {
            let mut float = Message::default();
            float.double(1, *value);
            float.varint(2, t.cast_unsigned());
            message.message(2, &float);
        }
        Sample::Histogram(histogram) => message.message(4, &histogram.encode(t)),
    }
    message
}

/// Appends a count, as an integer or as a float.
type Put = fn(&mut Message, u64, i64);

impl Histogram {
    fn encode(&self, t: i64) -> Message {
        let mut message = Message::default();
        let count = self.zero + self.positive.iter().chain(&self.negative).sum::<i64>();
        let (integer, float): (Put, Put) = (
            |message, field, value| message.varint(field, value.cast_unsigned()),
            |message, field, value| message.double(field, value as f64),
        );
        let put = if self.is_float { float } else { integer };
        let f = u64::from(self.is_float);
        put(&mut message, 1 + f, count);
        message.double(3, count as f64 / 4.0 - 1.0);
        message.varint(4, zigzag(self.schema.unwrap_or(-53)));
        if self.schema.is_some() {
            message.double(5, 0.001);
            put(&mut message, 6 + f, self.zero);
        }
        // Ascending fields: all of negative, then all of positive.
        for (spans, counts) in [(8, &self.negative), (11, &self.positive)] {
            if counts.is_empty() {
                continue;
            }
            let mut span = Message::default();
            span.varint(1, zigzag(self.offset));
            span.varint(2, counts.len() as u64);
            message.message(spans, &span);
            let mut before = 0;
            for &count in counts {
                if self.is_float {
                    message.double(spans + 2, count as f64);
                } else {
                    message.varint(spans + 1, zigzag(count - before));
                }
                before = count;
            }
        }
        message.varint(14, if self.is_gauge { 3 } else { 0 });
        message.varint(15, t.cast_unsigned());
        for &bound in &self.bounds {
            message.double(16, bound);
        }
        message
    }
}
