//! Matchers as text: `{a="b", c=~"d.*"}`, with the braces and most quotes optional.
//!
//! # Not here
//!
//! The classic parser's corner cases and the choice between the parsers come with the routing tree's own issue.

use model::name::Quoted;
use model::{MatchOp, Matcher};

/// Parses a list of matchers.
///
/// # Errors
///
/// What is wrong with the text.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, String> {
    let bad = |what: &'static str| format!("bad matcher format: {text}: {what}");
    let trimmed = text.trim();
    let inner = match (trimmed.strip_prefix('{'), trimmed.strip_suffix('}')) {
        (Some(_), Some(_)) => &trimmed[1..trimmed.len() - 1],
        (None, None) => trimmed,
        (Some(_), None) => return Err(bad("expected close brace")),
        (None, Some(_)) => return Err(bad("expected opening brace")),
    };
    let mut rest = inner.trim();
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let (name, after) = token(rest).map_err(bad)?;
        let after = after.trim_start();
        let (op, after) = operator(after)
            .ok_or_else(|| bad("expected an operator such as '=', '!=', '=~' or '!~'"))?;
        let (value, after) = token(after.trim_start()).map_err(bad)?;
        if name.is_empty() {
            return Err(bad("expected label name"));
        }
        matchers.push(Matcher::new(name, op, value).map_err(|error| error.to_string())?);
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err(bad("expected a comma or close brace")),
        };
    }
    Ok(matchers)
}

/// Reads a quoted or bare word; returns it and what follows.
fn token(text: &str) -> Result<(String, &str), &'static str> {
    let Some(body) = text.strip_prefix('"') else {
        let end = text.find(|c: char| {
            matches!(c, '{' | '}' | '!' | '=' | '~' | ',' | '"') || c.is_whitespace()
        });
        // A bare value may hold what only a name may not.
        let end = end.unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut word = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, &body[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => word.push('\n'),
                Some((_, 't')) => word.push('\t'),
                Some((_, c @ ('"' | '\\' | '\''))) => word.push(c),
                Some((_, c)) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("missing end \"")
}

fn operator(text: &str) -> Option<(MatchOp, &str)> {
    [
        (MatchOp::Regex, "=~"),
        (MatchOp::NotRegex, "!~"),
        (MatchOp::NotEqual, "!="),
        (MatchOp::Equal, "="),
    ]
    .into_iter()
    .find_map(|(op, sign)| text.strip_prefix(sign).map(|rest| (op, rest)))
}

/// Prints matchers as route keys show them: `{a="b",c=~"d"}`.
pub fn print_matchers(matchers: &[Matcher]) -> String {
    let parts: Vec<_> = matchers
        .iter()
        .map(|m| format!("{}{}{}", m.name(), m.op().as_str(), Quoted(m.value())))
        .collect();
    format!("{{{}}}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(print_matchers(&parse_matchers(text).unwrap()), expected);
    }

    #[test]
    fn braces_and_quotes_are_optional() {
        check("", "{}");
        check("{foo=bar}", "{foo=\"bar\"}");
        check("foo=~[a-z]+", "{foo=~\"[a-z]+\"}");
        check(
            "foo!=bar, \"b z\" = \"q\\\"x\" ,",
            "{foo!=\"bar\",b z=\"q\\\"x\"}",
        );
        assert!(parse_matchers("foo").is_err());
        assert!(parse_matchers("{foo=bar").is_err());
        assert!(parse_matchers("foo=~\"[\"").is_err());
    }
}
