//! From matchers to the series of a block.

use hashbrown::HashMap;
use model::storage::ReadError;
use model::{MatchOp, Matcher};

use super::index::SeriesRef;
use super::index::read::{IndexReader, PostingsAt, SeriesEntry};
use crate::head::postings::{intersect, subtract};

/// Returns the series that pass every matcher, ascending.
///
/// Matchers that name their values come first and narrow the rest; one that accepts the empty string is turned round,
/// since series without the label pass it too.
///
/// # Errors
///
/// When the index cannot be read.
pub fn select(index: &IndexReader, matchers: &[Matcher]) -> Result<Vec<SeriesRef>, ReadError> {
    let (subtracting, mut narrowing): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    narrowing.sort_by_cached_key(|matcher| cost(index, matcher));
    let mut selected: Option<Vec<SeriesRef>> = None;
    for matcher in narrowing {
        selected = Some(match selected {
            None => with_value(index, matcher, true)?,
            Some(series) if series.is_empty() => return Ok(series),
            Some(series) if prefers_check(index, matcher, series.len()) => {
                check_each(index, series, matcher)?
            }
            Some(series) => intersect(&series, &with_value(index, matcher, true)?),
        });
    }
    let mut selected = match selected {
        Some(series) => series,
        None => index.all_series()?,
    };
    for matcher in subtracting {
        selected = if prefers_check(index, matcher, selected.len()) {
            check_each(index, selected, matcher)?
        } else {
            subtract(&selected, &with_value(index, matcher, false)?)
        };
    }
    Ok(selected)
}

/// Returns how many series pass those matchers that name their values, each on its own: no more pass them all. Lists of
/// postings are not verified for it.
pub fn series_max(index: &IndexReader, matchers: &[Matcher]) -> usize {
    let narrowing = matchers.iter().filter(|matcher| !matcher.matches_empty());
    let named = narrowing.filter(|matcher| !matcher.is_negative());
    let counts =
        named.filter_map(|matcher| Some(named_len(index, matcher, matcher.literal_values()?)));
    counts.min().unwrap_or_else(|| all_len(index))
}

/// How many series have one of `values`.
fn named_len(index: &IndexReader, matcher: &Matcher, values: &[String]) -> usize {
    let values = values.iter();
    let found = values.filter_map(|value| index.find_postings(matcher.name(), value));
    found.map(|at| index.postings_len(at)).sum()
}

fn all_len(index: &IndexReader) -> usize {
    let all = index.find_postings("", "");
    all.map_or(0, |at| index.postings_len(at))
}

/// Returns whether series with a value that the matcher names are what is looked for; otherwise, all but those.
fn seeks_named(matcher: &Matcher, passing: bool) -> bool {
    matcher.is_negative() != passing
}

/// A guess of how many series or values a matcher touches, for ordering.
fn cost(index: &IndexReader, matcher: &Matcher) -> usize {
    match matcher.literal_values() {
        Some(values) if !matcher.is_negative() => named_len(index, matcher, values),
        _ => 8 * index.value_count(matcher.name()) + all_len(index),
    }
}

/// Whether testing each of `selected` series is cheaper than walking over all values of the matcher's label.
fn prefers_check(index: &IndexReader, matcher: &Matcher, selected: usize) -> bool {
    matcher.literal_values().is_none() && selected < 2 * index.value_count(matcher.name())
}

fn check_each(
    index: &IndexReader,
    series: Vec<SeriesRef>,
    matcher: &Matcher,
) -> Result<Vec<SeriesRef>, ReadError> {
    let name = index.find_symbol(matcher.name());
    let absent = matcher.matches_empty();
    let mut passes: HashMap<u32, bool> = HashMap::new();
    let mut entry = SeriesEntry::default();
    let mut kept = Vec::new();
    for series in series {
        index.series(series, &mut entry)?;
        let value = entry.labels.iter().find(|pair| Some(pair.0) == name);
        let is_kept = match value {
            None => absent,
            Some(&(_, value)) => match passes.get(&value) {
                Some(&known) => known,
                None => {
                    let tested = matcher.matches(index.symbol(value)?);
                    passes.insert(value, tested);
                    tested
                }
            },
        };
        if is_kept {
            kept.push(series);
        }
    }
    Ok(kept)
}

/// Series whose value of the matcher's label passes, or, without `passing`, fails. Series without the label are in
/// neither: the matcher is one that refuses the empty string, or, without `passing`, one that accepts it.
fn with_value(
    index: &IndexReader,
    matcher: &Matcher,
    passing: bool,
) -> Result<Vec<SeriesRef>, ReadError> {
    let mut all = Vec::new();
    for at in postings_of(index, matcher, passing)? {
        index.postings(at, &mut all)?;
    }
    // Each list ascends, which this sort makes use of; a series has one value, so nothing is twice.
    all.sort();
    Ok(all)
}

fn postings_of(
    index: &IndexReader,
    matcher: &Matcher,
    passing: bool,
) -> Result<Vec<PostingsAt>, ReadError> {
    let name = matcher.name();
    let named = seeks_named(matcher, passing);
    if let (true, Some(values)) = (named, matcher.literal_values()) {
        let found = values.iter().filter_map(|v| index.find_postings(name, v));
        return Ok(found.collect());
    }
    let prefix = match matcher.op() {
        MatchOp::Regex | MatchOp::NotRegex if named => literal_prefix(matcher.value()),
        _ => String::new(),
    };
    let mut found = Vec::new();
    for value in index.values(name, &prefix) {
        let (value, at) = value?;
        if matcher.matches(value) == passing {
            found.push(at);
        }
    }
    Ok(found)
}

/// Returns text that whatever matches `pattern` begins with; empty when none is known.
///
/// ```
/// # use tsdb::block::select::literal_prefix;
/// assert_eq!(literal_prefix(r"node\.cpu_.*"), "node.cpu_");
/// assert_eq!(literal_prefix("abc?"), "ab");
/// assert_eq!(literal_prefix("abc|d"), "");
/// ```
pub fn literal_prefix(pattern: &str) -> String {
    let mut prefix = String::new();
    if pattern.contains('|') {
        return prefix;
    }
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        let literal = match c {
            '\\' => match rest.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => escaped,
                _ => break,
            },
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => break,
            literal => literal,
        };
        if matches!(rest.peek(), Some('*' | '?' | '{')) {
            break;
        }
        prefix.push(literal);
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_matches_has_the_prefix(pattern in r"[ab.*+?(){}1\\^$|\[\]]{0,8}", value in "[ab.]{0,6}") {
            if let Ok(matcher) = Matcher::new("l", MatchOp::Regex, pattern.as_str()) && matcher.matches(&value) {
                prop_assert!(value.starts_with(&literal_prefix(&pattern)));
            }
        }
    }
}
