//! Warnings and infos that travel beside a result.

use std::collections::BTreeMap;

use crate::position::Position;

/// What a query has to say about its result, each text once, in alphabetical order.
///
/// The texts are those of Prometheus, position included: `PromQL info: … (1:6)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The result may be wrong.
    pub warnings: Vec<String>,
    /// The query may be.
    pub infos: Vec<String>,
}

impl Annotations {
    /// Returns whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    /// Returns at most `limit` warnings and at most `limit` infos; what was left out is counted in one more text each.
    /// 0 means no limit.
    pub fn as_strings(&self, limit: usize) -> (Vec<String>, Vec<String>) {
        (
            limited(&self.warnings, limit, "warning"),
            limited(&self.infos, limit, "info"),
        )
    }
}

/// More different texts than this are not kept: they are for people.
const TEXTS_MAX: usize = 1_000;

/// What has been noticed so far.
///
/// As in Prometheus, a text that is true of several places is given one: the last that is evaluated, and so the last in the
/// query.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: BTreeMap<String, Position>,
    infos: BTreeMap<String, Position>,
}

impl Notes {
    /// Adds a warning about the expression at `position`.
    pub(crate) fn warn(&mut self, message: &str, position: Position) {
        add(&mut self.warnings, message, position);
    }

    /// Adds an info about the expression at `position`.
    pub(crate) fn info(&mut self, message: &str, position: Position) {
        add(&mut self.infos, message, position);
    }

    pub(crate) fn into_annotations(self) -> Annotations {
        let texts = |kind: &str, notes: BTreeMap<String, Position>| {
            let texts = notes
                .into_iter()
                .map(|(message, position)| format!("PromQL {kind}: {message} ({position})"));
            texts.collect()
        };
        Annotations {
            warnings: texts("warning", self.warnings),
            infos: texts("info", self.infos),
        }
    }
}

fn add(notes: &mut BTreeMap<String, Position>, message: &str, position: Position) {
    if let Some(known) = notes.get_mut(message) {
        if known.start < position.start {
            *known = position;
        }
    } else if notes.len() < TEXTS_MAX {
        notes.insert(message.to_owned(), position);
    }
}

fn limited(texts: &[String], limit: usize, kind: &str) -> Vec<String> {
    if limit == 0 || texts.len() <= limit {
        return texts.to_vec();
    }
    let more = texts.len() - limit;
    let mut kept = texts[..limit].to_vec();
    kept.push(format!("{more} more {kind} annotations omitted"));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_once_and_limited() {
        let at = |column| Position {
            start: column - 1,
            line: 1,
            column,
            ..Position::default()
        };
        let mut notes = Notes::default();
        for (message, column) in [("odder", 3), ("odd", 2), ("odd", 6), ("odd", 4)] {
            notes.info(message, at(column));
        }
        let annotations = notes.into_annotations();
        assert_eq!(
            annotations.infos,
            ["PromQL info: odd (1:6)", "PromQL info: odder (1:3)"]
        );
        let (warnings, infos) = annotations.as_strings(1);
        assert!(warnings.is_empty());
        assert_eq!(
            infos,
            ["PromQL info: odd (1:6)", "1 more info annotations omitted"]
        );
    }
}
