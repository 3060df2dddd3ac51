//! Series with the same times share their windows; nothing of that is to be seen.

use model::Labels;
use proptest::prelude::*;

use super::*;

const FUNCTIONS: [&str; 6] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "avg_over_time",
    "changes",
];

proptest! {
    #[test]
    fn a_series_among_others_is_as_it_is_alone(
        // Per series, which of the times it has, and by how much it rises at each.
        kinds in proptest::collection::vec((0usize..3, proptest::collection::vec(-2.0..20.0_f64, 30)), 1..8),
        step in 1i64..5, range in 1i64..8, offset in 0i64..3,
    ) {
        let mut all = MemoryStorage::default();
        let mut alone: Vec<MemoryStorage> = Vec::new();
        for (number, (kind, rises)) in kinds.iter().enumerate() {
            let labels = Labels::from_pairs([("__name__", "x_total"), ("n", &number.to_string())]);
            let mut own = MemoryStorage::default();
            let mut value = 0.0;
            for (at, rise) in (0i64..).zip(rises) {
                value += rise;
                let is_there = match kind {
                    0 => true,
                    1 => at % 3 != 1,
                    _ => at < 20,
                };
                if is_there {
                    for storage in [&mut all, &mut own] {
                        storage.push(&labels, at * 15_000, SampleValue::Float(value));
                    }
                }
            }
            alone.push(own);
        }
        for function in FUNCTIONS {
            let query = format!("{function}(x_total[{}s] offset {offset}s)", range * 15);
            let range = |storage: &MemoryStorage| {
                print(engine().range(storage, &query, 0, 450_000, step * 7_000, &QueryOptions::default()))
            };
            let together = range(&all);
            let one_by_one: Vec<String> = alone.iter().map(range).filter(|text| !text.is_empty()).collect();
            prop_assert_eq!(together, one_by_one.join("\n"), "{}", query);
        }
    }
}
