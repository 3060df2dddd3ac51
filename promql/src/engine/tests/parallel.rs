//! Many series at once give the same as each alone.

use super::*;
use crate::value::MatrixSeries;

const SERIES: usize = 300;

/// Series of different lengths, with resets, gaps and markers.
fn many() -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for number in 0..SERIES {
        let (step, ends) = (1 + number % 7, 5 + number % 31);
        let line = format!(
            "many_total{{n=\"{number:03}\"}} 0+{step}x{ends} _x{} 1+{step}x20 stale {number}",
            number % 4
        );
        let series = read_series(&line).unwrap();
        for (index, value) in series.values.iter().enumerate() {
            if let Some(value) = value {
                storage.push(&series.labels, 15_000 * index as i64, value.value.clone());
            }
        }
    }
    storage
}

fn matrix(storage: &MemoryStorage, query: &str) -> Vec<MatrixSeries> {
    let options = QueryOptions::default();
    let result = engine().range(storage, query, 0, 800_000, 20_000, &options);
    match result.unwrap().value {
        Value::Matrix(series) => series,
        other => panic!("{other:?}"),
    }
}

#[test]
fn series_come_in_order_and_with_the_values_that_they_have_alone() {
    let storage = many();
    for query in [
        "many_total",
        "rate(many_total[1m])",
        "max_over_time(many_total[2m])",
    ] {
        let all = matrix(&storage, query);
        assert!(250 < all.len(), "{query}: {}", all.len());
        let mut alone = Vec::new();
        for number in 0..SERIES {
            let selector = format!("many_total{{n=\"{number:03}\"}}");
            alone.extend(matrix(&storage, &query.replace("many_total", &selector)));
        }
        assert_eq!(all, alone, "{query}");
    }
}

#[test]
fn texts_are_in_the_same_order_each_time() {
    let mut storage = MemoryStorage::default();
    for number in 0..SERIES {
        let series = read_series(&format!("gauge_{number:03}{{n=\"{number}\"}} 1x40")).unwrap();
        for (index, value) in series.values.iter().enumerate() {
            let value = value.as_ref().unwrap().value.clone();
            storage.push(&series.labels, 15_000 * index as i64, value);
        }
    }
    let query = "count(rate({__name__=~\"gauge_.*\"}[5m]))";
    let infos = || {
        let options = QueryOptions::default();
        let result = engine().range(&storage, query, 0, 600_000, 60_000, &options);
        result.unwrap().annotations.infos
    };
    let first = infos();
    assert_eq!(first.len(), SERIES);
    assert!(first.is_sorted());
    assert_eq!(infos(), first);
}
