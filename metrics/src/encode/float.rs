//! Numbers as Go prints them: the fewest digits that read back as the same number, in the layout of `%g`.

/// Appends `value` as the text format shows it, which is Go's `strconv.AppendFloat(v, 'g', -1, 64)`.
///
/// With an exponent, of at least two digits, where that is below −4 or at least 6: `1000000` is `1e+06`, `123456789` is
/// `1.23456789e+08`, `123456` stays. Zero is `0` whatever its sign; `+Inf`, `-Inf`, `NaN`.
pub fn write_go(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if 0.0 < value { b"+Inf" } else { b"-Inf" });
    } else if value.abs() < 1e6 && value.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below a million")]
        out.extend_from_slice(itoa::Buffer::new().format(value as i32).as_bytes());
    } else {
        write_digits(out, value);
    }
}

/// Appends `value` as OpenMetrics wants a float: like [`write_go`], but never without a point or an exponent.
pub fn write_openmetrics(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    write_go(out, value);
    if out[start..]
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'-')
    {
        out.extend_from_slice(b".0");
    }
}

/// `value` is finite and not zero.
fn write_digits(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let decimal = Decimal::parse(buffer.format_finite(value.abs()).as_bytes());
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let exponent = decimal.point - 1;
    if (-4..6).contains(&exponent) {
        decimal.write_plain(out)
    } else {
        decimal.write_scientific(out, exponent)
    }
}

/// The number 0.d₁d₂d₃… × 10^`point`, with neither the first nor the last digit 0.
struct Decimal {
    /// ASCII; a double never needs more than 17, and what is parsed may carry zeros before and behind.
    digits: [u8; 32],
    count: usize,
    point: i32,
}

impl Decimal {
    /// Takes apart `123`, `12.5`, `0.001`, `1e+21` or `1.25e-7`.
    fn parse(printed: &[u8]) -> Self {
        let mut decimal = Self {
            digits: [b'0'; 32],
            count: 0,
            point: 0,
        };
        let end = printed
            .iter()
            .position(|&byte| byte == b'e')
            .unwrap_or(printed.len());
        let mut behind_point = false;
        for &byte in &printed[..end] {
            match byte {
                b'.' => behind_point = true,
                b'0' if decimal.count == 0 => decimal.point -= i32::from(behind_point),
                digit => {
                    decimal.digits[decimal.count] = digit;
                    decimal.count += 1;
                    decimal.point += i32::from(!behind_point);
                }
            }
        }
        while 1 < decimal.count && decimal.digits[decimal.count - 1] == b'0' {
            decimal.count -= 1;
        }
        let exponent = printed
            .get(end + 1..)
            .and_then(|exponent| str::from_utf8(exponent).ok()?.parse::<i32>().ok());
        decimal.point += exponent.unwrap_or(0);
        decimal
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn write_scientific(&self, out: &mut Vec<u8>, exponent: i32) {
        let (first, rest) = self.digits().split_at(1);
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(
            itoa::Buffer::new()
                .format(exponent.unsigned_abs())
                .as_bytes(),
        );
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        let digits = self.digits();
        let Ok(before) = usize::try_from(self.point) else {
            out.extend_from_slice(b"0.");
            out.extend((self.point..0).map(|_| b'0'));
            out.extend_from_slice(digits);
            return;
        };
        if before == 0 {
            out.push(b'0');
        }
        out.extend((0..before).map(|place| digits.get(place).copied().unwrap_or(b'0')));
        if let Some(rest) = digits.get(before..).filter(|rest| !rest.is_empty()) {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn go(value: f64) -> String {
        let mut out = Vec::new();
        write_go(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(value: f64, expected: &str) {
        assert_eq!(go(value), expected);
    }

    #[test]
    fn small_whole_numbers_are_plain() {
        check(0.0, "0");
        check(-0.0, "0");
        check(1.0, "1");
        check(-42.0, "-42");
        check(999_999.0, "999999");
    }

    #[test]
    fn from_a_million_on_there_is_an_exponent() {
        check(1e6, "1e+06");
        check(-1e6, "-1e+06");
        check(123_456_789.0, "1.23456789e+08");
        check(1_234_567.5, "1.2345675e+06");
        check(18_446_744_073_709_551_615.0, "1.8446744073709552e+19");
        check(1e21, "1e+21");
        check(f64::MAX, "1.7976931348623157e+308");
    }

    #[test]
    fn fractions() {
        check(0.5, "0.5");
        check(-12.25, "-12.25");
        check(0.1 + 0.2, "0.30000000000000004");
        check(123_456.75, "123456.75");
        check(1_795_177_025.91, "1.79517702591e+09");
    }

    #[test]
    fn small_numbers() {
        check(0.0001, "0.0001");
        check(0.000_123, "0.000123");
        check(0.000_01, "1e-05");
        check(0.000_012_3, "1.23e-05");
        check(5e-324, "5e-324");
        check(1.5e-10, "1.5e-10");
    }

    #[test]
    fn not_finite() {
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
        check(f64::NAN, "NaN");
    }

    #[test]
    fn openmetrics_floats_have_a_point_or_an_exponent() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-3.0, "-3.0"),
            (0.5, "0.5"),
            (1e6, "1e+06"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = b"before 7 ".to_vec();
            write_openmetrics(&mut out, value);
            assert_eq!(
                out.strip_prefix(b"before 7 ".as_slice()),
                Some(expected.as_bytes())
            );
        }
    }

    /// The obvious twin: as many digits as `{:e}` and `{}` need, laid out by `format!`. Those two take the larger one of two
    /// numbers that are as near; with the count of digits given, the even one is taken, as in Go.
    fn plain_twin(value: f64) -> String {
        let behind_point =
            |printed: &str| printed.split_once('.').map_or(0, |(_, rest)| rest.len());
        let printed = format!("{value:e}");
        let (mantissa, _) = printed.split_once('e').unwrap();
        let printed = format!("{value:.*e}", behind_point(mantissa));
        let (mantissa, exponent) = printed.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        if (-4..6).contains(&exponent) {
            let printed = format!("{value}");
            return format!("{value:.*}", behind_point(&printed));
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }

    #[test]
    fn of_two_as_near_the_even_one_is_printed() {
        let value = f64::from_bits(4_835_074_384_653_830_889);
        check(value, "1.8038960281647942e+15");
        assert_eq!(plain_twin(value), "1.8038960281647942e+15");
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_twin(bits in any::<u64>(), small in -1e7..1e7_f64) {
            for value in [f64::from_bits(bits), small, small / 1e9, small.round()] {
                if value.is_finite() && value != 0.0 {
                    prop_assert_eq!(go(value), plain_twin(value));
                    prop_assert_eq!(go(value).parse::<f64>().unwrap(), value);
                }
            }
        }
    }
}
