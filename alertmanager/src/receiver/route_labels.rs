//! Labels of routes: templates over a group's alerts, which may use each other by `routeLabels`.

use std::collections::BTreeMap;

use model::Labels;
use parking_lot::Mutex;

use crate::template::alertmanager::NotificationData;
use crate::template::{Environment, Mode, Template, Value};

/// Labels that use each other, one by one, at most.
const DEPTH_MAX: usize = 20;

/// The labels of a route as they are written, those of the routes above it among them.
pub(crate) type RouteLabels = BTreeMap<String, String>;

/// Returns what one label gives for a notification.
struct Rendering<'a> {
    texts: &'a RouteLabels,
    data: &'a NotificationData,
    templates: &'a Template,
    now_ms: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: BTreeMap<String, String>,
    /// Those that wait for others.
    open: Vec<String>,
}

/// Returns the labels as `templates` make them of `data`.
///
/// # Errors
///
/// When a label is no template, cannot be made of this notification, or needs itself.
pub(crate) fn render(
    texts: &RouteLabels,
    data: &NotificationData,
    templates: &Template,
    now_ms: i64,
) -> Result<Labels, String> {
    let rendering = Rendering {
        texts,
        data,
        templates,
        now_ms,
        state: Mutex::default(),
    };
    for name in texts.keys() {
        rendering
            .route_label(name)
            .map_err(|error| format!("expand the route label {name}: {error}"))?;
    }
    let done = &rendering.state.lock().done;
    let done = done.iter();
    Ok(Labels::from_pairs(
        done.map(|(name, value)| (name.as_str(), value.as_str())),
    ))
}

/// Checks that labels are templates.
///
/// # Errors
///
/// What is wrong with the first that is none.
pub(crate) fn check(texts: &RouteLabels, templates: &Template) -> Result<(), String> {
    for (name, text) in texts {
        if let Err(error) = templates.with("", text) {
            return Err(format!("label {name}: {error}"));
        }
    }
    Ok(())
}

impl Environment for Rendering<'_> {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn external_url(&self) -> &str {
        &self.data.external_url
    }

    fn route_label(&self, name: &str) -> Result<String, String> {
        let Some(text) = self.texts.get(name) else {
            return Ok(String::new());
        };
        {
            let state = &mut *self.state.lock();
            if let Some(done) = state.done.get(name) {
                return Ok(done.clone());
            }
            if state.open.iter().any(|open| open == name) {
                return Err(format!("{name} needs itself: {}", state.open.join(", ")));
            }
            if DEPTH_MAX <= state.open.len() {
                return Err(format!("more than {DEPTH_MAX} labels need each other"));
            }
            state.open.push(name.to_owned());
        }
        let template = self.templates.with("", text);
        let template = template.map_err(|error| error.to_string())?;
        let data = Value::object(self.data.clone());
        let value = template
            .execute(&data, self, Mode::Text)
            .map_err(|error| error.to_string())?;
        let mut state = self.state.lock();
        state.open.pop();
        state.done.insert(name.to_owned(), value.clone());
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::message;
    use crate::template::alertmanager::default_templates;

    #[track_caller]
    fn check_labels(texts: &[(&str, &str)], expected: Result<&[(&str, &str)], &str>) {
        let texts = texts.iter();
        let texts = texts.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let found = render(&texts.collect(), &message().data, &default_templates(), 0);
        match expected {
            Ok(expected) => {
                let expected = Labels::from_pairs(expected.iter().copied());
                assert_eq!(found, Ok(expected));
            }
            Err(part) => {
                let error = found.unwrap_err();
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn labels_use_data_and_each_other() {
        check_labels(
            &[
                (
                    "description",
                    "{{ .GroupLabels.alertname }} ({{ routeLabels \"reason\" }})",
                ),
                (
                    "reason",
                    "{{ len .Alerts.Firing }} of {{ routeLabels \"sum\" }}{{ routeLabels \"none\" }}",
                ),
                ("sum", "{{ len .Alerts }}"),
                ("plain", "x"),
            ],
            Ok(&[
                ("description", "A (1 of 2)"),
                ("plain", "x"),
                ("reason", "1 of 2"),
                ("sum", "2"),
            ]),
        );
    }

    #[test]
    fn labels_that_cannot_be_made() {
        check_labels(
            &[
                ("a", "{{ routeLabels \"b\" }}"),
                ("b", "{{ routeLabels \"a\" }}"),
            ],
            Err("a needs itself: a, b"),
        );
        check_labels(
            &[("a", "{{ .Nope.Nope }}")],
            Err("expand the route label a: "),
        );
        let chain: Vec<_> = (0..30)
            .map(|at| {
                (
                    format!("l{at:02}"),
                    format!("{{{{ routeLabels \"l{:02}\" }}}}", at + 1),
                )
            })
            .collect();
        let chain: Vec<_> = chain
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        check_labels(&chain, Err("more than 20 labels need each other"));
        let texts = RouteLabels::from([("a".to_owned(), "{{ nofunc }}".to_owned())]);
        let error = check(&texts, &default_templates()).unwrap_err();
        assert!(error.starts_with("label a: "), "{error}");
    }
}
