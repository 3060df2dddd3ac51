//! Joins with fill modifiers beside a join of one step at a time.

use std::collections::BTreeMap;

use model::{Labels, SampleValue};
use proptest::prelude::*;

use crate::engine::QueryOptions;
use crate::script::{self, MemoryStorage};
use crate::value::Value;

/// Samples of the many side: group, series in it, step.
type Many = BTreeMap<(u8, u8, i64), i8>;
/// Samples of the one side: group, step.
type One = BTreeMap<(u8, i64), i8>;

const STEP: i64 = 600_000;
const STEPS: i64 = 6;

fn storage(many: &Many, one: &One) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for (&(group, series, step), &value) in many {
        let (group, series) = (group.to_string(), series.to_string());
        let labels = [("__name__", "many"), ("group", &group), ("series", &series)];
        let value = SampleValue::Float(f64::from(value));
        storage.push(&Labels::from_pairs(labels), step * STEP, value);
    }
    for (&(group, step), &value) in one {
        let labels = [("__name__", "one"), ("group", &group.to_string())];
        let value = SampleValue::Float(f64::from(value));
        storage.push(&Labels::from_pairs(labels), step * STEP, value);
    }
    storage
}

/// The differences at all steps, by labels and step.
fn plain(
    many: &Many,
    one: &One,
    fill_many: Option<i8>,
    fill_one: Option<i8>,
) -> BTreeMap<(String, String, i64), f64> {
    let mut found = BTreeMap::new();
    for (&(group, series, step), &value) in many {
        if let Some(other) = one.get(&(group, step)).copied().or(fill_one) {
            let key = (group.to_string(), series.to_string(), step);
            found.insert(key, f64::from(value) - f64::from(other));
        }
    }
    for (&(group, step), &value) in one {
        let is_alone = !many.keys().any(|key| (key.0, key.2) == (group, step));
        if let (true, Some(other)) = (is_alone, fill_many) {
            let key = (group.to_string(), String::new(), step);
            found.insert(key, f64::from(other) - f64::from(value));
        }
    }
    found
}

proptest! {
    #[test]
    fn fills_as_a_join_of_each_step_does(
        many in proptest::collection::btree_map((0u8..4, 0u8..3, 0..STEPS), any::<i8>(), 0..30),
        one in proptest::collection::btree_map((0u8..4, 0..STEPS), any::<i8>(), 0..20),
        fill_many in proptest::option::of(any::<i8>()),
        fill_one in proptest::option::of(any::<i8>()),
        swapped: bool,
    ) {
        let fill = |side: &str, value: Option<i8>| {
            value.map_or_else(String::new, |value| format!(" fill_{side}({value})"))
        };
        let query = if swapped {
            let fills = fill("left", fill_one) + &fill("right", fill_many);
            format!("-(one - on(group) group_right{fills} many)")
        } else {
            let fills = fill("left", fill_many) + &fill("right", fill_one);
            format!("many - on(group) group_left{fills} one")
        };
        let result = script::engine()
            .range(&storage(&many, &one), &query, 0, (STEPS - 1) * STEP, STEP, &QueryOptions::default());
        let Ok(Value::Matrix(series)) = result.map(|result| result.value) else {
            return Err(TestCaseError::fail("a range vector was expected"));
        };
        let mut found = BTreeMap::new();
        for series in &series {
            let label = |name| series.labels.value(name).to_owned();
            for (t, value) in &series.floats {
                found.insert((label("group"), label("series"), t / STEP), *value);
            }
        }
        prop_assert_eq!(found, plain(&many, &one, fill_many, fill_one));
    }
}
