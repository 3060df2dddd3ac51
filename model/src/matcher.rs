//! Matchers: tests on the value of one label.

use std::fmt;

use regex::Regex;

use crate::labels::Labels;
use crate::name::Quoted;

mod cache;
mod dialect;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, fully anchored
    Regex,
    /// `!~`, fully anchored
    NotRegex,
}

impl MatchOp {
    /// Returns the operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A test on the value of one label; an absent label counts as the empty string.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Pattern,
}

/// A pattern in the cheapest form that decides it.
#[derive(Clone)]
enum Pattern {
    /// Not a regular expression: compare with the matcher's value.
    Literal,
    /// One of these strings, sorted: `a|b|c`.
    Set(Vec<String>),
    /// `.*`
    Anything,
    /// `.+`
    NonEmpty,
    /// A literal prefix, then `.*` or (with `true`) `.+`.
    Prefix(String, bool),
    /// `.*`, a literal, `.*`
    Contains(String),
    Regex(Regex),
}

/// Why a matcher could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {reason}")]
pub struct InvalidRegex {
    /// What was given.
    pub pattern: String,
    /// What the regex engine says of it, on one line.
    pub reason: String,
}

/// How large a compiled regular expression may get, in bytes: patterns come from outside.
const REGEX_BYTES_MAX: usize = 10 << 20;

/// Compiles `pattern` so that it must match the whole of a string, with `.` matching newlines too. What `\d`, `\s`, `\w`
/// and `\b` stand for is ASCII, as in RE2.
///
/// # Errors
///
/// When it is not a regular expression, or its program would be larger than 10 MiB.
pub fn compile_anchored(pattern: &str) -> Result<Regex, InvalidRegex> {
    if let Some(known) = cache::find(pattern) {
        return Ok(known);
    }
    let translated = dialect::translated(pattern);
    let anchored = format!("^(?s:{translated})$");
    if let Ok(small) = regex::RegexBuilder::new(&anchored)
        .size_limit(cache::REGEX_BYTES_MAX)
        .build()
    {
        cache::keep(pattern, &small);
        return Ok(small);
    }
    regex::RegexBuilder::new(&anchored)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let reason = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            InvalidRegex {
                pattern: pattern.to_owned(),
                reason,
            }
        })
}

impl Matcher {
    /// Returns the matcher `name op value`.
    ///
    /// # Errors
    ///
    /// For the regex operators when `value` is not a regular expression.
    pub fn new(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
    ) -> Result<Self, InvalidRegex> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => Pattern::Literal,
            MatchOp::Regex | MatchOp::NotRegex => Pattern::of(&value)?,
        };
        Ok(Matcher {
            name,
            op,
            value,
            pattern,
        })
    }

    /// Returns the matcher `name = value`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Matcher {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            pattern: Pattern::Literal,
        }
    }

    /// Returns the label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the operator.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// Returns the value or pattern as it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns whether a label with `value` passes.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => self.pattern.matches(value),
            MatchOp::NotRegex => !self.pattern.matches(value),
        }
    }

    /// Returns whether `labels` pass.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value(&self.name))
    }

    /// Returns whether series without this label pass.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Returns whether the operator is one of the two negative ones.
    pub fn is_negative(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Returns the only values that pass (or, for a negative matcher, that fail), sorted, when they are few and known:
    /// for `=`, `!=` and for regular expressions like `a|b|c`.
    pub fn literal_values(&self) -> Option<&[String]> {
        match &self.pattern {
            Pattern::Literal => Some(std::slice::from_ref(&self.value)),
            Pattern::Set(values) => Some(values),
            _ => None,
        }
    }
}

