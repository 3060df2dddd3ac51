//! Warnings and infos that travel beside a result.

use crate::position::Position;

/// What a query has to say about its result, each text once.
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
    /// Adds a warning about the expression at `position`.
    pub(crate) fn warn(&mut self, message: &str, position: Position) {
        push(&mut self.warnings, "warning", message, position);
    }

    /// Adds an info about the expression at `position`.
    pub(crate) fn info(&mut self, message: &str, position: Position) {
        push(&mut self.infos, "info", message, position);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Annotations) {
        for (ours, theirs) in [
            (&mut self.warnings, &other.warnings),
            (&mut self.infos, &other.infos),
        ] {
            for text in theirs {
                if !ours.contains(text) {
                    ours.push(text.clone());
                }
            }
        }
    }

    /// Returns the same in alphabetical order: in which order things are noticed is a matter of threads.
    pub(crate) fn sorted(mut self) -> Self {
        self.warnings.sort_unstable();
        self.infos.sort_unstable();
        self
    }

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

fn push(texts: &mut Vec<String>, kind: &str, message: &str, position: Position) {
    let text = format!("PromQL {kind}: {message} ({position})");
    if texts.len() < TEXTS_MAX && !texts.contains(&text) {
        texts.push(text);
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
        let mut annotations = Annotations::default();
        let position = Position {
            line: 1,
            column: 6,
            ..Position::default()
        };
        annotations.info("odd", position);
        annotations.info("odd", position);
        annotations.info("odder", position);
        assert_eq!(
            annotations.infos,
            ["PromQL info: odd (1:6)", "PromQL info: odder (1:6)"]
        );
        let (warnings, infos) = annotations.as_strings(1);
        assert!(warnings.is_empty());
        assert_eq!(
            infos,
            ["PromQL info: odd (1:6)", "1 more info annotations omitted"]
        );
    }
}
