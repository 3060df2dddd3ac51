//! Floats printed as Go prints them, because that is what Prometheus' clients read and what its users compare.

/// Appends `value` as the HTTP API prints sample values: Go's `'f'` format with the fewest digits that read back,
/// and `'e'` below 1e-6 and from 1e21 on; `NaN`, `+Inf`, `-Inf`.
pub fn append_json(out: &mut Vec<u8>, value: f64) {
    let mut text = [0; SHORT_MAX];
    if let Some(len) = put_short(&mut text, value) {
        out.extend_from_slice(&text[..len]);
        return;
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        append_exponent(out, value);
    } else {
        append_plain(out, value);
    }
}

/// How long what [`put_short`] writes is at most.
pub const SHORT_MAX: usize = 32;

/// Writes what [`append_json`] appends to the front of `out` and returns its length; what is after it is of no meaning. Most
/// values are short; for those that are not, `None` is returned.
#[inline]
pub fn put_short(out: &mut [u8; SHORT_MAX], value: f64) -> Option<usize> {
    // Up to 2^53 no other whole number is as near, so all digits are needed.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the cast back tells whether it fitted"
    )]
    let (whole, back) = (value as i64, value as i64 as f64);
    if back.to_bits() == value.to_bits() && value.abs() <= EXACT_MAX {
        return copy_short(itoa::Buffer::new().format(whole).as_bytes(), out);
    }
    if !PRINTED_PLAIN.contains(&value.abs()) {
        return None;
    }
    let mut buffer = zmij::Buffer::new();
    let digits = buffer.format_finite(value);
    copy_short(digits.strip_suffix(".0").unwrap_or(digits).as_bytes(), out)
}

/// Copies `text`, of at most 24 bytes, to the front of `out` in a few moves of a fixed length, which is quicker than one of its
/// own length. Nearly all numbers that are no whole ones have 8 bytes or more, so that which moves they are is foretold.
#[inline]
fn copy_short(text: &[u8], out: &mut [u8; SHORT_MAX]) -> Option<usize> {
    fn piece<const N: usize>(text: &[u8], out: &mut [u8; SHORT_MAX], at: usize) -> Option<()> {
        *out.get_mut(at..)?.first_chunk_mut::<N>()? = *text.get(at..)?.first_chunk()?;
        Some(())
    }
    match text.len() {
        25.. => return None,
        len @ 8.. => {
            piece::<8>(text, out, 0)?;
            piece::<8>(text, out, (len - 8) / 2)?;
            piece::<8>(text, out, len - 8)?;
        }
        len @ 4.. => {
            piece::<4>(text, out, 0)?;
            piece::<4>(text, out, len - 4)?;
        }
        len => (0..len).try_for_each(|at| piece::<1>(text, out, at))?,
    }
    Some(text.len())
}

/// Appends `value` as Go's `'g'` format with the fewest digits does: exponent form for exponents below -4 and from 6
/// on. This is `%v` of Go, in templates, PromQL text and client_golang's expositions.
pub fn append_general(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-4..1e6).contains(&magnitude) {
        append_exponent(out, value);
    } else {
        append_plain(out, value);
    }
}

/// Appends `value` in Go's `'f'` format with the fewest digits that read back: never an exponent.
pub fn append_plain(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        append_not_finite(out, value);
    } else if value == 0.0 || PRINTED_PLAIN.contains(&value.abs()) {
        let mut buffer = zmij::Buffer::new();
        let digits = buffer.format_finite(value);
        out.extend_from_slice(digits.strip_suffix(".0").unwrap_or(digits).as_bytes());
    } else {
        let decimal = Decimal::of(value);
        decimal.append_sign(out);
        decimal.append_plain(out);
    }
}

/// Appends a finite `value` in Go's `'e'` format: shortest mantissa, a sign and at least two digits of exponent.
pub fn append_exponent(out: &mut Vec<u8>, value: f64) {
    let decimal = Decimal::of(value);
    decimal.append_sign(out);
    decimal.append_exponent(out);
}

fn append_not_finite(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        f64::INFINITY => b"+Inf",
        f64::NEG_INFINITY => b"-Inf",
        _ => b"NaN",
    });
}

/// Where the library prints no exponent either.
const PRINTED_PLAIN: std::ops::Range<f64> = 1e-5..1e16;

/// A finite number as digits: the fewest that read back, of those the nearest, and of two that are as near the even one, as
/// Go has it. (The standard library takes the larger one.)
struct Decimal {
    is_negative: bool,
    /// At least one; neither the first nor the last is 0, but for zero itself.
    digits: Vec<u8>,
    /// Of the first digit.
    exponent: i32,
}

impl Decimal {
    fn of(value: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let printed = buffer.format_finite(value.abs());
        let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        let zeros = digits.clone().take_while(|&digit| digit == b'0').count();
        let mut digits: Vec<u8> = digits.skip(zeros).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let before_point =
            i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(zeros).unwrap_or(0);
        let exponent = exponent.parse::<i32>().unwrap_or(0) + before_point - 1;
        let is_zero = digits.is_empty();
        if is_zero {
            digits.push(b'0');
        }
        Decimal {
            is_negative: value.is_sign_negative(),
            digits,
            exponent: if is_zero { 0 } else { exponent },
        }
    }

    fn append_sign(&self, out: &mut Vec<u8>) {
        if self.is_negative {
            out.push(b'-');
        }
    }

