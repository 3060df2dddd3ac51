//! The targets: what each says at its n-th scrape, from 1.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::http::Response;
use crate::support::monitor::is_release;
use crate::support::protobuf::{Message, put_varint, zigzag};

/// What a target answers to its n-th scrape.
pub(crate) type Body = Arc<dyn Fn(usize) -> Response + Send + Sync>;

/// A target, its job, and how it is scraped.
pub(crate) struct Target {
    pub(crate) job: &'static str,
    /// More lines of the scrape config.
    pub(crate) config: &'static [&'static str],
    /// A query for the series whose exemplars are compared.
    pub(crate) exemplars: Option<&'static str>,
    /// Whether the samples of `stamped…` say their time.
    pub(crate) is_stamped: bool,
    pub(crate) body: Body,
}

const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CONVERT: &str = "convert_classic_histograms_to_nhcb: true";
const ALWAYS_CLASSIC: &str = "always_scrape_classic_histograms: true";

/// Returns the targets.
///
/// * `epoch_ms`: the time that bodies count their own times from.
pub(crate) fn targets(epoch_ms: i64) -> Vec<Target> {
    let of = |job, config, body: fn(usize) -> Response| Target {
        job,
        config,
        exemplars: None,
        is_stamped: false,
        body: Arc::new(body),
    };
    vec![
        Target {
            exemplars: Some(r#"{job="protobuf"}"#),
            ..of_time("protobuf", &[], epoch_ms, families)
        },
        of_time("protobuf_classic", &[ALWAYS_CLASSIC], epoch_ms, families),
        of_time("protobuf_convert", &[CONVERT], epoch_ms, families),
        of_time(
            "protobuf_all",
            &[CONVERT, ALWAYS_CLASSIC],
            epoch_ms,
            families,
        ),
        of_time(
            "bucket_limit",
            &["native_histogram_bucket_limit: 6"],
            epoch_ms,
            families,
        ),
        of_time(
            "bucket_limit_hit",
            &["native_histogram_bucket_limit: 1"],
            epoch_ms,
            families,
        ),
        of_time(
            "bucket_factor",
            &["native_histogram_min_bucket_factor: 1.9"],
            epoch_ms,
            families,
        ),
        of("text_convert", &[CONVERT], |n| {
            Response::text(histograms(n))
        }),
        of("text_all", &[CONVERT, ALWAYS_CLASSIC], |n| {
            Response::text(histograms(n))
        }),
        Target {
            exemplars: Some(r#"{job="openmetrics"}"#),
            ..of_time("openmetrics", &[], epoch_ms, openmetrics)
        },
        Target {
            exemplars: Some(r#"{job="openmetrics_convert",__name__="latency"}"#),
            ..of_time("openmetrics_convert", &[CONVERT], epoch_ms, openmetrics)
        },
        of_time(
            "no_timestamps",
            &["honor_timestamps: false"],
            epoch_ms,
            openmetrics,
        ),
        of_time(
            "tracked",
            &["track_timestamps_staleness: true"],
            epoch_ms,
            comes_and_goes,
        ),
        Target {
            is_stamped: false,
            ..of_time("switches", &[], epoch_ms, switches)
        },
        of("names", &[], |n| Response::text(names(n))),
        of("churn", &[], |n| {
            let lines = (0..40).map(|i| format!("churn{{id=\"{n}_{i}\"}} {i}\n"));
            Response::text(format!("stays {n}\n{}", lines.collect::<String>()))
        }),
        of("flap", &[], flap),
        of("slow", &[], |n| {
            let wait = if n.is_multiple_of(4) { 1_600 } else { 400 };
            thread::sleep(Duration::from_millis(wait));
            Response::text(format!("slow {n}\n"))
        }),
        of("big", &[], |n| {
            let lines = (0..20_000)
                .map(|i| format!("big{{id=\"{i}\",text=\"of some length\"}} {}\n", i * n));
            Response::text(lines.collect::<String>())
        }),
        of(
            "huge",
            &["scrape_interval: 2500ms", "scrape_timeout: 2500ms"],
            huge,
        ),
        of("sample_limit", &["sample_limit: 5"], |n| {
            Response::text(
                (0..3 + n % 4)
                    .map(|i| format!("limited_{i} {n}\n"))
                    .collect::<String>(),
            )
        }),
    ]
}

/// 50 MB in an optimised binary's test, less for the developer's: long comments, long label values, few series.
fn huge(n: usize) -> Response {
    let comment = "x".repeat(if is_release() { 24_000 } else { 2_400 });
    let lines = (0..2_000).map(|i| {
        let text = &comment[..1_000];
        format!(
            "# {comment}\nhuge{{id=\"{i}\",text=\"{text}\"}} {}\n",
            i + n
        )
    });
    Response::text(lines.collect::<String>())
}

fn of_time(
    job: &'static str,
    config: &'static [&'static str],
    epoch_ms: i64,
    body: fn(usize, i64) -> Response,
) -> Target {
    Target {
        job,
        config,
        exemplars: None,
        is_stamped: !config.contains(&"honor_timestamps: false"),
        body: Arc::new(move |n| body(n, epoch_ms)),
    }
}

/// Something of every kind that is wrong in turn.
fn flap(n: usize) -> Response {
    let text = |body: String| Response::text(body);
    match n % 6 {
        0 => Response::Body(500, "text/plain", Arc::from(*b"flap 1\n")),
        1 => text(format!("flap {n}\nother {n}\n")),
        2 => text(format!("flap {n}\n")),
        3 => text(format!("flap {n}\nnew_{n} 1\nthis is wrong\n")),
        4 => text(String::new()),
        _ => text(format!("flap {n}\nflap {n}\nflap {}\n", n + 1)),
    }
}

/// A series that has a timestamp of its own at every third scrape, beside one that has none.
fn switches(n: usize, epoch_ms: i64) -> Response {
    let own = match n.is_multiple_of(3) {
        true => format!(" {}", at(n, epoch_ms)),
        false => String::new(),
    };
    Response::text(format!("switches {n}{own}\nstays {n}\n"))
}

fn comes_and_goes(n: usize, epoch_ms: i64) -> Response {
    let t = at(n, epoch_ms);
    Response::text(match n % 3 {
        0 => "plain 1\n".to_owned(),
        _ => format!("plain 1\nstamped {n} {t}\n"),
    })
}

fn at(n: usize, epoch_ms: i64) -> i64 {
    // Before any scrape, so that both servers have all of them in the same order.
    epoch_ms - 100_000 + i64::try_from(n).expect("few scrapes") * 1_000
}

fn names(n: usize) -> String {
    format!(
        "# TYPE \"with.dots\" counter\n{{\"with.dots\",\"a b\"=\"c\"}} {n}\n{{\"ünï\"}} {n}\n\
         # TYPE s summary\ns{{quantile=\"1\"}} {n}\ns{{quantile=\"0.50\"}} 2\ns_sum 1\ns_count 2\n\
         # TYPE g gauge\ng{{le=\"1\"}} {n}\ng{{job=\"theirs\"}} {n}\ng{{a=\"\"}} {n}\ng_nan NaN\ng_inf -Inf\n"
    )
}

/// Classic histograms, whole and not.
fn histograms(n: usize) -> String {
    let mut out = format!("# TYPE before gauge\nbefore {n}\n# TYPE h histogram\n");
    for set in ["a", "b"] {
        out += &format!(
            "h_bucket{{s=\"{set}\",le=\"0.5\"}} {n}\nh_bucket{{s=\"{set}\",le=\"1\"}} {n}\n\
             h_bucket{{s=\"{set}\",le=\"+Inf\"}} {}\nh_sum{{s=\"{set}\"}} {n}.5\nh_count{{s=\"{set}\"}} {}\n",
            2 * n,
            2 * n
        );
    }
    out += &format!(
        "# TYPE no_inf histogram\nno_inf_bucket{{le=\"1\"}} 1\nno_inf_sum {n}\nno_inf_count {n}\n"
    );
    out +=
        "# TYPE no_count histogram\nno_count_bucket{le=\"1\"} 1\nno_count_bucket{le=\"+Inf\"} 3\n";
    out += "# TYPE floats histogram\nfloats_bucket{le=\"1\"} 0.5\nfloats_bucket{le=\"+Inf\"} 3\nfloats_sum 1\nfloats_count 3\n";
    out += "# TYPE falls histogram\nfalls_bucket{le=\"1\"} 5\nfalls_bucket{le=\"+Inf\"} 3\nfalls_sum 1\nfalls_count 3\n";
    out +=
        "# TYPE differs histogram\ndiffers_bucket{le=\"+Inf\"} 3\ndiffers_sum 1\ndiffers_count 4\n";
    out += "# TYPE mixed histogram\nmixed_bucket{le=\"2\"} 2\nmixed_bucket{le=\"1\"} 1\nmixed_bucket{le=\"+Inf\"} 2\nmixed_count 2\n";
    out += "# TYPE none counter\nnone_bucket{le=\"1\"} 1\nnone_count 2\n";
    out += "# TYPE gaps histogram\n";
    for bound in 0..20 {
        out += &format!("gaps_bucket{{le=\"{bound}\"}} {}\n", bound / 7 * n);
    }
    out += &format!(
        "gaps_bucket{{le=\"+Inf\"}} {}\ngaps_sum 1\ngaps_count {}\n",
        2 * n,
        2 * n
    );
    if n.is_multiple_of(3) {
        out += "# TYPE sometimes histogram\nsometimes_bucket{le=\"+Inf\"} 1\nsometimes_sum 1\nsometimes_count 1\n";
    }
    out
}

/// OpenMetrics with exemplars, timestamps and the time of creation.
fn openmetrics(n: usize, epoch_ms: i64) -> Response {
    let t = at(n, epoch_ms) / 1_000;
    let body = format!(
        "# HELP requests Requests.\n# TYPE requests counter\nrequests_total{{path=\"/\"}} {n} # {{trace_id=\"t{n}\"}} 0.5 {t}.25\n\
         requests_created{{path=\"/\"}} 1000.5\n\
         # TYPE stamped_seconds gauge\n# UNIT stamped_seconds seconds\nstamped_seconds {n} {t}.5\n\
         # TYPE latency histogram\nlatency_bucket{{le=\"0.1\"}} {n} # {{trace_id=\"l{n}\"}} 0.05 {t}\n\
         latency_bucket{{le=\"+Inf\"}} {} # {{trace_id=\"m{n}\"}} 3 {t}.5\nlatency_sum {n}\nlatency_count {}\nlatency_created 1000\n\
         # TYPE build info\nbuild_info{{version=\"{n}\"}} 1\n\
         # TYPE state stateset\nstate{{state=\"a\"}} 1\nstate{{state=\"b\"}} 0\n\
         # TYPE sizes gaugehistogram\nsizes_bucket{{le=\"1\"}} 2\nsizes_bucket{{le=\"+Inf\"}} 3\nsizes_gsum 1\nsizes_gcount 3\n\
         # TYPE odd unknown\nodd 1\n# EOF\n",
        2 * n,
        2 * n
    );
    Response::Body(200, OPENMETRICS, Arc::from(body.into_bytes()))
}

/// Protobuf with every type.
fn families(n: usize, epoch_ms: i64) -> Response {
    let count = n as u64;
    let value = |field: u64, value: f64| message(|m| m.double(field, value));
    let mut body = Vec::new();
    let counter = message(|m| {
        m.double(1, n as f64);
        m.message(2, &exemplar(&format!("c{n}"), 0.5, at(n, epoch_ms)));
    });
    add(
        &mut body,
        "requests_total",
        0,
        &[metric(&[("path", "/\"\\\n")], 3, &counter)],
    );
    add(
        &mut body,
        "temperature.celsius",
        1,
        &[metric(&[("a b", "c")], 2, &value(1, -1.5))],
    );
    let mut stamped = metric(&[], 2, &value(1, n as f64));
    stamped.varint(6, at(n, epoch_ms).cast_unsigned());
    add(&mut body, "stamped", 1, &[stamped]);
    add(
        &mut body,
        "untyped",
        3,
        &[metric(&[], 5, &value(1, f64::NAN))],
    );
    let summary = message(|m| {
        m.varint(1, count);
        m.double(2, 2.5);
        for quantile in [0.5, 1.0] {
            m.message(
                3,
                &message(|m| {
                    m.double(1, quantile);
                    m.double(2, quantile * n as f64);
                }),
            );
        }
    });
    add(&mut body, "sizes", 2, &[metric(&[], 4, &summary)]);
    add(
        &mut body,
        "classic_seconds",
        4,
        &[
            metric(&[("s", "a")], 7, &classic(count, false)),
            metric(&[("s", "b")], 7, &classic(count, true)),
        ],
    );
    add(
        &mut body,
        "native_seconds",
        4,
        &[
            metric(&[("s", "a")], 7, &native(count, 3, n, epoch_ms)),
            metric(&[("s", "b")], 7, &native_without_exemplar(count, 8)),
        ],
    );
    let both = message(|m| {
        m.0.extend(native(count, 2, n, epoch_ms).0);
        m.message(3, &bucket(count, 1.0));
        m.message(3, &bucket(count * 3 + 1, 8.0));
    });
    add(&mut body, "both_seconds", 4, &[metric(&[], 7, &both)]);
    add(
        &mut body,
        "empty_seconds",
        4,
        &[metric(
            &[],
            7,
            &message(|m| m.message(12, &Message::default())),
        )],
    );
    add(
        &mut body,
        "float_seconds",
        4,
        &[metric(&[], 7, &float(n as f64))],
    );
    add(
        &mut body,
        "level",
        5,
        &[metric(&[], 7, &native(count % 3, 1, n, epoch_ms))],
    );
    if n.is_multiple_of(3) {
        add(
            &mut body,
            "sometimes_seconds",
            4,
            &[metric(&[], 7, &native(count, 0, n, epoch_ms))],
        );
    }
    Response::Body(200, PROTOBUF, Arc::from(body))
}

fn message(fill: impl FnOnce(&mut Message)) -> Message {
    let mut message = Message::default();
    fill(&mut message);
    message
}

fn add(body: &mut Vec<u8>, name: &str, kind: u64, metrics: &[Message]) {
    let family = message(|m| {
        m.bytes(1, name.as_bytes());
        m.bytes(2, b"Some help.");
        m.varint(3, kind);
        metrics.iter().for_each(|metric| m.message(4, metric));
    });
    put_varint(body, family.0.len() as u64);
    body.extend(family.0);
}

fn metric(labels: &[(&str, &str)], field: u64, value: &Message) -> Message {
    message(|m| {
        labels
            .iter()
            .for_each(|&(name, value)| m.message(1, &label(name, value)));
        m.message(field, value);
    })
}

fn label(name: &str, value: &str) -> Message {
    message(|m| {
        m.bytes(1, name.as_bytes());
        m.bytes(2, value.as_bytes());
    })
}

fn exemplar(trace: &str, value: f64, t: i64) -> Message {
    let time = message(|m| {
        m.varint(1, (t / 1_000).cast_unsigned());
        m.varint(2, 250_000_000);
    });
    message(|m| {
        m.message(1, &label("trace_id", trace));
        m.double(2, value);
        m.message(3, &time);
    })
}

fn bucket(count: u64, bound: f64) -> Message {
    message(|m| {
        m.varint(1, count);
        m.double(2, bound);
    })
}

fn classic(count: u64, with_infinite: bool) -> Message {
    message(|m| {
        m.varint(1, count * 2);
        m.double(2, 1.5);
        m.message(3, &bucket(count, 1.0));
        m.message(3, &bucket(count, 2.5));
        if with_infinite {
            m.message(3, &bucket(count * 2, f64::INFINITY));
        }
    })
}

/// A native histogram with an exemplar. Of the metrics of one family, Prometheus 3.5 only reads those of the first.
fn native(count: u64, schema: i64, n: usize, epoch_ms: i64) -> Message {
    let mut message = native_without_exemplar(count, schema);
    message.message(16, &exemplar(&format!("n{n}"), 0.5, at(n, epoch_ms)));
    message
}

/// A native histogram with `4 · count + 1` observations at the given schema, up to 8: Prometheus 3.5 takes finer ones, and
/// panics when it shows them.
fn native_without_exemplar(count: u64, schema: i64) -> Message {
    let span = |offset: i64, length: u64| {
        message(|m| {
            m.varint(1, zigzag(offset));
            m.varint(2, length);
        })
    };
    let delta = count.cast_signed();
    message(|m| {
        m.varint(1, 4 * count + 1);
        m.double(2, 1.25 * count as f64);
        m.varint(5, zigzag(schema));
        m.double(6, 1e-3);
        m.varint(7, 1);
        m.message(9, &span(2, 1));
        m.varint(10, zigzag(delta));
        m.message(12, &span(-3, 2));
        m.message(12, &span(5, 1));
        for delta in [delta, 0, 0] {
            m.varint(13, zigzag(delta));
        }
    })
}

fn float(count: f64) -> Message {
    message(|m| {
        m.double(4, count * 2.0 + 0.5);
        m.double(2, count);
        m.varint(5, zigzag(1));
        m.double(6, 1e-3);
        m.double(8, 0.5);
        m.message(12, &message(|m| m.varint(2, 2)));
        m.double(14, count);
        m.double(14, count);
    })
}
