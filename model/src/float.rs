//! Floats printed as Go prints them, because that is what Prometheus' clients read and what its users compare.

/// Appends `value` as the HTTP API prints sample values: Go's `'f'` format with the fewest digits that read back,
/// and `'e'` below 1e-6 and from 1e21 on; `NaN`, `+Inf`, `-Inf`.
pub fn append_json(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        append_exponent(out, value);
    } else {
        append_plain(out, value);
    }
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
    use std::io::Write as _;
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value < 0.0 { b"-Inf" } else { b"+Inf" });
    } else {
        write!(out, "{value}").expect("writing to a Vec cannot fail");
    }
}

/// Appends a finite `value` in Go's `'e'` format: shortest mantissa, a sign and at least two digits of exponent.
pub fn append_exponent(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    out.extend_from_slice(mantissa.as_bytes());
    out.push(b'e');
    out.push(sign as u8);
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
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
}
