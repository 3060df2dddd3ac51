//! Numbers and durations.

use model::Duration;

use super::Kind;

/// Reads a number or duration at the start of `text`, which begins with a digit or a point and a digit; returns it with
/// its length in bytes.
///
/// As in Go, an integer may be hexadecimal (`0x1F`) or, with a leading zero, octal; single underscores may separate digits.
pub(super) fn scan(text: &str) -> Result<(Kind, usize), String> {
    let bytes = text.as_bytes();
    let bad = |len: usize| {
        Err(format!(
            "bad number or duration syntax: \"{}\"",
            &text[..len]
        ))
    };
    let is_hex = bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X'));
    let mut at = if is_hex { 2 } else { 0 };
    at = match digits(bytes, at, is_hex) {
        Ok(end) => end,
        Err(end) => return bad(end),
    };
    if is_hex {
        if at == 2 || follows_word(bytes, at) {
            return bad(at);
        }
        return match u64::from_str_radix(&text[2..at].replace('_', ""), 16) {
            Ok(value) => Ok((Kind::Number(value as f64), at)),
            Err(_) => bad(at),
        };
    }
    let unit = bytes.get(at).copied();
    if at != 0 && matches!(unit, Some(b'y' | b'w' | b'd' | b'h' | b'm' | b's')) {
        return duration(text);
    }
    if bytes.get(at) == Some(&b'.') {
        at = match digits(bytes, at + 1, false) {
            Ok(end) | Err(end) => end,
        };
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        let exponent = at;
        at = match digits(bytes, at, false) {
            Ok(end) | Err(end) => end,
        };
        if at == exponent {
            return bad(at);
        }
    }
    if follows_word(bytes, at) {
        return bad(at);
    }
    match value(&text[..at].replace('_', "")) {
        Some(value) => Ok((Kind::Number(value), at)),
        None => bad(at),
    }
}

fn value(text: &str) -> Option<f64> {
    let is_octal =
        1 < text.len() && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if is_octal && let Ok(value) = u64::from_str_radix(text, 8) {
        return Some(value as f64);
    }
    text.parse().ok()
}

fn duration(text: &str) -> Result<(Kind, usize), String> {
    let len = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let text = &text[..len];
    match text.parse::<Duration>() {
        Ok(duration) => Ok((Kind::Duration(duration.as_secs_f64()), len)),
        Err(model::duration::ParseDurationError::OutOfRange) => {
            Err("duration out of range".to_owned())
        }
        Err(_) => Err(format!("bad number or duration syntax: \"{text}\"")),
    }
}

/// Returns where the digits from `at` on end; the error is where they go wrong, after a second underscore.
fn digits(bytes: &[u8], mut at: usize, is_hex: bool) -> Result<usize, usize> {
    let mut separated = !is_hex;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'_' {
            if separated && (at == 0 || bytes[at - 1] == b'_') {
                return Err(at + 1);
            }
            separated = true;
        } else if !(byte.is_ascii_digit() || is_hex && byte.is_ascii_hexdigit()) {
            break;
        }
        at += 1;
    }
    Ok(at)
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at)
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        || (at != 0 && bytes[at - 1] == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match scan(text) {
            Ok((kind, len)) => format!("{kind:?} {len}"),
            Err(message) => message,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers() {
        check("1", "Number(1.0) 1");
        check("2. ", "Number(2.0) 2");
        check(".5)", "Number(0.5) 2");
        check("12.34e+6", "Number(12340000.0) 8");
        check("0x1F+", "Number(31.0) 4");
        check("0x_1F", "Number(31.0) 5");
        check("010", "Number(8.0) 3");
        check("1_000", "Number(1000.0) 5");
        check("08", "Number(8.0) 2");
    }

    #[test]
    fn durations() {
        check("5m]", "Duration(300.0) 2");
        check("1h30m", "Duration(5400.0) 5");
        check("100ms", "Duration(0.1) 5");
        check("1y2w3d", "Duration(33004800.0) 6");
    }

    #[test]
    fn refused() {
        check("1__0", "bad number or duration syntax: \"1__\"");
        check("1d5", "bad number or duration syntax: \"1d5\"");
        check("5x", "bad number or duration syntax: \"5\"");
        check("1e", "bad number or duration syntax: \"1e\"");
        check("0x", "bad number or duration syntax: \"0x\"");
        check("1m1h", "bad number or duration syntax: \"1m1h\"");
        check("300y", "duration out of range");
    }
}
