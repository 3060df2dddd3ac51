//! Where in a page a piece of template stands.

use std::fmt;

/// What the parser of a browser would be in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum State {
    /// Text of an element.
    #[default]
    Text,
    /// Inside of a tag, before an attribute or the end.
    Tag,
    /// Inside of an attribute's name.
    AttrName,
    /// After an attribute's name, before any equals sign.
    AfterName,
    /// After the equals sign, before the value.
    BeforeValue,
    HtmlComment,
    /// Text of `<textarea>` and `<title>`, in which no tag begins.
    Rcdata,
    /// The value of an attribute that is just text.
    Attr,
    Url,
    Srcset,
    Js,
    JsDqString,
    JsSqString,
    JsTemplate,
    JsRegexp,
    JsBlockComment,
    JsLineComment,
    JsHtmlOpenComment,
    JsHtmlCloseComment,
    Css,
    CssDqString,
    CssSqString,
    CssDqUrl,
    CssSqUrl,
    CssUrl,
    CssBlockComment,
    CssLineComment,
    MetaContent,
    MetaContentUrl,
    /// After `break` and `continue`, where nothing is reached.
    Dead,
}

impl State {
    /// Returns whether what stands here is seen by nobody.
    pub(super) fn is_comment(self) -> bool {
        matches!(
            self,
            State::HtmlComment
                | State::JsBlockComment
                | State::JsLineComment
                | State::JsHtmlOpenComment
                | State::JsHtmlCloseComment
                | State::CssBlockComment
                | State::CssLineComment
        )
    }

    /// Returns whether it is a literal of a script, in which the end tag may stand escaped.
    pub(super) fn is_script_literal(self) -> bool {
        matches!(
            self,
            State::JsDqString | State::JsSqString | State::JsTemplate | State::JsRegexp
        )
    }

    /// Returns whether it is between `<` and `>`.
    pub(super) fn is_in_tag(self) -> bool {
        matches!(
            self,
            State::Tag | State::AttrName | State::AfterName | State::BeforeValue | State::Attr
        )
    }

    fn name(self) -> &'static str {
        match self {
            State::Text => "stateText",
            State::Tag => "stateTag",
            State::AttrName => "stateAttrName",
            State::AfterName => "stateAfterName",
            State::BeforeValue => "stateBeforeValue",
            State::HtmlComment => "stateHTMLCmt",
            State::Rcdata => "stateRCDATA",
            State::Attr => "stateAttr",
            State::Url => "stateURL",
            State::Srcset => "stateSrcset",
            State::Js => "stateJS",
            State::JsDqString => "stateJSDqStr",
            State::JsSqString => "stateJSSqStr",
            State::JsTemplate => "stateJSTmplLit",
            State::JsRegexp => "stateJSRegexp",
            State::JsBlockComment => "stateJSBlockCmt",
            State::JsLineComment => "stateJSLineCmt",
            State::JsHtmlOpenComment => "stateJSHTMLOpenCmt",
            State::JsHtmlCloseComment => "stateJSHTMLCloseCmt",
            State::Css => "stateCSS",
            State::CssDqString => "stateCSSDqStr",
            State::CssSqString => "stateCSSSqStr",
            State::CssDqUrl => "stateCSSDqURL",
            State::CssSqUrl => "stateCSSSqURL",
            State::CssUrl => "stateCSSURL",
            State::CssBlockComment => "stateCSSBlockCmt",
            State::CssLineComment => "stateCSSLineCmt",
            State::MetaContent => "stateMetaContent",
            State::MetaContentUrl => "stateMetaContentURL",
            State::Dead => "stateDead",
        }
    }
}

/// What ends an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Delim {
    /// It is no attribute's value.
    #[default]
    None,
    DoubleQuote,
    SingleQuote,
    SpaceOrTagEnd,
}

impl Delim {
    /// Returns whether the byte ends the value.
    pub(super) fn is_end(self, byte: u8) -> bool {
        match self {
            Delim::None => false,
            Delim::DoubleQuote => byte == b'"',
            Delim::SingleQuote => byte == b'\'',
            Delim::SpaceOrTagEnd => matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' | b'>'),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Delim::None => "delimNone",
            Delim::DoubleQuote => "delimDoubleQuote",
            Delim::SingleQuote => "delimSingleQuote",
            Delim::SpaceOrTagEnd => "delimSpaceOrTagEnd",
        }
    }
}

/// How far into a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum UrlPart {
    /// At its begin, where a scheme could stand.
    #[default]
    None,
    PreQuery,
    QueryOrFragment,
    /// Branches disagree.
    Unknown,
}

impl UrlPart {
    fn name(self) -> &'static str {
        match self {
            UrlPart::None => "urlPartNone",
            UrlPart::PreQuery => "urlPartPreQuery",
            UrlPart::QueryOrFragment => "urlPartQueryOrFrag",
            UrlPart::Unknown => "urlPartUnknown",
        }
    }
}

/// What a slash would be in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Slash {
    #[default]
    Regexp,
    Division,
    /// Branches disagree.
    Unknown,
}

impl Slash {
    fn name(self) -> &'static str {
        match self {
            Slash::Regexp => "jsCtxRegexp",
            Slash::Division => "jsCtxDivOp",
            Slash::Unknown => "jsCtxUnknown",
        }
    }
}

/// What the current attribute's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Attr {
    #[default]
    None,
    Script,
    ScriptType,
    Style,
    Url,
    Srcset,
    MetaContent,
}

