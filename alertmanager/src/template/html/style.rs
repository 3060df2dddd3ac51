//! Style sheets and style attributes: where in one a piece of text ends, and values for them.

use super::context::{Context, State};
use super::transition::{Fault, Step, after_url, bad, find_any};

/// Follows `text` from the top level of a style sheet.
pub(super) fn after_css(mut c: Context, text: &[u8]) -> Step {
    let mut from = 0;
    while let Some(at) = find_any(text, from, b"(\"'/") {
        match text[at] {
            b'(' => {
                let before = text[..at].trim_ascii_end();
                if ends_with_keyword(before, b"url") {
                    let spaces = text[at + 1..].iter().take_while(|&&b| is_space(b)).count();
                    let start = at + 1 + spaces;
                    let (state, start) = match text.get(start) {
                        Some(b'"') => (State::CssDqUrl, start + 1),
                        Some(b'\'') => (State::CssSqUrl, start + 1),
                        _ => (State::CssUrl, start),
                    };
                    c.state = state;
                    return Ok((c, start));
                }
            }
            b'/' => match text.get(at + 1) {
                Some(b'/') => {
                    c.state = State::CssLineComment;
                    return Ok((c, at + 2));
                }
                Some(b'*') => {
                    c.state = State::CssBlockComment;
                    return Ok((c, at + 2));
                }
                _ => {}
            },
            quote => {
                c.state = match quote {
                    b'"' => State::CssDqString,
                    _ => State::CssSqString,
                };
                return Ok((c, at + 1));
            }
        }
        from = at + 1;
    }
    Ok((c, text.len()))
}

/// Follows `text` from the inside of a string or a URL.
pub(super) fn after_css_string(mut c: Context, text: &[u8]) -> Step {
    let ends: &[u8] = match c.state {
        State::CssDqString | State::CssDqUrl => b"\\\"",
        State::CssSqString | State::CssSqUrl => b"\\'",
        _ => b"\\\t\n\x0c\r )",
    };
    let mut from = 0;
    while let Some(at) = find_any(text, from, ends) {
        if text[at] != b'\\' {
            c.state = State::Css;
            return Ok((c, at + 1));
        }
        let escaped = at + 1;
        if escaped == text.len() {
            return bad(Fault::Text(
                "unfinished escape sequence in CSS string:",
                text,
            ));
        }
        // What comes before an escape is looked at with it, as it may be what begins a query.
        c = after_url(c, &decode(&text[from..=escaped]));
        from = escaped + 1;
    }
    c = after_url(c, &decode(&text[from..]));
    Ok((c, text.len()))
}

/// Returns whether `text` ends with the keyword, and not as the end of a longer word.
fn ends_with_keyword(text: &[u8], keyword: &[u8]) -> bool {
    let Some(start) = text.len().checked_sub(keyword.len()) else {
        return false;
    };
    let is_in_word = String::from_utf8_lossy(&text[start.saturating_sub(4)..start])
        .chars()
        .next_back()
        .is_some_and(is_name_char);
    !is_in_word && text[start..].eq_ignore_ascii_case(keyword)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '_')
        || ('\u{80}'..='\u{fffd}').contains(&c)
        || '\u{10000}' <= c
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// Resolves the escapes of style sheets.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.iter().take(6);
        let digits = digits.take_while(|byte| byte.is_ascii_hexdigit()).count();
        match (digits, rest.first()) {
            (_, None) => return out,
            (0, Some(&byte)) => {
                out.push(byte);
                rest = &rest[1..];
            }
            _ => {
                let (c, used) = hex(&rest[..digits]);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = skip_space(&rest[used..]);
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Returns the character of at most six digits, and how many of them are its own.
fn hex(digits: &[u8]) -> (char, usize) {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0);
    let code = digits.iter().fold(0, |code, byte| code * 16 + digit(byte));
    match 0x10_ffff < code {
        true => (
            char::from_u32(code / 16).unwrap_or('\u{fffd}'),
            digits.len() - 1,
        ),
        false => (char::from_u32(code).unwrap_or('\u{fffd}'), digits.len()),
    }
}

/// Drops the one space that may follow an escape.
fn skip_space(rest: &[u8]) -> &[u8] {
    match rest {
        [b'\r', b'\n', rest @ ..] => rest,
        [byte, rest @ ..] if is_space(*byte) => rest,
        rest => rest,
    }
}

/// Returns the text for the inside of a string.
pub(super) fn escape_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push_str("\\\\");
                continue;
            }
            '\0' | '\t' | '\n' | '\x0c' | '\r' | '"' | '&' | '\'' | '(' | ')' | '+' | '/' | ':'
            | ';' | '<' | '>' | '{' | '}' => out.push_str(&format!("\\{:x}", u32::from(c))),
            c => {
                out.push(c);
                continue;
            }
        }
        // A space ends the digits where what follows could be taken for more of them.
        let is_open =
            |next: &char| next.is_ascii_hexdigit() || u8::try_from(*next).is_ok_and(is_space);
        if chars.peek().is_none_or(is_open) {
            out.push(' ');
        }
    }
    out
}

/// Returns the text as a value of a property, or `None` when it could be more than a value.
pub(super) fn value(text: &str) -> Option<String> {
    let decoded = decode(text.as_bytes());
    let mut word = Vec::new();
    for (at, &byte) in decoded.iter().enumerate() {
        match byte {
            0 | b'"' | b'\'' | b'(' | b')' | b'/' | b';' | b'@' | b'[' | b'\\' | b']' | b'`'
            | b'{' | b'}' | b'<' | b'>' => return None,
            // No comment of HTML.
            b'-' if 0 < at && decoded[at - 1] == b'-' => return None,
            b'-' => {}
            byte if byte.is_ascii() && is_name_char(char::from(byte)) => {
                word.push(byte.to_ascii_lowercase());
            }
            _ => {}
        }
    }
    let has = |what: &[u8]| word.windows(what.len()).any(|window| window == what);
    // Old browsers run what is in these.
    if has(b"expression") || has(b"mozbinding") {
        return None;
    }
    Some(String::from_utf8_lossy(&decoded).into_owned())
}
