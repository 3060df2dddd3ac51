//! The shortest expression that still differs.

use std::collections::BTreeSet;

use promql::Expr;

/// Returns the shortest expression that `differs`, got from `text` by putting sub-expressions in the place of
/// expressions of their type, the whole included.
pub(crate) fn shrink(text: &str, mut differs: impl FnMut(&str) -> bool) -> String {
    let mut shortest = text.to_owned();
    while let Some(shorter) = shorter_ones(&shortest)
        .into_iter()
        .find(|text| differs(text))
    {
        shortest = shorter;
    }
    shortest
}

/// Returns what one step makes of `text`, shortest first.
fn shorter_ones(text: &str) -> Vec<String> {
    let Ok(expr) = promql::parse(text) else {
        return cuts(text);
    };
    let mut found = BTreeSet::new();
    for node in descendants(&expr) {
        found.insert(slice(text, node).to_owned());
        for inner in descendants(node).into_iter().skip(1) {
            if inner.value_type() == node.value_type() {
                found.insert(replaced(text, node, slice(text, inner)));
            }
        }
        if node.value_type() == promql::ValueType::Scalar {
            found.insert(replaced(text, node, "1"));
        }
        if let Expr::Vector(_) = node {
            found.insert(replaced(text, node, "target"));
        }
    }
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|found| found.len() < text.len())
        .collect();
    found.sort_by_key(String::len);
    found
}

/// Returns what is left of a text that does not parse when a piece of it is cut out.
fn cuts(text: &str) -> Vec<String> {
    let bounds: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let mut found = Vec::new();
    for length in [32, 8, 3, 1] {
        for pair in bounds.windows(length + 1) {
            found.push(text[..pair[0]].to_owned() + &text[pair[length]..]);
        }
    }
    found
}

fn descendants(expr: &Expr) -> Vec<&Expr> {
    let mut all = vec![expr];
    for child in expr.children() {
        all.extend(descendants(child));
    }
    all
}

fn slice<'t>(text: &'t str, expr: &Expr) -> &'t str {
    let position = expr.position();
    text.get(position.start as usize..position.end as usize)
        .unwrap_or(text)
}

fn replaced(text: &str, expr: &Expr, by: &str) -> String {
    let position = expr.position();
    let (start, end) = (position.start as usize, position.end as usize);
    match (text.get(..start), text.get(end..)) {
        (Some(before), Some(after)) => format!("{before}{by}{after}"),
        _ => text.to_owned(),
    }
}