    fn append_plain(&self, out: &mut Vec<u8>) {
        let Ok(exponent) = usize::try_from(self.exponent) else {
            out.extend_from_slice(b"0.");
            out.extend((self.exponent + 1..0).map(|_| b'0'));
            out.extend_from_slice(&self.digits);
            return;
        };
        let (whole, fraction) = self.digits.split_at(self.digits.len().min(exponent + 1));
        out.extend_from_slice(whole);
        out.resize(out.len() + (exponent + 1 - whole.len()), b'0');
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    }

    fn append_exponent(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;

        out.push(self.digits[0]);
        if 1 < self.digits.len() {
            out.push(b'.');
            out.extend_from_slice(&self.digits[1..]);
        }
        let sign = if self.exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", self.exponent.unsigned_abs())
            .expect("writing to a Vec cannot fail");
    }
}

/// Returns what [`append_json`] appends.
pub fn format_json(value: f64) -> String {
    into_string(append_json, value)
}

/// Returns what [`append_general`] appends.
pub fn format_general(value: f64) -> String {
    into_string(append_general, value)
}

/// Returns what [`append_plain`] appends.
pub fn format_plain(value: f64) -> String {
    into_string(append_plain, value)
}

/// Returns what [`append_exponent`] appends, and the usual words for what is not finite.
pub fn format_exponent(value: f64) -> String {
    into_string(
        if value.is_finite() {
            append_exponent
        } else {
            append_plain
        },
        value,
    )
}

fn into_string(append: fn(&mut Vec<u8>, f64), value: f64) -> String {
    let mut out = Vec::with_capacity(24);
    append(&mut out, value);
    String::from_utf8(out).expect("only ASCII was written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_values() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (9e-7, "9e-07"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (1.7e9, "1700000000"),
        ] {
            assert_eq!(format_json(value), expected);
        }
    }

    proptest! {
        /// What is written at once is what the printer that knows nothing of it appends.
        #[test]
        fn short_values_are_those_that_are_appended(bits: u64, whole: i64, shift in 0u32..64, fraction in -1e18..1e18f64) {
            for value in [
                f64::from_bits(bits),
                (whole >> shift) as f64,
                fraction / 10f64.powi((bits % 30) as i32),
                ((whole >> shift) as f64) / 1000.0,
            ] {
                let mut out = [b'x'; SHORT_MAX];
                if let Some(len) = put_short(&mut out, value) {
                    prop_assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), format_plain(value));
                } else {
                    let magnitude = value.abs();
                    prop_assert!(!(1e-5..1e16).contains(&magnitude), "{value}");
                }
            }
        }
    }

    #[test]
    fn short_values_of_every_length() {
        let mut lengths = std::collections::BTreeSet::new();
        for value in [
            0.0,
            -1.0,
            25.0,
            0.5,
            12.5,
            123.5,
            1234.5,
            12345.5,
            123456.5,
            1234567.5,
            12345678.5,
            123456789.5,
            9007199254740991.0,
            -9007199254740992.0,
            9007199254740994.0,
            0.1 + 0.2,
            -1.2345678901234567e-5,
            1.2345678901234567,
            123456.78901234567,
            4294967296.0,
            12345678901.0,
            123456789012.0,
            1234567890123.0,
            12345678901234.0,
            123456789012345.0,
        ] {
            let mut out = [b'x'; SHORT_MAX];
            let len = put_short(&mut out, value).unwrap();
            assert_eq!(
                std::str::from_utf8(&out[..len]).unwrap(),
                format_plain(value)
            );
            lengths.insert(len);
        }
        assert!(20 <= lengths.len(), "{lengths:?}");
        for value in [f64::NAN, f64::INFINITY, 1e21, 1e-6, 1e300] {
            assert_eq!(put_short(&mut [0; SHORT_MAX], value), None);
        }
    }

    #[test]
    fn general_values() {
        for (value, expected) in [
            (123456789.0, "1.23456789e+08"),
            (100000.0, "100000"),
            (1e6, "1e+06"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (999999.9, "999999.9"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(format_general(value), expected);
        }
        assert_eq!(format_exponent(1.0), "1e+00");
    }

    #[test]
    fn of_two_as_near_the_even_digit_is_taken() {
        for (value, plain, exponent) in [
            (
                161_811_624_055_016.0 + 0.125,
                "161811624055016.12",
                "1.6181162405501612e+14",
            ),
            (
                161_811_624_055_016.0 + 0.375,
                "161811624055016.38",
                "1.6181162405501638e+14",
            ),
            (
                -108_294_677_361_724.0 - 0.875,
                "-108294677361724.88",
                "-1.0829467736172488e+14",
            ),
        ] {
            assert_eq!(format_plain(value), plain);
            assert_eq!(format_exponent(value), exponent);
        }
    }

    proptest::proptest! {
        /// The standard library prints as many digits, and the same unless two numbers are as near.
        #[test]
        fn digits_are_the_fewest_that_read_back(bits in proptest::prelude::any::<u64>(), exponent in -7..22_i32, mantissa in 1.0..10.0_f64) {
            let near = mantissa * 10_f64.powi(exponent);
            for value in [f64::from_bits(bits), near, -near, near.round(), 10_f64.powi(exponent)] {
                if !value.is_finite() {
                    continue;
                }
                for (found, expected) in [
                    (format_plain(value), value.to_string()),
                    (format_exponent(value), format!("{value:e}")),
                ] {
                    proptest::prop_assert_eq!(found.parse::<f64>().unwrap().to_bits(), value.to_bits());
                    let digits = |text: &str| text.split('e').next().unwrap().len();
                    proptest::prop_assert_eq!(digits(&found), digits(&expected), "{} {}", found, expected);
                    let last = digits(&found) - 1;
                    proptest::prop_assert_eq!(&found[..last.saturating_sub(1)], &expected[..last.saturating_sub(1)]);
                }
            }
        }
    }
}
