//! Go's templates for replacements: `$1`, `${name}`, `$$`.

use regex::Captures;

/// Appends `template` to `out` with its variables replaced by what `captures` holds.
///
/// `$name` takes the longest run of letters, digits and underscores, so `$1x` is the group named `1x`; `$$` is a
/// dollar; a dollar before anything else stands for itself.
///
/// Source: Go's `regexp.Expand`.
pub(super) fn append(out: &mut String, template: &str, captures: &Captures<'_>) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = variable(rest) {
            out.push_str(group(name, captures));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
}

/// Returns the variable's name at the start of `text`, and what comes after it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let text = braced.unwrap_or(text);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    match braced {
        Some(_) => Some((name, after.strip_prefix('}')?)),
        None => Some((name, after)),
    }
}

/// Returns the text of the group with that number or name; nothing if there is none or it did not take part.
fn group<'h>(name: &str, captures: &Captures<'h>) -> &'h str {
    let is_number =
        name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let found = if is_number {
        name.parse().ok().and_then(|number| captures.get(number))
    } else {
        captures.name(name)
    };
    found.map_or("", |found| found.as_str())
}
