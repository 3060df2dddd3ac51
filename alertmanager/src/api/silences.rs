//! Silences: made, changed, ended and shown.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use model::name::Quoted;
use model::{MatchOp, Matcher};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::decode::Object;
use super::{Api, Failure, Handled, Query, json, required, time, unreadable};
use crate::server::SilenceFailure;
use crate::silence::{Silence, SilenceError, SilenceState};
use crate::template::go_regex_error;

/// The Go type that reads the part of a silence that senders and readers do not share.
const POSTABLE: &str = r#"value of type struct { ID string "json:\"id,omitempty\"" }"#;
/// Matchers of one silence.
const MATCHERS_MAX: usize = 1_000;

/// A silence as the API shows it; the order of the fields is Alertmanager's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    status: Status,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    comment: &'a str,
    created_by: &'a str,
    ends_at: String,
    matchers: Vec<ShownMatcher<'a>>,
    starts_at: String,
}

#[derive(Serialize)]
struct Status {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownMatcher<'a> {
    is_equal: bool,
    is_regex: bool,
    name: &'a str,
    value: &'a str,
}

impl<'a> Shown<'a> {
    fn new(silence: &'a Silence, now_ms: i64) -> Self {
        let matchers = silence.matchers.iter().map(|matcher| ShownMatcher {
            is_equal: !matcher.is_negative(),
            is_regex: matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
            name: matcher.name(),
            value: matcher.value(),
        });
        Shown {
            id: &silence.id,
            status: Status {
                state: silence.state(now_ms).as_str(),
            },
            updated_at: time::print(silence.updated_at_ms),
            annotations: &silence.annotations,
            comment: &silence.comment,
            created_by: &silence.created_by,
            ends_at: time::print(silence.ends_at_ms),
            matchers: matchers.collect(),
            starts_at: time::print(silence.starts_at_ms),
        }
    }
}

/// What silences are shown by: active ones with the soonest end first, then pending ones with the soonest start first,
/// then expired ones with the latest end first.
fn rank(silence: &Silence, now_ms: i64) -> (u8, i64, i64, &str) {
    let id = silence.id.as_str();
    match silence.state(now_ms) {
        SilenceState::Active => (0, silence.ends_at_ms, 0, id),
        SilenceState::Pending => (1, silence.starts_at_ms, 0, id),
        SilenceState::Expired => (2, -silence.ends_at_ms, -silence.starts_at_ms, id),
    }
}

impl Api {
    pub(super) fn silences(&self, query: &Query) -> Handled {
        let wanted = query
            .matchers("filter", self.matcher_mode())
            .map_err(Failure::Meaning)?;
        let shown = SilenceState::ALL.map(|state| (state, query.is_on(state.as_str())));
        Ok(self.alertmanager.look(|dispatcher, now_ms| {
            let silences = dispatcher.silences().iter().filter(|silence| {
                let is_shown = shown.contains(&(silence.state(now_ms), true));
                is_shown
                    && wanted
                        .iter()
                        .all(|matcher| silence.matchers.contains(matcher))
            });
            let mut silences: Vec<_> = silences.collect();
            silences.sort_by_key(|silence| rank(silence, now_ms));
            let shown = silences.into_iter().map(|s| Shown::new(s, now_ms));
            json(StatusCode::OK, &shown.collect::<Vec<_>>(), "\n")
        }))
    }

    pub(super) fn silence(&self, id: &str) -> Handled {
        let id = checked_id(id)?;
        self.alertmanager.look(|dispatcher, now_ms| {
            let silence = dispatcher.silences().get(&id).ok_or(Failure::Missing)?;
            Ok(json(StatusCode::OK, &Shown::new(silence, now_ms), "\n"))
        })
    }

    pub(super) async fn expire_silence(&self, id: &str) -> Handled {
        let id = checked_id(id)?;
        match self.alertmanager.expire_silence(&id).await {
            Ok(()) => Ok(Response::default()),
            Err(SilenceFailure::Refused(_)) => Err(Failure::Missing),
            Err(failure) => Err(internal(&failure)),
        }
    }

    pub(super) async fn post_silence(&self, body: &Value) -> Handled {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(rename = "silenceID")]
            silence_id: String,
        }
        let silence = posted(body)?;
        if silence.ends_at_ms <= silence.starts_at_ms {
            let text = "Failed to create silence: start time must be before end time";
            return Err(Failure::Meaning(text.to_owned()));
        }
        if silence.ends_at_ms < self.alertmanager.now_ms() {
            let text = "Failed to create silence: end time can't be in the past";
            return Err(Failure::Meaning(text.to_owned()));
        }
        let mode = self.matcher_mode();
        let mut names = silence.matchers.iter().map(Matcher::name).enumerate();
        if let Some((index, name)) = names.find(|(_, name)| !mode.is_label_name(name)) {
            return Err(Failure::Meaning(format!(
                "invalid silence: invalid label matcher {index} in set 0: invalid label name {}",
                Quoted(name)
            )));
        }
        match self.alertmanager.set_silence(silence).await {
            Ok(silence_id) => Ok(json(StatusCode::OK, &Answer { silence_id }, "\n")),
            Err(SilenceFailure::Refused(error @ SilenceError::NotFound)) => {
                Err(Failure::Status(StatusCode::NOT_FOUND, error.to_string()))
            }
            Err(SilenceFailure::Refused(error)) => Err(Failure::Meaning(error.to_string())),
            Err(failure) => Err(internal(&failure)),
        }
    }
}

