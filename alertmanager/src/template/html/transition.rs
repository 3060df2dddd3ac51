//! How a piece of text leads from one context to the next.
//!
//! A transition reads from the begin of a text up to where the context changes, or to its end.

use model::name::Quoted;

use super::context::{Attr, Context, Delim, Element, State, UrlPart};
use super::{attribute, entity, script, style};

/// The context after a piece of text, and how many bytes it is long.
pub(super) type Step = Result<(Context, usize), String>;

/// What is wrong with a text; becomes Go's words.
pub(super) enum Fault<'a> {
    /// Something about the whole text.
    Text(&'static str, &'a [u8]),
    /// A slash that branches before it make two things of.
    Slash(&'a [u8]),
    /// A byte that must not stand in an attribute's name.
    InName(u8, &'a [u8]),
    /// A byte that must not stand in a value without quotes.
    InValue(u8, &'a [u8]),
}

/// How much of a text an error shows, in characters.
const SHOWN_CHARS: usize = 32;

/// Returns the fault as an error.
pub(super) fn bad<T>(fault: Fault<'_>) -> Result<T, String> {
    let all = |text: &[u8]| Quoted(&String::from_utf8_lossy(text)).to_string();
    let start = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        Quoted(&text.chars().take(SHOWN_CHARS).collect::<String>()).to_string()
    };
    Err(match fault {
        Fault::Text(what, text) => format!("{what} {}", all(text)),
        Fault::Slash(text) => format!("'/' could start a division or regexp: {}", start(text)),
        Fault::InName(byte, text) => format!("{} in attribute name: {}", all(&[byte]), start(text)),
        Fault::InValue(byte, text) => format!("{} in unquoted attr: {}", all(&[byte]), all(text)),
    })
}

/// Returns where the first of `bytes` is in `text`, from `from` on.
pub(super) fn find_any(text: &[u8], from: usize, bytes: &[u8]) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter()
        .position(|byte| bytes.contains(byte))
        .map(|at| from + at)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Follows `text` to the next change of context, in the contents of an element, a tag, or an attribute's value.
///
/// * `end_tag`: where in `text` the tag begins that ends the current element, if one does.
pub(super) fn after_text(c: Context, text: &[u8], end_tag: Option<usize>) -> Step {
    if c.delim == Delim::None {
        return match end_tag {
            Some(0) => Ok((Context::default(), 0)),
            Some(end) => transition(c, &text[..end]),
            None => transition(c, text),
        };
    }
    let end = text.iter().position(|&byte| c.delim.is_end(byte));
    let value = &text[..end.unwrap_or(text.len())];
    if c.delim == Delim::SpaceOrTagEnd
        && let Some(at) = find_any(value, 0, b"\"'<=`")
    {
        // Browsers disagree on what these mean here.
        return bad(Fault::InValue(value[at], value));
    }
    let Some(end) = end else {
        let decoded = entity::decode(value);
        let (mut c, mut rest) = (c, decoded.as_slice());
        while !rest.is_empty() {
            let (next, used) = transition(c, rest)?;
            (c, rest) = (next, &rest[used..]);
        }
        return Ok((c, text.len()));
    };
    let is_data = c.state == State::Attr
        && c.element == Element::Script
        && c.attr == Attr::ScriptType
        && !attribute::is_script_type(value);
    let element = if is_data { Element::None } else { c.element };
    let quote = usize::from(c.delim != Delim::SpaceOrTagEnd);
    Ok((Context::tag(element), end + quote))
}

/// Follows `text` to the next change of context, which is in it as a whole.
pub(super) fn transition(c: Context, text: &[u8]) -> Step {
    match c.state {
        State::Text => Ok(after_markup(c, text)),
        State::Tag => after_tag(c, text),
        State::AttrName => {
            let end = attr_name_end(text, 0)?;
            let state = if end < text.len() {
                State::AfterName
            } else {
                c.state
            };
            Ok((Context { state, ..c }, end))
        }
        State::AfterName => Ok(after_name(c, text)),
        State::BeforeValue => Ok(before_value(c, text)),
        State::HtmlComment => Ok(match find(text, b"-->") {
            Some(at) => (Context::default(), at + 3),
            None => (c, text.len()),
        }),
        State::Rcdata => Ok(match end_tag(c.element, text) {
            Some(end) => (Context::default(), end),
            None => (c, text.len()),
        }),
        State::Attr | State::Dead => Ok((c, text.len())),
        State::Url | State::Srcset => Ok((after_url(c, text), text.len())),
        State::MetaContent => Ok(after_meta(c, text)),
        State::MetaContentUrl => Ok(match text.iter().position(|&byte| byte == b';') {
            Some(at) => (
                Context {
                    state: State::MetaContent,
                    ..c
                },
                at + 1,
            ),
            None => (c, text.len()),
        }),
        State::Js => script::after_js(c, text),
        State::JsTemplate => script::after_template(c, text),
        State::JsDqString | State::JsSqString | State::JsRegexp => script::after_string(c, text),
        State::JsBlockComment => Ok(after_block_comment(c, text, State::Js)),
        State::CssBlockComment => Ok(after_block_comment(c, text, State::Css)),
        State::JsLineComment | State::JsHtmlOpenComment | State::JsHtmlCloseComment => {
            Ok(after_line(c, text, State::Js))
        }
        State::CssLineComment => Ok(after_line(c, text, State::Css)),
        State::Css => style::after_css(c, text),
        State::CssDqString
        | State::CssSqString
        | State::CssDqUrl
        | State::CssSqUrl
        | State::CssUrl => style::after_css_string(c, text),
    }
}

/// Returns where the tag begins that ends the element whose contents `text` is in.
pub(super) fn end_tag(element: Element, text: &[u8]) -> Option<usize> {
    let name = element.end_tag()?;
    let mut from = 0;
    loop {
        let at = from + find(&text[from..], b"</")?;
        let rest = &text[at + 2..];
        let is_named = rest
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name));
        let after = rest.get(name.len());
        if is_named && after.is_some_and(|byte| b"> \t\n\x0c/".contains(byte)) {
            return Some(at);
        }
        from = at + 2;
    }
}

