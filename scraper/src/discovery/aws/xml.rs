//! Answers of query APIs as trees, for those of whose many elements each becomes a label.

use std::collections::BTreeMap;

use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

use crate::discovery::labels::MetaLabels;

/// How deep elements may be within one another.
const DEPTH_MAX: usize = 64;
/// How many elements an answer may have; a page has a hundred resources of some two hundred elements.
const ELEMENTS_MAX: usize = 1_000_000;

/// An element: its text, or the elements within it. Attributes are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

/// Which element becomes which label; a path of elements has `/` between them.
pub(super) type Fields = &'static [(&'static str, &'static str)];

impl Element {
    /// Reads the root of an answer.
    ///
    /// # Errors
    ///
    /// When it is no XML, has more than 1,000,000 elements, or some that are more than 64 deep.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        // Those that are open, the innermost last.
        let mut open: Vec<Element> = Vec::new();
        let mut count = 0;
        loop {
            let event = reader.read_event();
            match event.map_err(|error| format!("the answer is no XML: {error}"))? {
                Event::Start(start) => {
                    count += 1;
                    if DEPTH_MAX <= open.len() || ELEMENTS_MAX < count {
                        return Err(format!(
                            "the answer has more than {ELEMENTS_MAX} elements, or some more than {DEPTH_MAX} deep"
                        ));
                    }
                    open.push(Element {
                        name: start.local_name().as_ref().to_owned(),
                        ..Element::default()
                    });
                }
                Event::End(_) => {
                    let Some(mut element) = open.pop() else {
                        continue;
                    };
                    if !element.children.is_empty() {
                        // What stands between elements is white space.
                        element.text.clear();
                    }
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Ok(element),
                    }
                }
                Event::Text(more) => push(&mut open, &more.xml10_content()),
                Event::CData(more) => push(&mut open, &more.xml10_content()),
                Event::GeneralRef(reference) => push(&mut open, &resolved(&reference)?),
                Event::Eof => return Err("the answer is no XML, or ends too early".to_owned()),
                _ => (),
            }
        }
    }

    /// Returns the element called `name` within this one.
    pub(super) fn into_child(self, name: &str) -> Option<Element> {
        self.children.into_iter().find(|child| child.name == name)
    }

    /// Returns the element at the end of a path; the first one, where there are several.
    pub(super) fn at(&self, path: &str) -> Option<&Element> {
        path.split('/').try_fold(self, |element, name| {
            element.children.iter().find(|child| child.name == name)
        })
    }

    /// Returns the text of the element at the end of a path; empty, if it is not there.
    pub(super) fn text_at(&self, path: &str) -> &str {
        self.at(path).map_or("", |element| element.text.trim())
    }

    /// Returns the items of the list at the end of a path, whatever they are called.
    pub(super) fn items(&self, path: &str) -> &[Element] {
        self.at(path)
            .map_or(&[], |element| element.children.as_slice())
    }

    /// Returns the text of an item of a list.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// Returns the tags of a list of `Key` and `Value`.
    pub(super) fn tags(&self, path: &str) -> BTreeMap<String, String> {
        let tags = self.items(path).iter();
        let tags = tags.filter(|tag| tag.at("Key").is_some() && tag.at("Value").is_some());
        tags.map(|tag| {
            (
                tag.text_at("Key").to_owned(),
                tag.text_at("Value").to_owned(),
            )
        })
        .collect()
    }

    /// Sets a label for each of the `fields` that is there and not empty.
    pub(super) fn set_texts(&self, labels: &mut MetaLabels, prefix: &str, fields: Fields) {
        for (path, label) in fields {
            let text = self.text_at(path);
            if !text.is_empty() {
                labels.set(&format!("{prefix}{label}"), text);
            }
        }
    }

    /// The same for fields that are times: labels are in whole seconds.
    pub(super) fn set_times(&self, labels: &mut MetaLabels, prefix: &str, fields: Fields) {
        for (path, label) in fields {
            let text = self.text_at(path);
            if !text.is_empty() {
                labels.set(&format!("{prefix}{label}"), seconds(text));
            }
        }
    }
}

fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Returns what `&…;` stands for.
fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    let unknown = || "the answer has an unknown entity".to_owned();
    let char = reference.resolve_char_ref().map_err(|_| unknown())?;
    if let Some(char) = char {
        return Ok(char.to_string());
    }
    let name = reference.xml10_content();
    resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(unknown)
}

/// Returns a time of RFC 3339 without parts of seconds; what is none stays as it is.
fn seconds(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees() {
        let body = "<?xml version=\"1.0\"?>\n<R xmlns=\"x\"> <L><Tag><Key>a&amp;&#98;</Key><Value/></Tag>\n\
            <Tag><Key>only</Key></Tag></L>\n<T> 2024-01-02T03:04:05.678Z </T><E><A><![CDATA[<x>]]></A></E></R>";
        let root = Element::read(body.as_bytes()).unwrap();
        assert_eq!(root.text_at("E/A"), "<x>");
        assert_eq!((root.text(), root.text_at("no/such")), ("", ""));
        assert_eq!(root.items("L").len(), 2);
        let tags = BTreeMap::from([("a&b".to_owned(), String::new())]);
        assert_eq!(root.tags("L"), tags);
        let mut labels = MetaLabels::new("");
        root.set_texts(&mut labels, "p_", &[("E/A", "a"), ("L", "l"), ("no", "no")]);
        root.set_times(&mut labels, "p_", &[("T", "t"), ("E/A", "odd")]);
        let pairs = [
            ("__meta_p_a", "<x>"),
            ("__meta_p_odd", "<x>"),
            ("__meta_p_t", "2024-01-02T03:04:05Z"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels.into_pairs(), BTreeMap::from(pairs));
    }

    #[test]
    fn what_is_no_answer() {
        let check = |body: &[u8], expected: &str| {
            let error = Element::read(body).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check(b"", "the answer is no XML, or ends too early");
        check(b"<a><b>", "the answer is no XML");
        check(b"<a></b>", "the answer is no XML: ");
        check(b"<a>&lol;</a>", "the answer has an unknown entity");
        check(b"\xff", "the answer is not UTF-8");
        check("<a>".repeat(65).as_bytes(), "the answer has more than");
        let many = format!("<a>{}", "<b/>".repeat(ELEMENTS_MAX));
        check(many.as_bytes(), "the answer has more than 1000000 elements");
    }
}
