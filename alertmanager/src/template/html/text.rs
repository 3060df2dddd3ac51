//! The texts of a template: comments go, and what only looks like a tag is escaped.

use super::context::{Context, Delim, Element, State};
use super::transition::{after_text, end_tag, is_js_line_end};
use super::{Fault, Result, escape_script_tags};

/// Returns the context after `text`, and the text as it is printed.
///
/// `pay` is told how many bytes are looked at.
pub(super) fn escape(
    c: Context,
    text: &str,
    pay: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(Context, String)> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut c, mut at, mut written) = (c, 0, 0);
    let mut end_tags = EndTags::default();
    while at < bytes.len() {
        pay(c.braces.len())?;
        let state = c.state;
        let is_bare = c.delim == Delim::None;
        let rest = &bytes[at..];
        let end_tag = end_tags.after(at, &c, bytes);
        let (next, used) = after_text(c, rest, end_tag).map_err(Fault::of)?;
        let end = at + used;
        pay(used)?;
        if matches!(state, State::Text | State::Rcdata) {
            let tag = match next.state == state {
                true => None,
                false => bytes[at..end].iter().rposition(|&byte| byte == b'<'),
            };
            let text_end = tag.map_or(end, |tag| at + tag);
            for angle in at..text_end {
                if bytes[angle] == b'<' && !is_doctype(&bytes[angle..]) {
                    out.extend_from_slice(&bytes[written..angle]);
                    out.extend_from_slice(b"&lt;");
                    written = angle + 1;
                }
            }
        } else if state.is_comment() && is_bare {
            out.extend_from_slice(stand_in(state, &bytes[written..end]));
            written = end;
        }
        if state != next.state && next.state.is_comment() && next.delim == Delim::None {
            let mark = match next.state {
                State::HtmlComment | State::JsHtmlOpenComment => 4,
                State::JsHtmlCloseComment => 3,
                _ => 2,
            };
            out.extend_from_slice(&bytes[written..(end - mark).max(written)]);
            written = end;
        }
        if state.is_script_literal() && bytes[at..end].contains(&b'<') {
            let literal = String::from_utf8_lossy(&bytes[at..end]);
            out.extend_from_slice(&bytes[written..at]);
            out.extend_from_slice(escape_script_tags(&literal).as_bytes());
            written = end;
        }
        debug_assert!(at < end || state != next.state, "{state:?} stays at {at}");
        (c, at) = (next, end);
    }
    if written == 0 {
        return Ok((c, text.to_owned()));
    }
    if !(c.state.is_comment() && c.delim == Delim::None) {
        out.extend_from_slice(&bytes[written..]);
    }
    Ok((c, String::from_utf8_lossy(&out).into_owned()))
}

/// The last end tag that was looked for, so that a long script is not searched from each of its words on.
#[derive(Default)]
struct EndTags {
    element: Element,
    /// Where it is, or that there is none to the end.
    found: Option<Option<usize>>,
}

impl EndTags {
    /// Returns how far after `at` the tag begins that ends the element which `c` is in.
    fn after(&mut self, at: usize, c: &Context, bytes: &[u8]) -> Option<usize> {
        // In a literal of a script its end tag is escaped, and so ends nothing.
        let is_literal = c.state.is_script_literal() || c.state.is_comment();
        if c.delim != Delim::None || c.element == Element::Script && is_literal {
            return None;
        }
        let is_known = self.element == c.element
            && self
                .found
                .is_some_and(|found| found.is_none_or(|end| at <= end));
        if !is_known {
            self.element = c.element;
            self.found = Some(end_tag(c.element, &bytes[at..]).map(|end| at + end));
        }
        self.found.flatten().map(|end| end - at)
    }
}

/// Returns what a comment leaves behind.
fn stand_in(state: State, comment: &[u8]) -> &'static [u8] {
    match state {
        // It counts as the end of a line if there is one in it.
        State::JsBlockComment if (0..comment.len()).any(|at| is_js_line_end(&comment[at..])) => {
            b"\n"
        }
        State::JsBlockComment | State::CssBlockComment => b" ",
        _ => b"",
    }
}

fn is_doctype(text: &[u8]) -> bool {
    const DOCTYPE: &[u8] = b"<!DOCTYPE";
    text.get(..DOCTYPE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(DOCTYPE))
}
