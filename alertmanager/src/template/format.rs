//! Go's `fmt`: `printf`, `print` and `println`.

use model::float::{format_exponent, format_general, format_plain};
use model::name::Quoted;

use super::value::Value;

/// Widths and precisions up to this are obeyed, larger ones count as this.
const WIDTH_MAX: usize = 50_000;

/// Returns Go's `fmt.Sprint`: a space between two operands when neither is a string.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let strings = i == 0 || value.as_str().is_some() || values[i - 1].as_str().is_some();
        if !strings {
            out.push(' ');
        }
        out.push_str(&value.to_string());
    }
    out
}

/// Returns Go's `fmt.Sprintln`: spaces between all operands and a newline at the end.
pub(super) fn println(values: &[Value]) -> String {
    let texts: Vec<_> = values.iter().map(Value::to_string).collect();
    texts.join(" ") + "\n"
}

#[derive(Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Returns Go's `fmt.Sprintf`. What does not fit shows in the text, as in Go: `%!d(string=x)`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next_value = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(&c) = chars.peek() {
            match c {
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            chars.next();
        }
        flags.width = number(&mut chars, values, &mut next_value, &mut out, "WIDTH");
        if chars.peek() == Some(&'.') {
            chars.next();
            flags.precision =
                number(&mut chars, values, &mut next_value, &mut out, "PREC").or(Some(0));
        }
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        match values.get(next_value) {
            Some(value) => out.push_str(&one(verb, flags, value)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        next_value += 1;
    }
    if next_value < values.len() {
        let extra: Vec<_> = values[next_value..].iter().map(with_type).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// Reads a width or a precision, which may be `*` and so the next value.
fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &[Value],
    next_value: &mut usize,
    out: &mut String,
    what: &str,
) -> Option<usize> {
    if chars.peek() == Some(&'*') {
        chars.next();
        let value = values.get(*next_value);
        *next_value += 1;
        if let Some(Value::Int(n)) = value
            && let Ok(n) = usize::try_from(*n)
            && n <= WIDTH_MAX
        {
            return Some(n);
        }
        out.push_str(&format!("%!(BAD{what})"));
        return None;
    }
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let grown = number.unwrap_or(0) * 10 + digit as usize;
        number = Some(grown.min(WIDTH_MAX));
    }
    number
}

fn with_type(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        value => format!("{}={value}", value.type_name()),
    }
}

fn one(verb: char, flags: Flags, value: &Value) -> String {
    if verb == 'T' {
        return pad(value.type_name().to_owned(), flags);
    }
    let formatted = match value {
        Value::Nil if verb == 'v' => Some(pad("<nil>".to_owned(), flags)),
        Value::Nil => return format!("%!{verb}(<nil>)"),
        Value::Bool(value) => matches!(verb, 't' | 'v').then(|| pad(value.to_string(), flags)),
        Value::Int(n) => integer(verb, flags, *n),
        Value::Duration(ns) if !matches!(verb, 'v' | 's') => integer(verb, flags, *ns),
        Value::Float(n) => float(verb, flags, *n),
        Value::List(list) => {
            let items: Vec<_> = list
                .items
                .iter()
                .map(|item| one(verb, flags, item))
                .collect();
            Some(format!("[{}]", items.join(" ")))
        }
        Value::Map(map) => {
            let entries: Vec<_> = map
                .entries
                .iter()
                .map(|(k, v)| {
                    format!(
                        "{}:{}",
                        one(verb, flags, &Value::string(k)),
                        one(verb, flags, v)
                    )
                })
                .collect();
            Some(format!("map[{}]", entries.join(" ")))
        }
        value => text(verb, flags, &value.to_string()),
    };
    formatted.unwrap_or_else(|| format!("%!{verb}({})", with_type(value)))
}

fn text(verb: char, flags: Flags, text: &str) -> Option<String> {
    let cut: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    Some(match verb {
        'v' if flags.sharp => pad(Quoted(&cut).to_string(), flags),
        'v' | 's' => pad(cut, flags),
        'q' if flags.sharp && !cut.contains('`') => pad(format!("`{cut}`"), flags),
        'q' => pad(Quoted(&cut).to_string(), flags),
        'x' | 'X' => {
            let separator = if flags.space { " " } else { "" };
            let bytes: Vec<_> = text
                .bytes()
                .take(flags.precision.unwrap_or(usize::MAX))
                .map(|b| {
                    if verb == 'x' {
                        format!("{b:02x}")
                    } else {
                        format!("{b:02X}")
                    }
                })
                .collect();
            pad(bytes.join(separator), flags)
        }
        _ => return None,
    })
}

fn integer(verb: char, flags: Flags, n: i64) -> Option<String> {
    let magnitude = n.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' => format!("{}{magnitude:o}", if flags.sharp { "0" } else { "" }),
        'O' => format!("0o{magnitude:o}"),
        'x' => format!("{}{magnitude:x}", if flags.sharp { "0x" } else { "" }),
        'X' => format!("{}{magnitude:X}", if flags.sharp { "0X" } else { "" }),
        'c' | 'q' | 'U' => {
            let code = u32::try_from(n)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}');
            let text = match verb {
                'c' => code.to_string(),
                'q' => format!("'{}'", code.escape_default()),
                _ => format!("U+{magnitude:04X}"),
            };
            return Some(pad(text, flags));
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 's' | 't' => return None,
        _ => return None,
    };
    let digits = match flags.precision {
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    Some(signed(n < 0, digits, flags, flags.precision.is_none()))
}

