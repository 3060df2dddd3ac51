//! Functions that change labels.

use model::name::Quoted;
use model::{LabelsBuilder, matcher::compile_anchored};
use regex::Regex;

use super::Calling;
use crate::error::QueryError;
use crate::operator::map;
use crate::operator::merge::{SAME_LABELS, unique};
use crate::row::{BoxRows, Meta, without_reserved};

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
fn expanded(regex: &Regex, value: &str, replacement: &str) -> Option<String> {
    let captures = regex.captures(value)?;
    let mut text = String::new();
    captures.expand(replacement, &mut text);
    Some(text)
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
        Some(values.join(separator))
    })
}

/// Sets `destination` of every series to what `value` says, if it says something.
fn relabelled<'q>(
    call: Calling<'q>,
    destination: &str,
    value: impl Fn(&Meta) -> Option<String>,
) -> Result<BoxRows<'q>, QueryError> {
    let rows = call.vector(0)?;
    let series = rows.series().iter().map(|meta| match value(meta) {
        Some(value) => with(call, meta, destination, &value),
        None => meta.clone(),
    });
    let series: Vec<Meta> = series.collect();
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
    }
}
