//! Scripts: where in one a piece of text ends, and values for them.

use super::context::{Context, Slash, State};
use super::transition::{Fault, Step, bad, find_any};

/// Words after which a slash begins a regular expression.
const BEFORE_REGEXP: &[&[u8]] = &[
    b"break",
    b"case",
    b"continue",
    b"delete",
    b"do",
    b"else",
    b"finally",
    b"in",
    b"instanceof",
    b"return",
    b"throw",
    b"try",
    b"typeof",
    b"void",
];

/// Follows `text` from between the literals of a script.
pub(super) fn after_js(mut c: Context, text: &[u8]) -> Step {
    let Some(at) = find_any(text, 0, b"\"`'/{}<-#") else {
        c.slash = slash_after(text, c.slash);
        return Ok((c, text.len()));
    };
    c.slash = slash_after(&text[..at], c.slash);
    let rest = &text[at..];
    let mut used = 1;
    match text[at] {
        b'"' => (c.state, c.slash) = (State::JsDqString, Slash::Regexp),
        b'\'' => (c.state, c.slash) = (State::JsSqString, Slash::Regexp),
        b'`' => (c.state, c.slash) = (State::JsTemplate, Slash::Regexp),
        b'/' if rest.starts_with(b"//") => (c.state, used) = (State::JsLineComment, 2),
        b'/' if rest.starts_with(b"/*") => (c.state, used) = (State::JsBlockComment, 2),
        b'/' => match c.slash {
            Slash::Regexp => c.state = State::JsRegexp,
            Slash::Division => c.slash = Slash::Regexp,
            Slash::Unknown => return bad(Fault::Slash(rest)),
        },
        // Scripts may have comments of HTML, of which each mark reaches to the end of its line.
        b'<' if rest.starts_with(b"<!--") => (c.state, used) = (State::JsHtmlOpenComment, 4),
        b'-' if rest.starts_with(b"-->") => (c.state, used) = (State::JsHtmlCloseComment, 3),
        b'#' if rest.starts_with(b"#!") => (c.state, used) = (State::JsLineComment, 2),
        b'{' => {
            c.slash = Slash::Regexp;
            if let Some(depth) = c.braces.last_mut() {
                *depth += 1;
            }
        }
        b'}' => {
            c.slash = Slash::Regexp;
            match c.braces.last_mut() {
                Some(0) => {
                    c.braces.pop();
                    c.state = State::JsTemplate;
                }
                Some(depth) => *depth -= 1,
                None => {}
            }
        }
        _ => {}
    }
    Ok((c, at + used))
}

/// Follows `text` from the inside of a template literal.
pub(super) fn after_template(mut c: Context, text: &[u8]) -> Step {
    let mut from = 0;
    while let Some(at) = find_any(text, from, b"`\\$") {
        from = at + 1;
        match text[at] {
            b'\\' if from == text.len() => {
                return bad(Fault::Text(
                    "unfinished escape sequence in JS string:",
                    text,
                ));
            }
            b'\\' => from += 1,
            b'$' if text.get(from) == Some(&b'{') => {
                c.braces.push(0);
                c.state = State::Js;
                return Ok((c, from + 1));
            }
            b'$' => {}
            _ => {
                c.state = State::Js;
                return Ok((c, from));
            }
        }
    }
    Ok((c, text.len()))
}

/// Follows `text` from the inside of a string or a regular expression.
pub(super) fn after_string(mut c: Context, text: &[u8]) -> Step {
    let specials: &[u8] = match c.state {
        State::JsSqString => b"\\'",
        State::JsRegexp => b"\\/[]",
        _ => b"\\\"",
    };
    let (mut from, mut in_set) = (0, false);
    while let Some(at) = find_any(text, from, specials) {
        from = at + 1;
        match text[at] {
            b'\\' if from == text.len() => {
                return bad(Fault::Text(
                    "unfinished escape sequence in JS string:",
                    text,
                ));
            }
            b'\\' => from += 1,
            b'[' => in_set = true,
            b']' => in_set = false,
            // The end tag in a regular expression is escaped later on.
            b'/' if 0 < at && is_end_tag(&text[at - 1..]) => from += 1,
            _ if in_set => {}
            _ => {
                (c.state, c.slash) = (State::Js, Slash::Division);
                return Ok((c, from));
            }
        }
    }
    if in_set {
        return bad(Fault::Text("unfinished JS regexp charset:", text));
    }
    Ok((c, text.len()))
}

fn is_end_tag(text: &[u8]) -> bool {
    text.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"</script"))
}

/// Returns what a slash after `text` is, when before it it was `before`.
fn slash_after(text: &[u8], before: Slash) -> Slash {
    let lossy = String::from_utf8_lossy(&text[text.len().saturating_sub(SLASH_CONTEXT_BYTES)..]);
    let text = lossy.trim_end_matches(is_js_space).as_bytes();
    let Some(&last) = text.last() else {
        return before;
    };
    let is_regexp = match last {
        // `++` and `--` come after a value, the signs alone before one.
        b'+' | b'-' => text.iter().rev().take_while(|&&byte| byte == last).count() % 2 == 1,
        b'.' => !text
            .len()
            .checked_sub(2)
            .is_some_and(|at| text[at].is_ascii_digit()),
        b',' | b'<' | b'>' | b'=' | b'*' | b'%' | b'&' | b'|' | b'^' | b'?' | b'!' | b'~'
        | b'(' | b'[' | b':' | b';' | b'{' | b'}' => true,
        _ => {
            let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_');
            let word = text.iter().rev().take_while(is_part).count();
            BEFORE_REGEXP.contains(&&text[text.len() - word..])
        }
    };
    if is_regexp {
        Slash::Regexp
    } else {
        Slash::Division
    }
}

/// How much text before a slash decides what it is, at most.
const SLASH_CONTEXT_BYTES: usize = 4_096;

fn is_js_space(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r'
            | ' '
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{feff}'
    )
}

/// Returns the JSON of a value so that it runs into no word beside it.
pub(super) fn padded(json: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '_');
    match json.starts_with(is_part) || json.ends_with(is_part) {
        true => format!(" {json} "),
        false => json.to_owned(),
    }
}

/// Returns the place of a value that has no JSON, with the reason as a comment.
pub(super) fn null_because(reason: &str) -> String {
    let reason = reason.replace("*/", "* /");
    format!(" /* {} */null ", super::escape_script_tags(&reason))
}

/// The literals that a text may go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    String,
    Template,
    Regexp,
}

/// Returns the text for the inside of a literal.
pub(super) fn escape(text: &str, literal: Literal) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let backslash = match literal {
            Literal::String | Literal::Template => matches!(c, '/' | '\\'),
            Literal::Regexp => matches!(
                c,
                '$' | '('
                    | ')'
                    | '*'
                    | '-'
                    | '.'
                    | '/'
                    | '?'
                    | '['
                    | '\\'
                    | ']'
                    | '^'
                    | '{'
                    | '|'
                    | '}'
            ),
        };
        let code = match c {
            '"' | '&' | '\'' | '+' | '<' | '>' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => true,
            '`' => literal != Literal::Regexp,
            '$' | '{' | '}' => literal == Literal::Template,
            _ => false,
        };
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if backslash => out.extend(['\\', c]),
            c if code => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    if literal == Literal::Regexp && out.is_empty() {
        // An empty one would be a comment.
        out.push_str("(?:)");
    }
    out
}