/// Puts the sign before `digits` and pads, with zeros between the two if that is asked for and allowed.
fn signed(is_negative: bool, digits: String, flags: Flags, may_zero: bool) -> String {
    let sign = match (is_negative, flags.plus, flags.space) {
        (true, _, _) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let width = flags.width.unwrap_or(0);
    if flags.zero && may_zero && !flags.minus {
        let width = width.saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}");
    }
    pad(format!("{sign}{digits}"), flags)
}

fn float(verb: char, flags: Flags, value: f64) -> Option<String> {
    if !matches!(verb, 'v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G') {
        return None;
    }
    if value.is_nan() {
        return Some(pad(
            if flags.plus { "+NaN" } else { "NaN" }.to_owned(),
            flags,
        ));
    }
    if value.is_infinite() {
        return Some(pad(
            if value < 0.0 { "-Inf" } else { "+Inf" }.to_owned(),
            flags,
        ));
    }
    let magnitude = value.abs();
    let digits = match (verb.to_ascii_lowercase(), flags.precision) {
        ('f', precision) => format!("{magnitude:.*}", precision.unwrap_or(6)),
        ('e', precision) => exponent(magnitude, precision.unwrap_or(6)),
        (_, Some(precision)) => general(magnitude, precision),
        (_, None) => format_general(magnitude),
    };
    let digits = if verb.is_ascii_uppercase() {
        digits.to_uppercase()
    } else {
        digits
    };
    Some(signed(value.is_sign_negative(), digits, flags, true))
}

/// Returns `%.<precision>e` of a finite, non-negative number.
fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// Returns `%.<precision>g` of a finite number: so many significant digits, no trailing zeros.
pub(super) fn general(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return format_plain(value);
    }
    if value < 0.0 {
        return format!("-{}", general(-value, precision));
    }
    let precision = precision.max(1);
    let rounded: f64 = match format!("{value:.*e}", precision - 1).parse() {
        Ok(rounded) => rounded,
        Err(_) => value,
    };
    if rounded == 0.0 {
        return "0".to_owned();
    }
    let text = format_exponent(rounded);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let digits =
        i64::try_from(mantissa.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i64::MAX);
    let mut threshold = i64::try_from(precision).unwrap_or(i64::MAX);
    if digits < threshold && exponent < digits {
        threshold = digits;
    }
    if exponent < -4 || threshold <= exponent {
        text
    } else {
        format_plain(rounded)
    }
}

fn pad(text: String, flags: Flags) -> String {
    let width = flags.width.unwrap_or(0);
    if flags.minus {
        format!("{text:<width$}")
    } else if flags.zero {
        format!("{text:0>width$}")
    } else {
        format!("{text:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, values: &[Value], expected: &str) {
        assert_eq!(printf(format, values), expected);
    }

    #[test]
    fn numbers() {
        let int = Value::Int;
        check(
            "%d|%5d|%-5d|%05d|%x|%X|%o|%b|%c",
            &[
                int(42),
                int(42),
                int(42),
                int(42),
                int(255),
                int(255),
                int(8),
                int(5),
                int(65),
            ],
            "42|   42|42   |00042|ff|FF|10|101|A",
        );
        let float = Value::Float;
        check(
            "%f|%.2f|%8.3f|%e|%g|%G",
            &[
                float(1.25),
                float(1.255),
                float(-7.14159),
                float(314_159.0),
                float(0.000_001),
                float(1e21),
            ],
            "1.250000|1.25|  -7.142|3.141590e+05|1e-06|1E+21",
        );
        check(
            "%.3g %.4g %.4g",
            &[float(1234.5678), float(0.5), float(123_450.0)],
            "1.23e+03 0.5 1.234e+05",
        );
        check(
            "%06.1f %+d % d",
            &[float(-2.5), int(3), int(4)],
            "-002.5 +3  4",
        );
        check(
            "%v %.2f",
            &[float(f64::INFINITY), float(f64::NAN)],
            "+Inf NaN",
        );
    }

    #[test]
    fn text() {
        let hi = || Value::from("hi");
        check(
            "%s|%10s|%-10s|%q|%x",
            &[hi(), hi(), hi(), "hi\n".into(), hi()],
            "hi|        hi|hi        |\"hi\\n\"|6869",
        );
    }

    #[test]
    fn what_does_not_fit_shows() {
        check("%d", &["str".into()], "%!d(string=str)");
        check("%s", &[Value::Int(5)], "%!s(int=5)");
        check("%s %s", &["one".into()], "one %!s(MISSING)");
        check(
            "%s",
            &["one".into(), "two".into()],
            "one%!(EXTRA string=two)",
        );
        check("100%", &[], "100%!(NOVERB)");
        check("%%", &[], "%");
    }

    #[test]
    fn print_spaces() {
        let values = [
            "a".into(),
            Value::Int(1),
            Value::Int(2),
            "b".into(),
            "c".into(),
            Value::Float(3.0),
            Value::Bool(true),
        ];
        assert_eq!(print(&values), "a1 2bc3 true");
        assert_eq!(println(&values[..2]), "a 1\n");
    }
}
