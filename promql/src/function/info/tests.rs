//! The sets of info series beside a join of one step at a time.

use std::collections::BTreeMap;

use model::{Labels, SampleValue};
use proptest::prelude::*;

use crate::engine::QueryOptions;
use crate::script::{self, MemoryStorage};
use crate::value::Value;

/// Samples of `target_info{job, version}` at whole minutes: job, version, minute.
type Samples = Vec<(u8, u8, i64)>;

const LOOKBACK: i64 = 5;

/// The version of `job` at `minute`: that of the newest sample.
fn version(samples: &Samples, job: u8, minute: i64) -> Option<u8> {
    let visible = samples
        .iter()
        .filter(|(of, _, t)| *of == job && minute - LOOKBACK < *t && *t <= minute);
    visible
        .max_by_key(|(_, _, t)| *t)
        .map(|(_, version, _)| *version)
}

proptest! {
    #[test]
    fn agrees_with_the_join_of_each_step(
        // One version per job and minute, so that none are in conflict.
        samples in proptest::collection::btree_map((0u8..3, 0i64..30), 0u8..4, 0..40),
        offset in -5i64..5,
    ) {
        let samples: Samples = samples.into_iter().map(|((job, t), version)| (job, version, t)).collect();
        let mut storage = MemoryStorage::default();
        for job in ["0", "1", "2"] {
            let up = Labels::from_pairs([("__name__", "up"), ("job", job)]);
            for minute in -20..50 {
                storage.push(&up, minute * 60_000, SampleValue::Float(minute as f64));
            }
        }
        for (job, version, minute) in &samples {
            let (job, version) = (job.to_string(), version.to_string());
            let labels = [("__name__", "target_info"), ("job", &job), ("version", &version)];
            storage.push(&Labels::from_pairs(labels), minute * 60_000, SampleValue::Float(1.0));
        }
        let query = format!("info(up offset {offset}m)");
        let result = script::engine()
            .range(&storage, &query, 0, 35 * 60_000, 60_000, &QueryOptions::default());
        let Ok(Value::Matrix(series)) = result.map(|result| result.value) else {
            return Err(TestCaseError::fail("a range vector was expected"));
        };
        let mut found = BTreeMap::new();
        for series in &series {
            for (t, value) in &series.floats {
                let key = (series.labels.value("job").to_owned(), t / 60_000);
                let at = (series.labels.value("version").to_owned(), *value);
                prop_assert!(found.insert(key, at).is_none());
            }
        }
        for job in 0..3 {
            for minute in 0..=35 {
                let at = minute - offset;
                let version = version(&samples, job, at).map_or(String::new(), |v| v.to_string());
                prop_assert_eq!(found.remove(&(job.to_string(), minute)), Some((version, at as f64)));
            }
        }
        prop_assert!(found.is_empty());
    }
}
