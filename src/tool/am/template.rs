//! `hearth tool am template render`: what a template makes of a notification.

use std::io::Write;
use std::path::Path;

use alertmanager::template::alertmanager::NotificationData;
use alertmanager::template::{Environment, Mode, Value, files};
use anyhow::Context as _;
use model::time::{Clock as _, SystemClock};
use serde_json::json;

use crate::cli::tool::ToolCall;
use crate::tool::Outcome;

/// The notification's surroundings.
struct World {
    external_url: String,
    route_labels: model::Labels,
}

impl Environment for World {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms()
    }

    fn external_url(&self) -> &str {
        &self.external_url
    }

    fn route_label(&self, name: &str) -> Result<String, String> {
        Ok(self.route_labels.value(name).to_owned())
    }
}

/// Renders the text with the shipped templates and those of the globs.
///
/// # Errors
///
/// When a template or the data is wrong.
pub(in crate::tool) fn render(call: &ToolCall, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let flags = &call.flags;
    let templates = files::load(Path::new(""), flags.list("template.glob"))?;
    let data = match flags.text("template.data") {
        "" => example(),
        file => {
            serde_json::from_str(&super::read(file)?).with_context(|| format!("read {file}"))?
        }
    };
    let data = NotificationData::from_json(&data).map_err(anyhow::Error::msg)?;
    let world = World {
        external_url: data.external_url.clone(),
        route_labels: data.route_labels.clone(),
    };
    let mode = match flags.text("template.type") {
        "html" => Mode::Html,
        _ => Mode::Text,
    };
    let template = templates.with("", flags.text("template.text"))?;
    let rendered = template.execute(&Value::object(data), &world, mode)?;
    out.write_all(rendered.as_bytes())?;
    Ok(Outcome::Done)
}

/// Two alerts, for those who bring no data.
fn example() -> serde_json::Value {
    let before = |minutes: i64| {
        let ms = SystemClock.now_ms() - 60_000 * minutes;
        jiff::Timestamp::from_millisecond(ms)
            .unwrap_or_default()
            .to_string()
    };
    let common = |key: &str| json!({format!("common{key}key1"): format!("common{key}value1"), format!("common{key}key2"): format!("common{key}value2")});
    let with = |mut pairs: serde_json::Value, more: &[(&str, &str)]| {
        for (key, value) in more {
            pairs[*key] = (*value).into();
        }
        pairs
    };
    json!({
        "receiver": "receiver",
        "alerts": [
            {
                "status": "firing",
                "labels": with(common("label"), &[("instance", "foo.bar:1234"), ("label1", "value1"), ("label2", "value2")]),
                "annotations": with(common("annotation"), &[("annotation1", "value1"), ("annotation2", "value2")]),
                "startsAt": before(5),
                "endsAt": before(0),
                "generatorURL": "https://generatorurl.com",
                "fingerprint": "fingerprint1",
            },
            {
                "status": "resolved",
                "labels": with(common("label"), &[("baz", "qux"), ("foo", "bar")]),
                "annotations": with(common("annotation"), &[("aaa", "bbb"), ("ccc", "ddd")]),
                "startsAt": before(10),
                "endsAt": before(0),
                "generatorURL": "https://generatorurl.com",
                "fingerprint": "fingerprint2",
            },
        ],
        "groupLabels": {"grouplabelkey1": "grouplabelvalue1", "grouplabelkey2": "grouplabelvalue2"},
        "commonLabels": common("label"),
        "commonAnnotations": common("annotation"),
        "externalURL": "https://example.com",
    })
}
