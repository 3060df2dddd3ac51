//! What the values of HTML's attributes are.

use super::context::{Attr, Element};

/// What the value of an attribute is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeKind {
    Plain,
    Html,
    Url,
    Style,
    Script,
    Srcset,
    /// It changes what others mean, so that no template may choose it.
    Unsafe,
}

/// Attributes whose value is a URL.
const URLS: &[&str] = &[
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
];

/// Attributes that change how the page, a form or an element is read.
const UNSAFE: &[&str] = &[
    "accept-charset",
    "async",
    "challenge",
    "charset",
    "content",
    "crossorigin",
    "defer",
    "enctype",
    "form",
    "formenctype",
    "formmethod",
    "formnovalidate",
    "http-equiv",
    "keytype",
    "language",
    "method",
    "novalidate",
    "pattern",
    "rel",
    "sandbox",
    "type",
    "value",
];

/// Returns what the attribute `name`, in lower case, is.
pub(super) fn kind_of(name: &str) -> AttributeKind {
    let name = if let Some(custom) = name.strip_prefix("data-") {
        custom
    } else if let Some((prefix, local)) = name.split_once(':') {
        if prefix == "xmlns" {
            return AttributeKind::Url;
        }
        local
    } else {
        name
    };
    match name {
        "srcdoc" => AttributeKind::Html,
        "srclang" => AttributeKind::Plain,
        "srcset" => AttributeKind::Srcset,
        "style" => AttributeKind::Style,
        name if URLS.contains(&name) => AttributeKind::Url,
        name if UNSAFE.contains(&name) => AttributeKind::Unsafe,
        // Attributes that HTML does not know are told by their names.
        name if name.starts_with("on") => AttributeKind::Script,
        name if ["src", "uri", "url"].iter().any(|part| name.contains(part)) => AttributeKind::Url,
        _ => AttributeKind::Plain,
    }
}

/// Returns how the value of the attribute `name`, in lower case, of a tag of `element` is read.
pub(super) fn attr_of(element: Element, name: &str) -> Attr {
    match (element, name) {
        (Element::Script, "type") => Attr::ScriptType,
        (Element::Meta, "content") => Attr::MetaContent,
        _ => match kind_of(name) {
            AttributeKind::Url => Attr::Url,
            AttributeKind::Style => Attr::Style,
            AttributeKind::Script => Attr::Script,
            AttributeKind::Srcset => Attr::Srcset,
            AttributeKind::Plain | AttributeKind::Html | AttributeKind::Unsafe => Attr::None,
        },
    }
}

/// Returns whether a `<script>` of this type is read as a script or as JSON.
pub(super) fn is_script_type(mime_type: &[u8]) -> bool {
    let mime_type = String::from_utf8_lossy(mime_type).to_lowercase();
    let essence = mime_type.split(';').next().unwrap_or_default().trim();
    matches!(
        essence,
        "" | "application/ecmascript"
            | "application/javascript"
            | "application/json"
            | "application/ld+json"
            | "application/x-ecmascript"
            | "application/x-javascript"
            | "module"
            | "text/ecmascript"
            | "text/javascript"
            | "text/javascript1.0"
            | "text/javascript1.1"
            | "text/javascript1.2"
            | "text/javascript1.3"
            | "text/javascript1.4"
            | "text/javascript1.5"
            | "text/jscript"
            | "text/livescript"
            | "text/x-ecmascript"
            | "text/x-javascript"
    )
}
