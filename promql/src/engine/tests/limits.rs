//! What a query may use, and that it ends there.

use model::storage::{Querier, ReadError};

use super::*;

fn run(max_samples: usize, query: &str, end: i64, timeout: Duration) -> Result<(), QueryError> {
    let limited = EngineOptions {
        max_samples,
        timeout,
        ..options()
    };
    let engine = Engine::new(limited, &Registry::new());
    let options = QueryOptions::default();
    engine
        .range(&storage(), query, 0, end, 1000, &options)
        .map(|_| ())
}

/// `query` over `steps` steps does not fit into `max_samples`.
#[track_caller]
fn check_too_many(query: &str, steps: i64, max_samples: usize) {
    let result = run(
        max_samples,
        query,
        (steps - 1) * 1000,
        Duration::from_secs(60),
    );
    assert!(
        matches!(result, Err(QueryError::TooManySamples { .. })),
        "{query}: {result:?}"
    );
}

#[test]
fn bytes_end_queries() {
    let check = |bytes_max, bytes_total_max, query: &str| {
        let limited = EngineOptions {
            bytes_max,
            bytes_total_max,
            ..options()
        };
        let engine = Engine::new(limited, &Registry::new());
        engine.range(
            &storage(),
            query,
            0,
            600_000,
            1000,
            &QueryOptions::default(),
        )
    };
    assert!(check(100_000, 0, "up").is_ok());
    let error = check(100, 0, "up").unwrap_err();
    assert!(
        matches!(error, QueryError::TooManyBytes { limit: 100 }),
        "{error}"
    );
    let error = check(0, 1000, "up").unwrap_err();
    assert!(
        matches!(error, QueryError::TooManyBytesTogether { limit: 1000 }),
        "{error}"
    );
}

#[test]
fn limits_end_queries() {
    let few = EngineOptions {
        max_samples: 50,
        ..options()
    };
    let engine = Engine::new(few, &Registry::new());
    let result = engine.range(&storage(), "up", 0, 600_000, 1000, &QueryOptions::default());
    assert!(matches!(
        result,
        Err(QueryError::TooManySamples { limit: 50 })
    ));
    let result = engine.instant(&storage(), "requests_total", 0, &QueryOptions::default());
    assert_eq!(result.unwrap().stats.samples_total, 3);

    let canceled = QueryOptions {
        cancel: Some(Arc::new(AtomicBool::new(true))),
        ..QueryOptions::default()
    };
    let error = engine.instant(&storage(), "up", 0, &canceled).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
    let late = QueryOptions {
        timeout: Some(Duration::ZERO),
        ..QueryOptions::default()
    };
    let error = engine.instant(&storage(), "up", 0, &late).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// A histogram counts for what it takes in memory: 176 bytes and 8 for each span and bucket, in samples of 16 bytes.
#[test]
fn histograms_count_for_several_samples() {
    let mut storage = MemoryStorage::default();
    let series = read_series("h {{schema:0 count:4 sum:5 buckets:[1 2 1]}}x3").unwrap();
    for (t, value) in (0..).zip(series.values.iter().flatten()) {
        storage.push(&series.labels, 15_000 * t, value.value.clone());
    }
    let run = |max_samples, query: &str| {
        let limited = EngineOptions {
            max_samples,
            ..options()
        };
        let engine = Engine::new(limited, &Registry::new());
        let answer = engine.instant(&storage, query, 45_000, &QueryOptions::default());
        answer.map(|answer| answer.stats.samples_total)
    };
    for (query, total) in [("h", 13), ("h[1m]", 52), ("sum(rate(h[1m]))", 52)] {
        assert_eq!(run(1_000, query).unwrap(), total, "{query}");
        let error = run(12, query).unwrap_err();
        assert!(matches!(error, QueryError::TooManySamples { limit: 12 }));
    }
}

#[test]
fn columns_count_whether_they_hold_samples_or_not() {
    check_too_many("count_over_time(up[1y:1ms])", 1, 50_000_000);
    check_too_many("max_over_time(nothing[1y:1ms])", 1, 50_000_000);
    check_too_many("1", 1_000_000_000_000, 50_000_000);
    check_too_many("vector(1)", 101, 100);
    check_too_many("histogram_quantile(0.5, up)", 10_000, 15_000);
    check_too_many("count_values(\"v\", requests_total)", 600, 10_000);
    check_too_many("sum by (job) (up)", 10_000, 15_000);
    check_too_many("topk by (job) (0, up)", 10_000, 15_000);
    check_too_many("quantile by (job) (0, up)", 10_000, 15_000);
}

#[test]
fn time_ends_long_windows() {
    for query in [
        "sum_over_time(sum_over_time(vector(1)[10d:1s])[10d:1s])",
        "sum_over_time(deriv(vector(time())[10d:1s])[10d:1s])",
        "sum_over_time(quantile_over_time(0.5, vector(1)[10d:1s])[10d:1s])",
        "sum_over_time(double_exponential_smoothing(vector(1)[10d:1s], 0.5, 0.5)[10d:1s])",
        "sum_over_time(rate(vector(time() % 2)[10d:1s])[10d:1s])",
    ] {
        let result = run(50_000_000, query, 0, Duration::from_millis(20));
        assert!(
            matches!(result, Err(QueryError::Timeout)),
            "{query}: {result:?}"
        );
    }
}

#[test]
fn label_values_stay_bounded() {
    for (open, close) in [
        ("label_join(", ", \"job\", \"\", \"job\", \"job\")"),
        ("label_replace(", ", \"job\", \"$1$1\", \"job\", \"(.*)\")"),
    ] {
        let doubled = |times: usize| format!("{}limits{}", open.repeat(times), close.repeat(times));
        let result = run(1_000_000, &doubled(20), 0, Duration::from_secs(60));
        assert!(result.is_ok(), "{open}: {result:?}");
        let result = run(1_000_000, &doubled(21), 0, Duration::from_secs(60));
        assert_eq!(
            result.unwrap_err().to_string(),
            "label value is longer than 1048576 bytes"
        );
    }
}

struct Broken;

impl Queryable for Broken {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier + '_>, ReadError> {
        panic!("broken storage")
    }
}

#[test]
fn a_panic_ends_a_query_in_the_gauge_too() {
    let engine = engine();
    let run = || engine.instant(&Broken, "up", 0, &QueryOptions::default());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    assert!(result.is_err());
    assert_eq!(engine.instruments.queries.value(), 0.0);
}