impl Pattern {
    fn of(pattern: &str) -> Result<Self, InvalidRegex> {
        let is_literal = |text: &str| !text.contains(|c: char| "\\.+*?()|[]{}^$".contains(c));
        match pattern {
            ".*" => return Ok(Pattern::Anything),
            ".+" => return Ok(Pattern::NonEmpty),
            _ => {}
        }
        let inner = pattern
            .strip_prefix('(')
            .and_then(|p| p.strip_suffix(')'))
            .unwrap_or(pattern);
        let inner = inner.strip_prefix("?:").unwrap_or(inner);
        if inner.split('|').all(is_literal) {
            let mut values: Vec<String> = inner.split('|').map(str::to_owned).collect();
            values.sort_unstable();
            values.dedup();
            return Ok(Pattern::Set(values));
        }
        let contained = pattern
            .strip_prefix(".*")
            .and_then(|rest| rest.strip_suffix(".*"));
        if let Some(contained) = contained.filter(|text| is_literal(text)) {
            return Ok(Pattern::Contains(contained.to_owned()));
        }
        for (suffix, non_empty) in [(".*", false), (".+", true)] {
            if let Some(prefix) = pattern
                .strip_suffix(suffix)
                .filter(|prefix| is_literal(prefix))
            {
                return Ok(Pattern::Prefix(prefix.to_owned(), non_empty));
            }
        }
        compile_anchored(pattern).map(Pattern::Regex)
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Pattern::Literal => unreachable!("literals are compared by the matcher"),
            Pattern::Set(values) => values.binary_search_by(|v| v.as_str().cmp(value)).is_ok(),
            Pattern::Anything => true,
            Pattern::NonEmpty => !value.is_empty(),
            Pattern::Prefix(prefix, non_empty) => {
                value.starts_with(prefix.as_str()) && (!non_empty || prefix.len() < value.len())
            }
            Pattern::Contains(text) => value.contains(text.as_str()),
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::name::is_legacy_label_name(&self.name) {
            write!(
                f,
                "{}{}{}",
                self.name,
                self.op.as_str(),
                Quoted(&self.value)
            )
        } else {
            write!(
                f,
                "{}{}{}",
                Quoted(&self.name),
                self.op.as_str(),
                Quoted(&self.value)
            )
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let matcher = Matcher::new("l", MatchOp::Regex, pattern).unwrap();
        let negative = Matcher::new("l", MatchOp::NotRegex, pattern).unwrap();
        for value in matching {
            assert!(matcher.matches(value), "{pattern} should match {value:?}");
            assert!(!negative.matches(value));
        }
        for value in other {
            assert!(
                !matcher.matches(value),
                "{pattern} should not match {value:?}"
            );
            assert!(negative.matches(value));
        }
    }

    #[test]
    fn regexes_are_anchored_and_dot_matches_newline() {
        check("a|b", &["a", "b"], &["", "ab", "xa"]);
        check("(a|bc)", &["a", "bc"], &["abc"]);
        check("a.*", &["a", "ab", "a\nb"], &["ba"]);
        check("a.+", &["ab"], &["a", "b"]);
        check(".*", &["", "x\ny"], &[]);
        check(".+", &["x"], &[""]);
        check(".*b.*", &["b", "abc", "\nb"], &["", "a"]);
        check("a.c|d", &["abc", "a\nc", "d"], &["ac", "dd"]);
        check("", &[""], &["a"]);
        check("5..", &["500", "5xx"], &["50", "5000"]);
        check("a||b", &["", "a", "b"], &["c"]);
    }

    #[test]
    fn literal_values_of_sets() {
        let set = Matcher::new("l", MatchOp::Regex, "b|a|b").unwrap();
        assert_eq!(set.literal_values().unwrap(), ["a", "b"]);
        assert_eq!(Matcher::equal("l", "x").literal_values().unwrap(), ["x"]);
        assert!(
            Matcher::new("l", MatchOp::Regex, "a.")
                .unwrap()
                .literal_values()
                .is_none()
        );
    }

    #[test]
    fn bad_regex_is_named() {
        let error = Matcher::new("l", MatchOp::Regex, "a(").unwrap_err();
        assert!(error.to_string().contains("\"a(\""), "{error}");
    }

    proptest! {
        #[test]
        fn shortcuts_agree_with_the_regex(pattern in "[ab.*+|()]{0,6}", value in "[ab]{0,4}") {
            let (Ok(matcher), Ok(plain)) = (Matcher::new("l", MatchOp::Regex, pattern.as_str()), compile_anchored(&pattern)) else {
                return Ok(());
            };
            prop_assert_eq!(matcher.matches(&value), plain.is_match(&value));
        }
    }
}
