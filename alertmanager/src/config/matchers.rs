//! Matchers as text: `{a="b", c=~"d.*"}`, in the two languages that Alertmanager has had.
//!
//! The older one ([`classic`]) takes nearly any value without quotes; the newer one ([`utf8`]) takes names in any script.
//! By default a text is read in both: what only one of them understands means what that one says, and where they disagree
//! the older one is right, so that files keep their meaning.
//!
//! Source: Alertmanager documentation, "Alertmanager UTF-8 label matchers"; the corner cases are those of its parsers.

mod classic;
mod utf8;

use model::name::Quoted;
use model::{MatchOp, Matcher};

/// Which language matchers are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MatcherMode {
    /// Both; the classic one where they disagree.
    #[default]
    Fallback,
    /// The older one alone, as `--enable-feature=classic-mode` has it.
    Classic,
    /// The newer one alone, as `--enable-feature=utf8-strict-mode` has it.
    Utf8Strict,
}

impl MatcherMode {
    /// Returns the mode that features ask for, as `--enable-feature` has them: separated by commas.
    ///
    /// # Errors
    ///
    /// When they ask for two.
    pub fn of_features<'a>(lists: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let (mut is_classic, mut is_strict) = (false, false);
        for name in lists.into_iter().flat_map(|list| list.split(',')) {
            is_classic |= name == "classic-mode";
            is_strict |= name == "utf8-strict-mode";
        }
        match (is_classic, is_strict) {
            (true, true) => Err("cannot have both classic-mode and utf8-strict-mode".to_owned()),
            (true, false) => Ok(MatcherMode::Classic),
            (false, true) => Ok(MatcherMode::Utf8Strict),
            (false, false) => Ok(MatcherMode::Fallback),
        }
    }

    /// Returns whether labels may have this name: any, but in the classic mode only letters, digits and underscores.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            MatcherMode::Classic => model::name::is_legacy_label_name(name),
            MatcherMode::Fallback | MatcherMode::Utf8Strict => !name.is_empty(),
        }
    }
}

/// Parses a list of matchers in the default mode.
///
/// # Errors
///
/// What is wrong with the text, in the classic parser's words.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, String> {
    parse_matchers_in(text, MatcherMode::Fallback)
}

/// Parses a list of matchers; they come out in the order of the text.
///
/// # Errors
///
/// What is wrong with the text: the position as columns `from:to` in the UTF-8 language, the part that is wrong in the
/// classic one.
pub fn parse_matchers_in(text: &str, mode: MatcherMode) -> Result<Vec<Matcher>, String> {
    match mode {
        MatcherMode::Classic => classic::parse(text),
        MatcherMode::Utf8Strict => utf8::parse(text),
        MatcherMode::Fallback => match (classic::parse(text), utf8::parse(text)) {
            (Ok(classic), _) => Ok(classic),
            (Err(_), Ok(utf8)) => Ok(utf8),
            (Err(error), Err(_)) => Err(error),
        },
    }
}

/// Parses one matcher, as the API takes it: without braces.
///
/// # Errors
///
/// What is wrong with the text, in the words of the mode's parser; by default in the classic one's.
pub fn parse_matcher(text: &str, mode: MatcherMode) -> Result<Matcher, String> {
    if text.starts_with('{') || text.ends_with('}') {
        return Err(format!("unexpected open or close brace: {text}"));
    }
    let utf8 = || match utf8::parse(text)?.as_slice() {
        [matcher] => Ok(matcher.clone()),
        matchers => Err(format!("expected 1 matcher, found {}", matchers.len())),
    };
    match mode {
        MatcherMode::Classic => classic::matcher(text),
        MatcherMode::Utf8Strict => utf8(),
        MatcherMode::Fallback => classic::matcher(text).or_else(|error| utf8().map_err(|_| error)),
    }
}

/// Returns why a text should be written in another way, if it reads otherwise (or not at all) in the UTF-8 language.
pub(super) fn warning(text: &str) -> Option<String> {
    let classic = classic::parse(text).ok()?;
    let suggestion = print_matchers(&classic);
    match utf8::parse(text) {
        Ok(utf8) if same(&utf8, &classic) => None,
        Ok(_) => Some(format!(
            "matchers {text} read otherwise in the UTF-8 parser; write {suggestion} to keep the present meaning"
        )),
        Err(error) => Some(format!(
            "matchers {text} are refused by the UTF-8 parser ({error}); write {suggestion} to keep the present meaning"
        )),
    }
}

