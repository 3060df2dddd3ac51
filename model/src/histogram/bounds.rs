//! Bounds of exponential buckets, bit for bit those of Prometheus.
//!
//! Its table was computed once, level by level, with an `exp2` that is not exact to the last bit; so what is printed of a
//! histogram is the same in both only if the same is computed here.
//!
//! Source: [client_golang, nativeHistogramBounds](https://github.com/prometheus/client_golang/blob/main/prometheus/histogram.go).

use std::sync::LazyLock;

/// The finest schema.
const SCHEMA_MAX: u32 = 8;
/// Its buckets from one power of two to the next.
const STEPS: usize = 1 << SCHEMA_MAX;

static FRACTIONS: LazyLock<[f64; STEPS]> = LazyLock::new(|| {
    let mut fractions = [0.5; STEPS];
    for schema in 1..=SCHEMA_MAX {
        let (stride, factor) = (STEPS >> schema, exp2((-f64::from(schema)).exp2()));
        // Every other bound is known from the schema before.
        for at in (stride..STEPS).step_by(2 * stride) {
            fractions[at] = fractions[at - stride] * factor;
        }
    }
    fractions
});

/// Returns the bound of bucket `index` of the positive `schema` between two powers of two, in `[1, 2)`.
///
/// * `index`: below 2 to the power of `schema`.
pub(super) fn fraction(index: usize, schema: u32) -> f64 {
    match SCHEMA_MAX.checked_sub(schema) {
        Some(finer) => 2.0 * FRACTIONS[index << finer],
        None => (index as f64 / f64::from(schema).exp2()).exp2(),
    }
}

/// Returns 2 to the power of `x`, which is from 0 to ½, as Go computes it without help of the processor.
///
/// Source: FreeBSD's `e_exp.c`: with `r = x · ln 2` in two parts, `exp(r) = 1 + r + r · c / (2 - c)`, where `c` is `r` less
/// a polynomial in `r²`.
fn exp2(x: f64) -> f64 {
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const POLYNOMIAL: [f64; 5] = [
        1.666_666_666_666_666_6e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525e-6,
        4.138_136_797_057_238e-8,
    ];
    // Half is rounded up to one, and what is above taken off again.
    let whole = if x < 0.5 { 0.0 } else { 1.0 };
    let rest = x - whole;
    let (high, low) = (rest * LN_2[0], -rest * LN_2[1]);
    let r = high - low;
    let square = r * r;
    let sum = POLYNOMIAL.iter().rev().fold(0.0, |sum, p| p + square * sum);
    let c = r - square * sum;
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    y * f64::exp2(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_that_prometheus_prints() {
        let halves = |schema: u32| (0..1 << schema).map(move |i| fraction(i, schema) / 2.0);
        assert_eq!(Vec::from_iter(halves(1)), [0.5, 0.7071067811865475]);
        let third = [
            0.5,
            0.5452538663326288,
            0.5946035575013605,
            0.6484197773255048,
            0.7071067811865475,
            0.7711054127039704,
            0.8408964152537144,
            0.9170040432046711,
        ];
        assert_eq!(Vec::from_iter(halves(3)), third);
        let finest = Vec::from_iter(halves(8));
        assert_eq!(
            finest[1..4],
            [0.5013556375251013, 0.5027149505564014, 0.5040779490592088]
        );
        assert_eq!(
            finest[253..],
            [0.9919100824251095, 0.9945994234836328, 0.9972960560854698]
        );
    }

    #[test]
    fn bounds_are_powers_but_for_the_last_digits() {
        for schema in 1..=10 {
            for index in 0..1_usize << schema {
                let exact = (index as f64 / f64::from(schema).exp2()).exp2();
                assert!((fraction(index, schema) / exact - 1.0).abs() < 1e-15);
            }
        }
    }
}
