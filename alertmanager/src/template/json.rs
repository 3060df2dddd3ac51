//! Values as JSON, as Go's encoder writes them.

use super::value::Value;

/// Nested lists and maps; deeper ones are refused.
const DEPTH_MAX: usize = 100;

/// Returns `value` as JSON, with Go's escapes.
pub(super) fn to_json(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    append(&mut out, value, DEPTH_MAX)?;
    Ok(out)
}

fn append(out: &mut String, value: &Value, depth: usize) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("json: nested too deeply")?;
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) => out.push_str(&value.to_string()),
        Value::Duration(ns) => out.push_str(&ns.to_string()),
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(_) if number.fract() == 0.0 && number.abs() < 1e15 => {
                out.push_str(&format!("{number:.0}"));
            }
            Some(number) => out.push_str(&number.to_string()),
            None => return Err(format!("json: unsupported value: {value}")),
        },
        Value::String(text) | Value::Html(text) | Value::Url(text) => append_text(out, text),
        Value::Time(time) => append_text(
            out,
            &super::time::rfc3339(time.timestamp().as_millisecond()),
        ),
        Value::List(_) => append_list(out, value, depth)?,
        Value::Map(_) => append_map(out, value, depth)?,
        Value::Object(object) => match object.json_fields() {
            [] if object.elements().is_some_and(|elements| {
                elements.iter().all(|(key, _)| matches!(key, Value::Int(_)))
                    && object.type_name() != "template.KV"
            }) =>
            {
                append_list(out, value, depth)?;
            }
            [] => append_map(out, value, depth)?,
            fields => {
                let entry = |(name, key): &(&str, &str)| {
                    (Value::string(key), object.field(name).unwrap_or(Value::Nil))
                };
                append_entries(out, fields.iter().map(entry), depth)?;
            }
        },
    }
    Ok(())
}

fn append_list(out: &mut String, list: &Value, depth: usize) -> Result<(), String> {
    out.push('[');
    for (index, (_, item)) in list.elements().unwrap_or_default().iter().enumerate() {
        if 0 < index {
            out.push(',');
        }
        append(out, item, depth)?;
    }
    out.push(']');
    Ok(())
}

fn append_map(out: &mut String, map: &Value, depth: usize) -> Result<(), String> {
    append_entries(out, map.elements().unwrap_or_default().into_iter(), depth)
}

fn append_entries(
    out: &mut String,
    entries: impl Iterator<Item = (Value, Value)>,
    depth: usize,
) -> Result<(), String> {
    out.push('{');
    for (index, (key, value)) in entries.enumerate() {
        if 0 < index {
            out.push(',');
        }
        append_text(out, &key.to_string());
        out.push(':');
        append(out, &value, depth)?;
    }
    out.push('}');
    Ok(())
}

fn append_text(out: &mut String, text: &str) {
    out.push_str(&net::json::to_string(&text).expect("a text is always JSON"));
}
