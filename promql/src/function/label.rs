//! Functions that change labels.

use model::name::Quoted;
use model::{LabelsBuilder, matcher::compile_anchored};
use regex::Regex;

use super::Calling;
use crate::error::QueryError;
use crate::operator::map;
use crate::operator::merge::{SAME_LABELS, unique};
use crate::row::{BoxRows, Meta, without_reserved};

/// The length of a label's value that a function may make, in bytes.
const VALUE_MAX: usize = 1 << 20;

/// How many bytes of a made value count as one sample held.
const BYTES_PER_SAMPLE: usize = 256;

/// `label_replace(v, destination, replacement, source, regex)`
pub(super) fn replace(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let destination = call.string(1)?;
    let (replacement, source) = (call.string(2)?, call.string(3)?);
    let regex = compile_anchored(call.string(4)?).map_err(|_| {
        let regex = call.string(4).unwrap_or_default();
        QueryError::Execution(format!(
            "invalid regular expression in label_replace(): {regex}"
        ))
    })?;
    if destination.is_empty() {
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_replace(): {destination}"
        )));
    }
    relabelled(call, destination, |meta| {
        let value = meta.value(source, call.context.delayed_name_removal);
        expanded(&regex, value, replacement)
    })
}

/// The replacement with what the groups of `regex` caught; none if it does not match.
fn expanded(regex: &Regex, value: &str, replacement: &str) -> Result<Option<String>, QueryError> {
    let Some(captures) = regex.captures(value) else {
        return Ok(None);
    };
    // Each reference gives at most the value; far too many of them are refused before there is a text.
    let references = replacement.matches('$').count();
    if (VALUE_MAX * 16) < references.saturating_mul(value.len()) {
        return Err(too_long());
    }
    let mut text = String::new();
    captures.expand(replacement, &mut text);
    if VALUE_MAX < text.len() {
        return Err(too_long());
    }
    Ok(Some(text))
}

fn too_long() -> QueryError {
    QueryError::execution(format!("label value is longer than {VALUE_MAX} bytes"))
}

/// `label_join(v, destination, separator, sources...)`
pub(super) fn join(call: Calling<'_>) -> Result<BoxRows<'_>, QueryError> {
    let destination = call.string(1)?;
    let separator = call.string(2)?;
    let sources: Vec<&str> = (3..call.node.args.len())
        .map(|i| call.string(i))
        .collect::<Result<_, _>>()?;
    if destination.is_empty() {
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_join(): {}",
            Quoted(destination)
        )));
    }
    relabelled(call, destination, |meta| {
        let delayed = call.context.delayed_name_removal;
        let values: Vec<&str> = sources
            .iter()
            .map(|source| meta.value(source, delayed))
            .collect();
        let length: usize = values
            .iter()
            .map(|value| value.len() + separator.len())
            .sum();
        if VALUE_MAX + separator.len() < length {
            return Err(too_long());
        }
        Ok(Some(values.join(separator)))
    })
}

/// Sets `destination` of every series to what `value` says, if it says something.
fn relabelled<'q>(
    call: Calling<'q>,
    destination: &str,
    value: impl Fn(&Meta) -> Result<Option<String>, QueryError>,
) -> Result<BoxRows<'q>, QueryError> {
    let rows = call.vector(0)?;
    let mut series: Vec<Meta> = Vec::with_capacity(rows.series().len());
    for meta in rows.series() {
        series.push(match value(meta)? {
            Some(value) => {
                // Long values count like as many samples; usual ones are free, as labels are elsewhere.
                call.context.budget.hold(value.len() / BYTES_PER_SAMPLE)?;
                call.context.budget.check_work(value.len())?;
                with(call, meta, destination, &value)
            }
            None => meta.clone(),
        });
    }
    let mapped = map::map_series(rows, series, |_| Ok(()));
    unique(call.context, mapped, call.steps.count, SAME_LABELS)
}

fn with(call: Calling<'_>, meta: &Meta, destination: &str, value: &str) -> Meta {
    let names_series = destination == "__name__";
    let hidden = meta.drop_name && !call.context.delayed_name_removal;
    let base = if hidden && names_series {
        without_reserved(&meta.labels)
    } else {
        meta.labels.clone()
    };
    let mut builder: LabelsBuilder = base.to_builder();
    Meta {
        labels: builder.set(destination, value).build(),
        // A name that was just set is meant to stay.
        drop_name: meta.drop_name && !names_series,
        ..*meta
    }
}
