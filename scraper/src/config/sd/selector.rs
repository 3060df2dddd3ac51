//! Selectors of the Kubernetes API: by field and by label. They are checked here and sent as they are.
//!
//! Source: Kubernetes documentation, "Field Selectors", "Labels and Selectors".

/// Checks a field selector: terms with commas between them, each `path=value`, `path==value` or `path!=value`. A backslash
/// takes the meaning of a comma, an equals sign or a backslash.
///
/// # Errors
///
/// Says which term is none.
pub(super) fn check_field_selector(selector: &str) -> Result<(), String> {
    for term in split_unescaped(selector) {
        if term.is_empty() {
            continue;
        }
        let Some(at) = operator(term) else {
            return Err(format!(
                "invalid selector: '{selector}'; can't understand '{term}'"
            ));
        };
        let value = term[at..].trim_start_matches(['=', '!']);
        if has_bad_escape(value) {
            return Err(format!(
                "invalid selector: '{selector}'; the value in '{term}' has a '\\' before neither ',', '=' nor '\\'"
            ));
        }
    }
    Ok(())
}

/// Returns where the operator of a term begins.
fn operator(term: &str) -> Option<usize> {
    let at = unescaped(term).find(|&(_, c)| c == '=').map(|(at, _)| at)?;
    Some(if term[..at].ends_with('!') {
        at - 1
    } else {
        at
    })
}

fn split_unescaped(text: &str) -> impl Iterator<Item = &str> {
    let commas: Vec<usize> = unescaped(text)
        .filter(|&(_, c)| c == ',')
        .map(|(at, _)| at)
        .collect();
    let starts = std::iter::once(0).chain(commas.clone().into_iter().map(|at| at + 1));
    let ends = commas.into_iter().chain(std::iter::once(text.len()));
    starts.zip(ends).map(|(start, end)| &text[start..end])
}

/// Returns the characters that no backslash stands before, with their places.
fn unescaped(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut is_escaped = false;
    text.char_indices().filter(move |&(_, c)| {
        let was_escaped = is_escaped;
        is_escaped = c == '\\' && !was_escaped;
        !was_escaped
    })
}

fn has_bad_escape(value: &str) -> bool {
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        if c == '\\' && !matches!(characters.next(), Some(',' | '=' | '\\')) {
            return true;
        }
    }
    false
}

/// Checks a label selector: requirements with commas between them, each `key`, `!key`, `key=value`, `key==value`,
/// `key!=value`, `key<1`, `key>1`, `key in (a,b)` or `key notin (a,b)`.
///
/// # Errors
///
/// Says which requirement is none.
pub(super) fn check_label_selector(selector: &str) -> Result<(), String> {
    let requirements = split_outside_parentheses(selector).ok_or_else(|| {
        format!("unable to parse requirement: unbalanced parentheses in {selector:?}")
    })?;
    if requirements.iter().all(|text| text.trim().is_empty()) && requirements.len() == 1 {
        return Ok(());
    }
    requirements.into_iter().try_for_each(|requirement| {
        let outcome = check_requirement(requirement.trim());
        outcome.map_err(|why| format!("unable to parse requirement: {why} in {selector:?}"))
    })
}

fn split_outside_parentheses(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    (depth == 0).then_some(parts)
}

fn check_requirement(text: &str) -> Result<(), String> {
    if let Some(key) = text.strip_prefix('!') {
        return check_key(key.trim());
    }
    if let Some((key, list)) = text.split_once('(') {
        let list = list
            .strip_suffix(')')
            .ok_or_else(|| format!("found text after ')' of {text:?}"))?;
        let (key, word) = key
            .trim()
            .rsplit_once(char::is_whitespace)
            .unwrap_or(("", ""));
        if word != "in" && word != "notin" {
            return Err(format!("found {text:?}, expected: in, notin"));
        }
        check_key(key.trim())?;
        return list
            .split(',')
            .try_for_each(|value| check_value(value.trim()));
    }
    let Some(at) = text.find(['=', '!', '<', '>']) else {
        return check_key(text);
    };
    let (key, rest) = text.split_at(at);
    check_key(key.trim())?;
    let operators = ["==", "!=", "=", "<", ">"];
    let found = operators
        .iter()
        .find_map(|operator| Some((operator, rest.strip_prefix(*operator)?)));
    match found {
        Some((&("<" | ">"), value)) if value.trim().parse::<i64>().is_err() => Err(format!(
            "for 'Gt', 'Lt' operators, the value must be an integer, got {value:?}"
        )),
        Some((_, value)) => check_value(value.trim()),
        None => Err(format!(
            "found {rest:?}, expected: =, ==, !=, in, notin, <, >"
        )),
    }
}

/// A label's key: a name of at most 63 characters, with or without a DNS name of at most 253 and a slash before it.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_dns = |prefix: &str| {
        let is_label = |label: &str| {
            is_framed(label)
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        prefix.len() <= 253 && prefix.split('.').all(is_label)
    };
    if is_name(name) && !name.is_empty() && prefix.is_none_or(is_dns) {
        Ok(())
    } else {
        Err(format!("{key:?} is not a label key"))
    }
}

fn check_value(value: &str) -> Result<(), String> {
    if is_name(value) {
        Ok(())
    } else {
        Err(format!("{value:?} is not a label value"))
    }
}

/// Letters, digits, `-`, `_` and `.`, the first and the last a letter or digit; or nothing.
fn is_name(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.is_empty() || (text.len() <= 63 && text.bytes().all(is_inner) && is_framed(text))
}

fn is_framed(text: &str) -> bool {
    let is_outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    is_outer(bytes.first()) && is_outer(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_selectors() {
        for good in [
            "",
            "metadata.name=a",
            "a==b,c!=d",
            "a=b\\,c",
            "a=",
            "status.phase!=Running",
        ] {
            assert_eq!(check_field_selector(good), Ok(()), "{good}");
        }
        assert_eq!(
            check_field_selector("metadata.status-Running"),
            Err("invalid selector: 'metadata.status-Running'; can't understand 'metadata.status-Running'".to_owned())
        );
        for bad in ["a", "a=b,c", "a=b\\x"] {
            assert!(check_field_selector(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn label_selectors() {
        for good in [
            "",
            "a",
            "!a",
            "a=b",
            "a==b",
            "a!=b",
            "a = b , c",
            "a in (b,c)",
            "a notin (b)",
            "a>5",
            "a<5",
            "app.kubernetes.io/name=x",
            "a=",
            "a in (b),c",
        ] {
            assert_eq!(check_label_selector(good), Ok(()), "{good}");
        }
        for bad in [
            "a b",
            "a=b c",
            "(a)",
            "a in b",
            "a in (b",
            "a in (b))",
            "a>b",
            "a,,b",
            "-a",
            "a=-b",
            "UP.io/x/y=1",
            "a!b",
            "Up/a",
        ] {
            assert!(check_label_selector(bad).is_err(), "{bad}");
        }
    }
}
