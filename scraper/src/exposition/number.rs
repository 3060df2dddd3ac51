//! Sample values as Go reads them: decimal floats, `Inf`, `NaN`; no hexadecimal, no underscores, no overflow.

use model::sample::NORMAL_NAN_BITS;

/// Returns the number at the start of `bytes` and how long it is, if it is a plain finite decimal; anything else is for
/// [`parse`] to decide.
pub(super) fn parse_plain_prefix(bytes: &[u8]) -> Option<(f64, usize)> {
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if !unsigned.first()?.is_ascii_digit() {
        return None;
    }
    let (value, length) = fast_float2::parse_partial::<f64, _>(bytes).ok()?;
    value.is_finite().then_some((value, length))
}

/// Returns the value of a whole token.
///
/// Source: Go's `strconv.ParseFloat`, without the hexadecimal forms that Prometheus refuses.
pub(super) fn parse(token: &str) -> Option<f64> {
    let (sign, unsigned) = match token.as_bytes().first()? {
        b'-' => (-1.0, &token[1..]),
        b'+' => (1.0, &token[1..]),
        _ => (1.0, token),
    };
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if token.eq_ignore_ascii_case("nan") {
        return Some(f64::from_bits(NORMAL_NAN_BITS));
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value: f64 = fast_float2::parse(unsigned).ok()?;
    value.is_finite().then_some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (token, expected) in [
            ("1", 1.0),
            ("-0.5e-3", -0.0005),
            ("+7", 7.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1E6", 1e6),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(parse(token), Some(expected), "{token}");
        }
        assert_eq!(parse("nAn").map(f64::to_bits), Some(NORMAL_NAN_BITS));
        for bad in [
            "", "-", "+nan", "-nan", "0x1p3", "0x10", "1_000", "1e999", "1\r", "--1", "+-1", "1e",
            "one", "i",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse_plain_prefix(b"12.5 7"), Some((12.5, 4)));
        assert_eq!(parse_plain_prefix(b"1e999 7"), None);
        assert_eq!(parse_plain_prefix(b"NaN"), None);
    }
}