impl Attr {
    /// Returns the state at the begin of its value.
    pub(super) fn start(self) -> State {
        match self {
            Attr::None | Attr::ScriptType => State::Attr,
            Attr::Script => State::Js,
            Attr::Style => State::Css,
            Attr::Url => State::Url,
            Attr::Srcset => State::Srcset,
            Attr::MetaContent => State::MetaContent,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Attr::None => "attrNone",
            Attr::Script => "attrScript",
            Attr::ScriptType => "attrScriptType",
            Attr::Style => "attrStyle",
            Attr::Url => "attrURL",
            Attr::Srcset => "attrSrcset",
            Attr::MetaContent => "attrMetaContent",
        }
    }
}

/// The element whose tag or contents this is, of those that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Element {
    #[default]
    None,
    Script,
    Style,
    Textarea,
    Title,
    Meta,
}

impl Element {
    /// Returns the element of a tag's name, in any case.
    pub(super) fn of(name: &[u8]) -> Element {
        match name.to_ascii_lowercase().as_slice() {
            b"script" => Element::Script,
            b"style" => Element::Style,
            b"textarea" => Element::Textarea,
            b"title" => Element::Title,
            b"meta" => Element::Meta,
            _ => Element::None,
        }
    }

    /// Returns the name in the tag that ends its contents, if they are read in a way of their own.
    pub(super) fn end_tag(self) -> Option<&'static [u8]> {
        match self {
            Element::None | Element::Meta => None,
            Element::Script => Some(b"script"),
            Element::Style => Some(b"style"),
            Element::Textarea => Some(b"textarea"),
            Element::Title => Some(b"title"),
        }
    }

    /// Returns the state of its contents.
    pub(super) fn content(self) -> State {
        match self {
            Element::None | Element::Meta => State::Text,
            Element::Script => State::Js,
            Element::Style => State::Css,
            Element::Textarea | Element::Title => State::Rcdata,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Element::None => "elementNone",
            Element::Script => "elementScript",
            Element::Style => "elementStyle",
            Element::Textarea => "elementTextarea",
            Element::Title => "elementTitle",
            Element::Meta => "elementMeta",
        }
    }
}

/// All that decides how a value is escaped. Prints as Go's error messages show it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) delim: Delim,
    pub(super) url_part: UrlPart,
    pub(super) slash: Slash,
    /// Open braces in each open `${` of a script's template literals, the innermost last.
    pub(super) braces: Vec<u32>,
    pub(super) attr: Attr,
    pub(super) element: Element,
}

impl Context {
    /// Returns the context of `state` and nothing more.
    pub(super) fn of(state: State) -> Self {
        Context {
            state,
            ..Context::default()
        }
    }

    /// Returns the inside of a tag.
    pub(super) fn tag(element: Element) -> Self {
        Context {
            state: State::Tag,
            element,
            ..Context::default()
        }
    }

    /// Returns the name of the template `name` as it is called here.
    pub(super) fn derived_name(&self, name: &str) -> String {
        if self.state == State::Text {
            return name.to_owned();
        }
        let mut derived = format!("{name}$htmltemplate_{}", self.state.name());
        let mut add = |is_given: bool, what: &str| {
            if is_given {
                derived.push('_');
                derived.push_str(what);
            }
        };
        add(self.delim != Delim::None, self.delim.name());
        add(self.url_part != UrlPart::None, self.url_part.name());
        add(self.slash != Slash::Regexp, self.slash.name());
        let braces = format!("jsBraceDepth({})", Braces(&self.braces));
        add(!self.braces.is_empty(), &braces);
        add(self.attr != Attr::None, self.attr.name());
        add(self.element != Element::None, self.element.name());
        derived
    }

    /// Returns the context of a value here: between attributes it is a name, after an equals sign a value without quotes.
    pub(super) fn nudged(self) -> Self {
        match self.state {
            State::Tag => Context {
                state: State::AttrName,
                ..self
            },
            State::BeforeValue => Context {
                state: self.attr.start(),
                delim: Delim::SpaceOrTagEnd,
                attr: Attr::None,
                ..self
            },
            State::AfterName => Context {
                state: State::AttrName,
                attr: Attr::None,
                ..self
            },
            _ => self,
        }
    }

    /// Returns the one context after two branches, if there is one.
    pub(super) fn join(&self, other: &Context) -> Option<Context> {
        if self.state == State::Dead || self == other {
            return Some(other.clone());
        }
        if other.state == State::Dead {
            return Some(self.clone());
        }
        let same_url_part = Context {
            url_part: other.url_part,
            ..self.clone()
        };
        if same_url_part == *other {
            return Some(Context {
                url_part: UrlPart::Unknown,
                ..same_url_part
            });
        }
        let same_slash = Context {
            slash: other.slash,
            ..self.clone()
        };
        if same_slash == *other {
            return Some(Context {
                slash: Slash::Unknown,
                ..same_slash
            });
        }
        // In `<p title={{if .C}}{{.}}{{end}}` one branch is in the value and the other before it.
        let nudged = (self.clone().nudged(), other.clone().nudged());
        if nudged.0 == *self && nudged.1 == *other {
            return None;
        }
        nudged.0.join(&nudged.1)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{} {} {} {} {} {} {} <nil>}}",
            self.state.name(),
            self.delim.name(),
            self.url_part.name(),
            self.slash.name(),
            Braces(&self.braces),
            self.attr.name(),
            self.element.name(),
        )
    }
}

struct Braces<'a>(&'a [u32]);

impl fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depths: Vec<_> = self.0.iter().map(u32::to_string).collect();
        write!(f, "[{}]", depths.join(" "))
    }
}