fn after_markup(c: Context, text: &[u8]) -> (Context, usize) {
    let mut from = 0;
    while let Some(at) = find_any(text, from, b"<") {
        if text[at..].starts_with(b"<!--") {
            return (Context::of(State::HtmlComment), at + 4);
        }
        let is_end = text.get(at + 1) == Some(&b'/');
        let name = at + 1 + usize::from(is_end);
        let end = tag_name_end(text, name);
        if name < end {
            let element = if is_end {
                Element::None
            } else {
                Element::of(&text[name..end])
            };
            return (Context::tag(element), end);
        }
        from = name;
    }
    (c, text.len())
}

/// Returns where the tag's name ends that begins at `start`; `start` if there is none.
fn tag_name_end(text: &[u8], start: usize) -> usize {
    let is_alphanumeric = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    if !text.get(start).is_some_and(u8::is_ascii_alphabetic) {
        return start;
    }
    let mut end = start + 1;
    loop {
        if is_alphanumeric(end) {
            end += 1;
        } else if matches!(text.get(end), Some(b':' | b'-')) && is_alphanumeric(end + 1) {
            end += 2;
        } else {
            return end;
        }
    }
}

fn after_tag(c: Context, text: &[u8]) -> Step {
    let start = spaces(text);
    if start == text.len() {
        return Ok((c, text.len()));
    }
    if text[start] == b'>' {
        let inside = Context {
            state: c.element.content(),
            // Nothing ends with the end of `<meta>`.
            element: if c.element == Element::Meta {
                Element::None
            } else {
                c.element
            },
            ..Context::default()
        };
        return Ok((inside, start + 1));
    }
    let end = attr_name_end(text, start)?;
    if start == end {
        return bad(Fault::Text(
            "expected space, attr name, or end of tag, but got",
            &text[start..],
        ));
    }
    let name = String::from_utf8_lossy(&text[start..end]).to_lowercase();
    let next = Context {
        state: if end == text.len() {
            State::AttrName
        } else {
            State::AfterName
        },
        attr: attribute::attr_of(c.element, &name),
        ..Context::tag(c.element)
    };
    Ok((next, end))
}

fn attr_name_end(text: &[u8], start: usize) -> Result<usize, String> {
    match find_any(text, start, b" \t\n\x0c\r=>'\"<") {
        Some(at) if matches!(text[at], b'\'' | b'"' | b'<') => bad(Fault::InName(text[at], text)),
        Some(at) => Ok(at),
        None => Ok(text.len()),
    }
}

fn after_name(c: Context, text: &[u8]) -> (Context, usize) {
    let start = spaces(text);
    match text.get(start) {
        None => (c, start),
        Some(b'=') => (
            Context {
                state: State::BeforeValue,
                ..c
            },
            start + 1,
        ),
        Some(_) => (
            Context {
                state: State::Tag,
                ..c
            },
            start,
        ),
    }
}

fn before_value(c: Context, text: &[u8]) -> (Context, usize) {
    let start = spaces(text);
    let (delim, start) = match text.get(start) {
        None => return (c, start),
        Some(b'"') => (Delim::DoubleQuote, start + 1),
        Some(b'\'') => (Delim::SingleQuote, start + 1),
        Some(_) => (Delim::SpaceOrTagEnd, start),
    };
    let state = c.attr.start();
    (Context { state, delim, ..c }, start)
}

/// Follows a part of a URL.
pub(super) fn after_url(mut c: Context, text: &[u8]) -> Context {
    if find_any(text, 0, b"#?").is_some() {
        c.url_part = UrlPart::QueryOrFragment;
    } else if spaces(text) < text.len() && c.url_part == UrlPart::None {
        c.url_part = UrlPart::PreQuery;
    }
    c
}

fn after_meta(c: Context, text: &[u8]) -> (Context, usize) {
    let url = text
        .windows(4)
        .position(|window| window.eq_ignore_ascii_case(b"url="));
    match url {
        Some(at) => (
            Context {
                state: State::MetaContentUrl,
                ..c
            },
            at + 4,
        ),
        None => (c, text.len()),
    }
}

fn after_block_comment(c: Context, text: &[u8], state: State) -> (Context, usize) {
    match find(text, b"*/") {
        Some(at) => (Context { state, ..c }, at + 2),
        None => (c, text.len()),
    }
}

fn after_line(c: Context, text: &[u8], state: State) -> (Context, usize) {
    let is_end = |at: &usize| match state {
        State::Js => is_js_line_end(&text[*at..]),
        _ => matches!(text[*at], b'\n' | b'\x0c' | b'\r'),
    };
    match (0..text.len()).find(is_end) {
        Some(at) => (Context { state, ..c }, at),
        None => (c, text.len()),
    }
}

/// Returns whether `text` begins with what ends a line of a script.
pub(super) fn is_js_line_end(text: &[u8]) -> bool {
    matches!(text, [b'\n' | b'\r', ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..])
}

fn spaces(text: &[u8]) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r');
    text.iter().take_while(is_space).count()
}
