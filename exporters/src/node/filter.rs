//! Which devices, mount points or fields a collector shows.

use regex::Regex;

use super::error::NodeError;

/// Patterns as configured: unanchored regular expressions. At most one may be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Shows only what matches.
    pub include: Option<String>,
    /// Shows all but what matches.
    pub exclude: Option<String>,
}

impl Filter {
    /// Returns a filter that shows all but what matches `pattern`.
    #[must_use]
    pub fn exclude(pattern: &str) -> Self {
        Self {
            include: None,
            exclude: Some(pattern.to_owned()),
        }
    }

    /// Returns a filter that shows only what matches `pattern`.
    #[must_use]
    pub fn include(pattern: &str) -> Self {
        Self {
            include: Some(pattern.to_owned()),
            exclude: None,
        }
    }

    /// Compiles the patterns. `what` names the option in errors.
    pub(super) fn compile(&self, what: &'static str) -> Result<Sieve, NodeError> {
        match (&self.include, &self.exclude) {
            (Some(_), Some(_)) => Err(NodeError::IncludeAndExclude { what }),
            (Some(pattern), None) => Ok(Sieve {
                pattern: Some(compile(pattern, what)?),
                shows_matches: true,
            }),
            (None, Some(pattern)) => Ok(Sieve {
                pattern: Some(compile(pattern, what)?),
                shows_matches: false,
            }),
            (None, None) => Ok(Sieve {
                pattern: None,
                shows_matches: true,
            }),
        }
    }
}

/// Compiles a pattern. `what` names the option in errors.
pub(super) fn compile(pattern: &str, what: &'static str) -> Result<Regex, NodeError> {
    Regex::new(pattern).map_err(|source| NodeError::Pattern {
        what,
        source: Box::new(source),
    })
}

/// A compiled [`Filter`].
#[derive(Debug)]
pub(super) struct Sieve {
    pattern: Option<Regex>,
    shows_matches: bool,
}

impl Sieve {
    pub(super) fn shows(&self, name: &str) -> bool {
        self.pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(name) == self.shows_matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &Filter, shown: &[&str], hidden: &[&str]) {
        let sieve = filter.compile("test").unwrap();
        assert!(shown.iter().all(|name| sieve.shows(name)));
        assert!(!hidden.iter().any(|name| sieve.shows(name)));
    }

    #[test]
    fn one_side_or_none() {
        check(&Filter::default(), &["", "eth0"], &[]);
        check(&Filter::include("^eth"), &["eth0"], &["lo", ""]);
        check(&Filter::exclude("^eth"), &["lo", ""], &["eth0"]);
    }

    #[test]
    fn both_sides_are_refused() {
        let filter = Filter {
            include: Some("a".to_owned()),
            exclude: Some("b".to_owned()),
        };
        assert!(matches!(
            filter.compile("test"),
            Err(NodeError::IncludeAndExclude { what: "test" })
        ));
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert!(matches!(
            Filter::include("(").compile("test"),
            Err(NodeError::Pattern { .. })
        ));
    }
}
