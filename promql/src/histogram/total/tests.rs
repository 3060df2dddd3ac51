//! Totals of histograms beside totals of numbers.

use super::*;
use crate::numeric::{Mean, almost_equal};
use model::histogram::Span;
use proptest::prelude::*;

fn histogram(sum: f64, buckets: &[f64]) -> FloatHistogram {
    let length = u32::try_from(buckets.len()).unwrap();
    FloatHistogram {
        count: buckets.iter().sum(),
        sum,
        positive_spans: vec![Span { offset: 0, length }],
        positive_buckets: buckets.to_vec(),
        ..FloatHistogram::default()
    }
}

/// Small, large and far too large numbers.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0i32..100).prop_map(f64::from),
        Just(1e100),
        Just(-1e100),
        Just(1.5e308)
    ]
}

proptest! {
    /// Each number of the total is the total of that number alone.
    #[test]
    fn agrees_with_totals_of_numbers(
        numbers in proptest::collection::vec((number(), 0u8..100, 0u8..100), 1..8),
    ) {
        let histograms: Vec<FloatHistogram> = numbers
            .iter()
            .map(|&(sum, a, b)| histogram(sum, &[f64::from(a), f64::from(b)]))
            .collect();
        let (mut sum, mut mean) = (Total::sum(&histograms[0]), Total::mean(&histograms[0]));
        let (mut plain_sum, mut plain_mean) = ((histograms[0].sum, 0.0), Mean::default());
        plain_mean.add(histograms[0].sum);
        for histogram in &histograms[1..] {
            sum.add(histogram).unwrap();
            mean.add(histogram).unwrap();
            plain_sum = kahan_add(histogram.sum, plain_sum.0, plain_sum.1);
            plain_mean.add(histogram.sum);
        }
        let (sum, mean) = (sum.finish(), mean.finish());
        prop_assert!(almost_equal(sum.sum, plain_sum.0 + plain_sum.1, 1e-12));
        // Cancelling has to be as inexact as there, but need not be so in the same way.
        let slack = 1e-12 * numbers.iter().map(|(sum, ..)| sum.abs() / 4.0).sum::<f64>();
        prop_assert!(sum.sum.is_infinite() || (mean.sum - plain_mean.value()).abs() <= slack.max(1e-9));
        let first: f64 = numbers.iter().map(|(_, a, _)| f64::from(*a)).sum();
        prop_assert_eq!(sum.positive_buckets[0], first);
        let count = numbers.len() as f64;
        prop_assert!(almost_equal(mean.positive_buckets[0], first / count, 1e-12));
    }
}

#[test]
fn what_is_lost_is_moved_along_with_its_bucket() {
    let mut total = Total::sum(&histogram(0.0, &[1.0, 1e17]));
    total.add(&histogram(0.0, &[1.0, 1.0])).unwrap();
    total.add(&histogram(0.0, &[1.0, -1e17])).unwrap();
    let coarse = FloatHistogram {
        schema: -1,
        ..histogram(0.0, &[])
    };
    total.add(&coarse).unwrap();
    let total = total.finish();
    assert_eq!(total.schema, -1);
    // (0.5, 1] stays at index 0, (1, 2] becomes a part of index 1.
    assert_eq!(total.positive_buckets, [3.0, 1.0]);
}

#[test]
fn means_survive_overflow() {
    let largest = histogram(f64::MAX, &[f64::MAX]);
    let mut mean = Total::mean(&largest);
    for _ in 0..3 {
        mean.add(&largest).unwrap();
    }
    let mean = mean.finish();
    assert!(almost_equal(mean.sum, f64::MAX, 1e-12));
    assert!(almost_equal(mean.positive_buckets[0], f64::MAX, 1e-12));
}