fn same(a: &[Matcher], b: &[Matcher]) -> bool {
    let key = |m: &Matcher| (m.name().to_owned(), m.op(), m.value().to_owned());
    a.iter().map(key).eq(b.iter().map(key))
}

/// Sorts matchers as route keys have them: by name, value, operator.
pub fn sort_matchers(matchers: &mut [Matcher]) {
    let rank = |op| match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    matchers.sort_by(|a, b| {
        (a.name(), a.value(), rank(a.op())).cmp(&(b.name(), b.value(), rank(b.op())))
    });
}

/// Prints matchers as route keys show them: `{a="b",c=~"d"}`.
pub fn print_matchers(matchers: &[Matcher]) -> String {
    let parts: Vec<_> = matchers.iter().map(print_matcher).collect();
    format!("{{{}}}", parts.join(","))
}

/// Prints one matcher: `a="b"`. A name that could not be read back is quoted.
pub fn print_matcher(matcher: &Matcher) -> String {
    let (name, op, value) = (matcher.name(), matcher.op().as_str(), matcher.value());
    if name.contains(utf8::is_reserved) {
        return format!("{}{op}{}", Quoted(name), Quoted(value));
    }
    let mut text = format!("{name}{op}\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::conformance;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(print_matchers(&parse_matchers(text).unwrap()), expected);
    }

    #[test]
    fn features_choose_the_language() {
        let mode = |lists: &[&str]| MatcherMode::of_features(lists.iter().copied());
        assert_eq!(mode(&["", "auto-gomemlimit"]), Ok(MatcherMode::Fallback));
        assert_eq!(mode(&["a,classic-mode"]), Ok(MatcherMode::Classic));
        assert_eq!(mode(&["utf8-strict-mode"]), Ok(MatcherMode::Utf8Strict));
        assert!(mode(&["utf8-strict-mode", "classic-mode"]).is_err());
        let parses = |text| {
            let modes = [
                MatcherMode::Fallback,
                MatcherMode::Classic,
                MatcherMode::Utf8Strict,
            ];
            modes.map(|mode| parse_matcher(text, mode).is_ok())
        };
        assert_eq!(parses("a=b"), [true, true, true]);
        assert_eq!(parses("é=b"), [true, false, true]);
        assert_eq!(parses("a=b c"), [true, true, false]);
        assert_eq!(parses("é=b,c=d"), [false, false, false]);
        assert!(!MatcherMode::Classic.is_label_name("é"));
        assert!(MatcherMode::Fallback.is_label_name("é"));
    }

    #[test]
    fn braces_and_quotes_are_optional() {
        check("", "{}");
        check("{foo=bar}", "{foo=\"bar\"}");
        check("foo=~[a-z]+", "{foo=~\"[a-z]+\"}");
        check(
            "foo!=bar, \"b z\" = \"q\\\"x\" ,",
            "{foo!=\"bar\",\"b z\"=\"q\\\"x\"}",
        );
        assert!(parse_matchers("foo").is_err());
        assert!(parse_matchers("foo=~\"[\"").is_err());
    }

    #[test]
    fn the_classic_meaning_wins_and_is_warned_of() {
        let text = r#"foo="\u00e9""#;
        check(text, r#"{foo="\\u00e9"}"#);
        assert!(warning(text).unwrap().contains("read otherwise"));
        assert!(warning("foo=a=b").unwrap().contains("refused"));
        assert_eq!(warning("foo=\"b\""), None);
        assert_eq!(warning("föö=b"), None);
    }

    #[test]
    fn matchers_read_as_in_alertmanager() {
        let Some(directory) = conformance("alertmanager") else {
            return;
        };
        let modes = [
            ("default", MatcherMode::Fallback),
            ("classic-mode", MatcherMode::Classic),
            ("utf8-strict-mode", MatcherMode::Utf8Strict),
        ];
        let mut surprises = Vec::new();
        let cases = std::fs::read_to_string(directory.join("matchers.jsonl")).unwrap();
        for line in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = case["input"].as_str().unwrap();
            for (name, mode) in modes {
                let found = match parse_matchers_in(text, mode) {
                    Ok(mut matchers) => {
                        sort_matchers(&mut matchers);
                        serde_json::json!({"ok": print_matchers(&matchers)})
                    }
                    Err(error) => serde_json::json!({"error": error.trim_end()}),
                };
                if found != case[name] {
                    surprises.push(format!("{text} ({name}): {found}, not {}", case[name]));
                }
            }
        }
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    }
}