fn internal(failure: &SilenceFailure) -> Failure {
    Failure::Status(StatusCode::INTERNAL_SERVER_ERROR, failure.to_string())
}

/// Returns an id of a path, decoded.
fn checked_id(id: &str) -> Result<String, Failure> {
    match Uuid::try_parse(id) {
        // Only the form with dashes is one here.
        Ok(uuid) if id.len() == 36 => Ok(uuid.to_string()),
        _ => {
            let text = format!("silenceID in path must be of type uuid: {}", Quoted(id));
            Err(Failure::Schema(601, text))
        }
    }
}

/// Reads a silence.
fn posted(body: &Value) -> Result<Silence, Failure> {
    let wrong = |why: String| unreadable("silence", &why);
    let own = Object::of(body, POSTABLE, ".").map_err(wrong)?;
    let shared = own.called("Silence.");
    let id = own.text("id").map_err(wrong)?;
    let annotations = shared.strings("annotations").map_err(wrong)?;
    let comment = shared.text("comment").map_err(wrong)?;
    let created_by = shared.text("createdBy").map_err(wrong)?;
    let ends_at_ms = shared.time("endsAt").map_err(wrong)?;
    let matchers = shared.list("matchers", "models.Matchers").map_err(wrong)?;
    let posted = matchers.unwrap_or_default().iter().enumerate();
    let posted = posted.map(|(index, item)| PostedMatcher::of(item, index));
    let posted: Vec<_> = posted.collect::<Result<_, _>>().map_err(wrong)?;
    let starts_at_ms = shared.time("startsAt").map_err(wrong)?;
    // The schema is checked in the order of the alphabet.
    let comment = comment.ok_or_else(|| required("comment"))?;
    let created_by = created_by.ok_or_else(|| required("createdBy"))?;
    let ends_at_ms = ends_at_ms.ok_or_else(|| required("endsAt"))?;
    if matchers.is_none() {
        return Err(required("matchers"));
    }
    if posted.is_empty() {
        let text = "matchers in body should have at least 1 items";
        return Err(Failure::Schema(612, text.to_owned()));
    }
    if MATCHERS_MAX < posted.len() {
        let text = format!("invalid silence: more than {MATCHERS_MAX} matchers");
        return Err(Failure::Meaning(text));
    }
    for (index, matcher) in posted.iter().enumerate() {
        matcher.check_schema(index)?;
    }
    let starts_at_ms = starts_at_ms.ok_or_else(|| required("startsAt"))?;
    let matchers = posted.into_iter().enumerate();
    let matchers = matchers.map(|(index, matcher)| matcher.matcher(index));
    Ok(Silence {
        id: id.unwrap_or_default(),
        matchers: matchers.collect::<Result<_, _>>()?,
        starts_at_ms,
        ends_at_ms,
        updated_at_ms: 0,
        created_by,
        comment,
        annotations: annotations.unwrap_or_default(),
    })
}

struct PostedMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regex: Option<bool>,
    is_equal: bool,
}

impl PostedMatcher {
    fn of(item: &Value, index: usize) -> Result<Self, String> {
        let path = format!("Silence.matchers.{index}.");
        let at = format!("struct field Silence.matchers.{index} of type models.Matcher");
        let object = Object::of(item, &at, &path)?;
        Ok(PostedMatcher {
            is_equal: object.boolean("isEqual")?.unwrap_or(true),
            is_regex: object.boolean("isRegex")?,
            name: object.text("name")?,
            value: object.text("value")?,
        })
    }

    fn check_schema(&self, index: usize) -> Result<(), Failure> {
        let fields = [
            ("isRegex", self.is_regex.is_some()),
            ("name", self.name.is_some()),
            ("value", self.value.is_some()),
        ];
        match fields.iter().find(|(_, is_there)| !is_there) {
            Some((name, _)) => Err(required(&format!("matchers.{index}.{name}"))),
            None => Ok(()),
        }
    }

    fn matcher(self, index: usize) -> Result<Matcher, Failure> {
        let op = match (self.is_regex.unwrap_or_default(), self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        let value = self.value.unwrap_or_default();
        Matcher::new(self.name.unwrap_or_default(), op, value).map_err(|error| {
            let pattern = &error.pattern;
            let why = go_regex_error(pattern);
            Failure::Meaning(format!(
                "invalid silence: invalid label matcher {index} in set 0: \
                 invalid regular expression {}: {why}",
                Quoted(pattern)
            ))
        })
    }
}
