//! What is done to a value so that it stays one value where it stands.

use super::attribute::{self, AttributeKind};
use super::context::{Context, Delim, Element, State};
use super::script::Literal;
use super::transition::transition;
use super::url::REFUSED;
use super::{script, style, url};
use crate::template::functions;
use crate::template::json::to_json;
use crate::template::value::Value;

/// One step of escaping; a value goes through several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::template) enum Escaper {
    /// For the text of an element.
    Text,
    /// For the text of `<textarea>` and `<title>`.
    Rcdata,
    /// For an attribute's value in quotes.
    Attr,
    /// For an attribute's value without quotes.
    Unquoted,
    /// For the name of an attribute, which must be a harmless one.
    AttrName,
    /// For a comment: nothing is left.
    Comment,
    /// For the begin of a URL, whose scheme must be a harmless one.
    UrlFilter,
    /// For a URL before its query.
    UrlNormalize,
    /// For a part of a URL's query or fragment.
    UrlPart,
    /// For the images of a `srcset`.
    Srcset,
    /// For a value of a script.
    JsValue,
    JsString,
    JsTemplate,
    JsRegexp,
    /// For a value of a style.
    CssValue,
    CssString,
    /// The function `html`, which the template names itself.
    FunctionHtml,
    /// The function `urlquery`, which the template names itself.
    FunctionUrlquery,
}

impl Escaper {
    /// Returns the function of the language of which this step does the work.
    pub(super) fn function(self) -> Option<(&'static str, Escaper)> {
        match self {
            Escaper::Text | Escaper::Rcdata | Escaper::Attr => {
                Some(("html", Escaper::FunctionHtml))
            }
            Escaper::UrlPart | Escaper::UrlNormalize => {
                Some(("urlquery", Escaper::FunctionUrlquery))
            }
            _ => None,
        }
    }

    /// Returns whether this step changes nothing right after `before`.
    pub(super) fn is_redundant_after(self, before: Escaper) -> bool {
        match before {
            Escaper::Comment => matches!(self, Escaper::Attr | Escaper::Text),
            Escaper::CssString
            | Escaper::JsRegexp
            | Escaper::JsString
            | Escaper::JsTemplate
            | Escaper::UrlPart => self == Escaper::Attr,
            _ => false,
        }
    }

    /// Returns the value as text for its place.
    pub(in crate::template) fn apply(self, value: &Value) -> String {
        let text = plain(value);
        let is_html = matches!(value, Value::Html(_));
        let is_url = matches!(value, Value::Url(_));
        match self {
            Escaper::Text if is_html => text,
            Escaper::Text => quoted(&text, Ampersand::Escaped),
            Escaper::Rcdata if is_html => quoted(&text, Ampersand::Kept),
            Escaper::Rcdata => quoted(&text, Ampersand::Escaped),
            Escaper::Attr if is_html => quoted(&without_tags(&text), Ampersand::Kept),
            Escaper::Attr => quoted(&text, Ampersand::Escaped),
            // An empty value would make a value of what follows.
            Escaper::Unquoted if text.is_empty() => REFUSED.to_owned(),
            Escaper::Unquoted if is_html => unquoted(&without_tags(&text), Ampersand::Kept),
            Escaper::Unquoted => unquoted(&text, Ampersand::Escaped),
            Escaper::AttrName => attr_name(&text),
            Escaper::Comment => String::new(),
            Escaper::UrlFilter if is_url => text,
            Escaper::UrlFilter => url::filter(&text),
            Escaper::UrlPart if !is_url => url::escape_part(&text),
            Escaper::UrlNormalize | Escaper::UrlPart => url::normalize(&text),
            // A comma would begin the next image.
            Escaper::Srcset if is_url => url::normalize(&text).replace(',', "%2c"),
            Escaper::Srcset => url::filter_srcset(&text),
            Escaper::JsValue => js_value(value),
            Escaper::JsString => script::escape(&text, Literal::String),
            Escaper::JsTemplate => script::escape(&text, Literal::Template),
            Escaper::JsRegexp => script::escape(&text, Literal::Regexp),
            Escaper::CssValue => style::value(&text).unwrap_or_else(|| REFUSED.to_owned()),
            Escaper::CssString => style::escape_string(&text),
            Escaper::FunctionHtml => functions::html_escape(&text),
            Escaper::FunctionUrlquery => net::escape::form(&text),
        }
    }
}

/// Returns how the value prints; nothing prints as nothing.
fn plain(value: &Value) -> String {
    match value {
        Value::Nil => String::new(),
        value => value.to_string(),
    }
}

/// Whether references in the text are its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ampersand {
    Escaped,
    Kept,
}

fn quoted(text: &str, ampersand: Ampersand) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '&' if ampersand == Ampersand::Escaped => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' | '\'' | '+' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn unquoted(text: &str, ampersand: Ampersand) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push_str("&#xfffd;"),
            '&' if ampersand == Ampersand::Escaped => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t'..='\r' | ' ' | '"' | '\'' | '+' | '=' | '`' => {
                out.push_str(&format!("&#{};", u32::from(c)));
            }
            // Some browsers end a value at these.
            '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{ffff}' => {
                out.push_str(&format!("&#x{:x};", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

fn attr_name(text: &str) -> String {
    let name = text.to_lowercase();
    let is_known = attribute::kind_of(&name) != AttributeKind::Plain;
    let is_word = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    match name.is_empty() || is_known || !is_word {
        true => REFUSED.to_owned(),
        false => name,
    }
}

fn js_value(value: &Value) -> String {
    let json = match value {
        // What can print itself is the text that it prints.
        Value::Duration(_) => to_json(&value.to_string().into()),
        Value::Object(object) if object.is_printed_in_scripts() => to_json(&object.print().into()),
        value => to_json(value),
    };
    match json {
        Ok(json) => script::padded(&json),
        Err(why) => script::null_because(&why),
    }
}

/// Returns the text of a piece of HTML.
fn without_tags(html: &str) -> String {
    let bytes = html.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut c, mut at, mut has_tags) = (Context::default(), 0, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        if c.delim != Delim::None {
            let Some(end) = rest.iter().position(|&byte| c.delim.is_end(byte)) else {
                break;
            };
            at += end + usize::from(c.delim != Delim::SpaceOrTagEnd);
            c = Context::tag(c.element);
            continue;
        }
        let is_text = matches!(c.state, State::Text | State::Rcdata);
        let before = c.state;
        if c.element != Element::None && !c.state.is_in_tag() {
            c.state = State::Rcdata;
        }
        let Ok((next, used)) = transition(c, rest) else {
            has_tags = true;
            break;
        };
        if is_text {
            // The tag that begins here is not part of the text.
            let text = &rest[..used];
            let tag = if next.state == before {
                None
            } else {
                text.iter().rposition(|&b| b == b'<')
            };
            out.extend_from_slice(&text[..tag.unwrap_or(used)]);
        } else {
            has_tags = true;
        }
        // The end tag of a title is found without being read.
        c = next;
        at += used;
    }
    match has_tags {
        true => String::from_utf8_lossy(&out).into_owned(),
        false => html.to_owned(),
    }
}
