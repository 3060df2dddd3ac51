//! Arithmetic that several functions and aggregations share, in the same order of operations as Prometheus.

/// Adds `increment` to the compensated sum `(sum, compensation)`: Kahan's summation with Neumaier's improvement.
pub(crate) fn kahan_add(increment: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + increment;
    let compensation = if total.is_infinite() {
        0.0
    } else if increment.abs() <= sum.abs() {
        compensation + ((sum - total) + increment)
    } else {
        compensation + ((increment - total) + sum)
    };
    (total, compensation)
}

/// As [`kahan_add`], without a branch and so for several sums at once: what is lost is found by Knuth's exact sum of two, the same to
/// the last bit. Where a total is not finite, or almost not, the compensation is not finite from then on: such a sum is to be done
/// again with [`kahan_add`].
pub(crate) fn kahan_add_finite(increment: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + increment;
    let added = total - sum;
    let lost = (sum - (total - added)) + (increment - added);
    (total, compensation + lost)
}

/// A mean that is a compensated sum until that overflows, and is computed incrementally from then on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    compensation: f64,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = value;
            return;
        }
        if !self.is_incremental {
            let (sum, compensation) = kahan_add(value, self.sum, self.compensation);
            if !sum.is_infinite() {
                (self.sum, self.compensation) = (sum, compensation);
                return;
            }
            self.is_incremental = true;
            self.sum /= self.count - 1.0;
            self.compensation /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        (self.sum, self.compensation) = kahan_add(
            value / self.count,
            share * self.sum,
            share * self.compensation,
        );
    }

    pub(crate) fn value(&self) -> f64 {
        if self.is_incremental {
            self.sum + self.compensation
        } else {
            self.sum / self.count + self.compensation / self.count
        }
    }
}

/// Returns the `q`-quantile of `values`, which it sorts, interpolated between neighbours; NaN counts as least.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if 1.0 < q {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal),
    });
    let last = values.len() - 1;
    let rank = q * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= rank <= last"
    )]
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Returns the lesser of two numbers that are not NaN; `-0` is less than `0`, what [`f64::min`] leaves open.
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    if a < b || a == b && a.is_sign_negative() {
        a
    } else {
        b
    }
}

/// Returns whether `a` and `b` are equal up to a relative difference of `epsilon`.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// Returns the lesser; NaN if one is, unless the other is as low as can be: Go's `math.Min`.
pub(crate) fn least(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        lesser(a, b)
    }
}

/// Returns the greater; NaN if one is, unless the other is as high as can be: Go's `math.Max`.
pub(crate) fn greatest(a: f64, b: f64) -> f64 {
    -least(-a, -b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn compensation_keeps_small_terms() {
        let (sum, compensation) = [1.0, 1e100, 1.0, -1e100]
            .into_iter()
            .fold((0.0, 0.0), |(sum, c), value| kahan_add(value, sum, c));
        assert_eq!(sum + compensation, 2.0);
    }

    proptest! {
        #[test]
        fn without_a_branch_the_bits_are_the_same(
            values in proptest::collection::vec(prop_oneof![any::<f64>(), -1e3..1e3, Just(f64::MAX), Just(-0.0)], 1..20),
        ) {
            let by = |add: fn(f64, f64, f64) -> (f64, f64)| {
                values.iter().fold((0.0, 0.0), |(sum, c), &value| add(value, sum, c))
            };
            let (sum, compensation) = by(kahan_add_finite);
            let (expected, expected_compensation) = by(kahan_add);
            if !compensation.is_finite() {
                // Overflow is near, or there was an infinity or NaN.
                let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
                prop_assert!(f64::MAX / 32.0 <= largest || values.iter().any(|value| value.is_nan()));
            } else {
                prop_assert_eq!(sum.to_bits(), expected.to_bits());
                prop_assert_eq!(compensation.to_bits(), expected_compensation.to_bits());
            }
        }
    }

    #[test]
    fn overflow_shows_without_a_branch() {
        for values in [
            [f64::MAX, f64::MAX, 1.0],
            [f64::INFINITY, 1.0, 1.0],
            [1.0, f64::NAN, 1.0],
        ] {
            let (_, compensation) = values.into_iter().fold((0.0, 0.0), |(sum, c), value| {
                kahan_add_finite(value, sum, c)
            });
            assert!(!compensation.is_finite());
        }
    }

    #[test]
    fn mean_survives_overflow() {
        let mut mean = Mean::default();
        for _ in 0..3 {
            mean.add(f64::MAX);
        }
        assert!(almost_equal(mean.value(), f64::MAX, 1e-12));
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(quantile(1.0, &mut [1.0, 2.0]), 2.0);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn zeros_have_an_order() {
        for (a, b) in [(0.0, -0.0), (-0.0, 0.0), (-0.0, -0.0)] {
            assert!(lesser(a, b).is_sign_negative());
        }
        assert!(lesser(0.0, 0.0).is_sign_positive());
        assert_eq!((lesser(1.0, 2.0), lesser(2.0, 1.0)), (1.0, 1.0));
    }

    #[test]
    fn almost() {
        assert!(almost_equal(1.0, 1.0 + 1e-7, 1e-6));
        assert!(!almost_equal(0.0, 1e-300, 1e-6));
        assert!(almost_equal(f64::NAN, -f64::NAN, 1e-6));
        assert!(!almost_equal(f64::INFINITY, 1.0, 1e-6));
    }
}
