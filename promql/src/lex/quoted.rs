//! Quoted strings with Go's escapes.

/// Reads a string at the start of `text`, which begins with a quote; returns what it means, which escapes may make other
/// than UTF-8, and its length in bytes.
pub(super) fn scan(text: &str) -> Result<(Vec<u8>, usize), String> {
    let quote = text.as_bytes()[0];
    let body = &text[1..];
    if quote == b'`' {
        let end = body.find('`').ok_or("unterminated raw string")?;
        return Ok((body[..end].replace('\r', "").into_bytes(), end + 2));
    }
    let mut bytes = Vec::new();
    let mut rest = body;
    loop {
        let Some(special) = rest.find([char::from(quote), '\\', '\n']) else {
            return Err("unterminated quoted string".to_owned());
        };
        bytes.extend_from_slice(&rest.as_bytes()[..special]);
        rest = &rest[special..];
        match rest.as_bytes()[0] {
            b'\\' => rest = unescape(&rest[1..], quote, &mut bytes)?,
            b'\n' => return Err("unterminated quoted string".to_owned()),
            _ => break,
        }
    }
    let len = text.len() - rest.len() + 1;
    Ok((bytes, len))
}

/// Appends the meaning of the escape whose backslash was just before `text`; returns what follows it.
fn unescape<'a>(text: &'a str, quote: u8, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let Some(c) = text.chars().next() else {
        return Err("escape sequence not terminated".to_owned());
    };
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        _ if c == char::from(quote) => quote,
        '0'..='7' => {
            let code = code(text, 0, 3, 8)?;
            out.push(
                u8::try_from(code)
                    .map_err(|_| "escape sequence is an invalid Unicode code point")?,
            );
            return Ok(&text[3..]);
        }
        'x' => {
            let code = code(text, 1, 2, 16)?;
            out.extend(u8::try_from(code));
            return Ok(&text[3..]);
        }
        'u' | 'U' => {
            let digits = if c == 'u' { 4 } else { 8 };
            let c = char::from_u32(code(text, 1, digits, 16)?)
                .ok_or("escape sequence is an invalid Unicode code point")?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(&text[1 + digits..]);
        }
        _ => {
            let code = u32::from(c);
            return Err(format!("unknown escape sequence U+{code:04X} '{c}'"));
        }
    };
    out.push(simple);
    Ok(&text[1..])
}

fn code(text: &str, from: usize, digits: usize, radix: u32) -> Result<u32, String> {
    text.get(from..from + digits)
        .filter(|digits| digits.chars().all(|c| c.is_digit(radix)))
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
        .ok_or_else(|| "illegal character in escape sequence".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match scan(text) {
            Ok((value, len)) => format!("{} {len}", value.escape_ascii()),
            Err(message) => message,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn strings() {
        check(r#""a" b"#, "a 3");
        check(r#"'it\'s "x"'"#, r#"it\'s \"x\" 11"#);
        check(
            r#""\x41\101\u00e9\U0001F525\t""#,
            r"AA\xc3\xa9\xf0\x9f\x94\xa5\t 28",
        );
        check("`raw\\n\n`", r"raw\\n\n 8");
        check(r#""\xc3\xa9""#, r"\xc3\xa9 10");
        check(r#""\xff""#, r"\xff 6");
    }

    #[test]
    fn refused() {
        check("\"a", "unterminated quoted string");
        check("\"a\nb\"", "unterminated quoted string");
        check("`a", "unterminated raw string");
        check(r#""\q""#, "unknown escape sequence U+0071 'q'");
        check(r#""\x4""#, "illegal character in escape sequence");
        check(
            r#""\ud800""#,
            "escape sequence is an invalid Unicode code point",
        );
    }
}
