//! What there is to query: series, label names, label values.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::Response;
use http::Uri;
use model::storage::{Querier, SelectHints};
use model::{Labels, Matcher};

use super::error::ApiError;
use super::json::{self, Notes};
use super::params::{Params, TIME_MAX_MS, TIME_MIN_MS};
use super::{ApiState, Handled, Ready, blocking};
use net::form::decode;

/// `/api/v1/series`: the label sets that match, sorted.
pub(super) async fn series(Ready(api): Ready, params: Params) -> Handled {
    let range = TimeRange::of(&params)?;
    let limit = params.limit()?;
    let sets = match_sets(&params).map_err(|what| ApiError::parameter("match[]", what))?;
    if sets.is_empty() {
        return Err(ApiError::BadData(
            "no match[] parameter provided".to_owned(),
        ));
    }
    blocking(move || {
        let found = range.read(&api, |querier| find_series(querier, &sets, range))?;
        let (shown, notes) = cut(found.into_iter().collect(), limit);
        Ok(json::success(&notes, |out| append_series(out, &shown)))
    })
    .await
}

fn find_series(
    querier: &dyn Querier,
    sets: &[Vec<Matcher>],
    range: TimeRange,
) -> Result<BTreeSet<Labels>, ApiError> {
    let hints = SelectHints::range(range.mint, range.maxt);
    let mut found = BTreeSet::new();
    for matchers in sets {
        let selected = querier.select(matchers, &hints).map_err(read_error)?;
        found.extend((0..selected.len()).map(|index| selected.labels(index)));
    }
    Ok(found)
}

fn append_series(out: &mut Vec<u8>, series: &[Labels]) {
    out.push(b'[');
    for (i, labels) in series.iter().enumerate() {
        json::separate(out, i);
        json::append_labels(out, labels);
    }
    out.push(b']');
}

/// `/api/v1/labels`: the names of labels, sorted.
pub(super) async fn labels(Ready(api): Ready, params: Params) -> Handled {
    strings(api, &params, |querier, matchers| {
        querier.label_names(matchers)
    })
    .await
}

/// `/api/v1/label/NAME/values`: the values of one label, sorted. NAME may be escaped with `U__`.
pub(super) async fn values(Ready(api): Ready, uri: Uri, params: Params) -> Handled {
    let name = label_name(uri.path())?;
    strings(api, &params, move |querier, matchers| {
        querier.label_values(&name, matchers)
    })
    .await
}

/// Answers with the strings that `read` finds for any of the selectors, or for all series without selectors.
async fn strings<F>(api: Arc<ApiState>, params: &Params, read: F) -> Handled
where
    F: Fn(&dyn Querier, &[Matcher]) -> Result<Vec<String>, model::storage::ReadError>
        + Send
        + 'static,
{
    let limit = params.limit()?;
    let range = TimeRange::of(params)?;
    let sets = match_sets(params).map_err(ApiError::BadData)?;
    blocking(move || {
        let found = range.read(&api, |querier| match sets.as_slice() {
            [] => read(querier, &[]).map_err(read_error),
            [matchers] => read(querier, matchers).map_err(read_error),
            sets => {
                let mut union = BTreeSet::new();
                for matchers in sets {
                    union.extend(read(querier, matchers).map_err(read_error)?);
                }
                Ok(union.into_iter().collect())
            }
        })?;
        Ok(success_strings(found, limit))
    })
    .await
}

fn success_strings(found: Vec<String>, limit: usize) -> Response {
    let (shown, notes) = cut(found, limit);
    json::success(&notes, |out| {
        json::append_strings(out, shown.iter().map(String::as_str))
    })
}

/// Cuts `found` to `limit` entries, unless it is 0.
fn cut<T>(mut found: Vec<T>, limit: usize) -> (Vec<T>, Notes) {
    let is_truncated = 0 < limit && limit < found.len();
    if is_truncated {
        found.truncate(limit);
    }
    (found, Notes::truncated(is_truncated))
}

fn read_error(error: model::storage::ReadError) -> ApiError {
    ApiError::Internal(error.to_string())
}

/// The parameters `start` and `end`, both inclusive; all of time without them.
#[derive(Clone, Copy)]
struct TimeRange {
    mint: i64,
    maxt: i64,
}

impl TimeRange {
    fn of(params: &Params) -> Result<Self, ApiError> {
        Ok(TimeRange {
            mint: params.time_or("start", TIME_MIN_MS)?,
            maxt: params.time_or("end", TIME_MAX_MS)?,
        })
    }

    /// Returns what `read` finds in this range; nothing when it is empty.
    fn read<T: Default>(
        self,
        api: &ApiState,
        read: impl FnOnce(&dyn Querier) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if self.maxt < self.mint {
            return Ok(T::default());
        }
        let querier = api
            .storage
            .querier(self.mint, self.maxt)
            .map_err(read_error)?;
        read(&*querier)
    }
}

/// Returns the matchers of each `match[]`.
///
/// # Errors
///
/// With what is wrong with the first bad one.
pub(super) fn match_sets(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    params.all("match[]").map(parse_selector).collect()
}

/// Returns the matchers of a selector.
///
/// # Errors
///
/// When it is none, or would match everything.
fn parse_selector(text: &str) -> Result<Vec<Matcher>, String> {
    promql::parse_selector(text).map_err(|error| {
        if matches_everything(&error) {
            "match[] must contain at least one non-empty matcher".to_owned()
        } else {
            error.to_string()
        }
    })
}

/// Returns whether `error` says that the selector is well-formed, but excludes nothing.
pub(super) fn matches_everything(error: &promql::ParseError) -> bool {
    error
        .message
        .ends_with("must contain at least one non-empty matcher")
}

/// Returns the label name in the path `…/label/NAME/values`.
fn label_name(path: &str) -> Result<String, ApiError> {
    let mut segments = path.rsplit('/').skip(1);
    let encoded = segments.next().unwrap_or_default().as_bytes();
    let bytes = decode(encoded, false).unwrap_or_else(|| encoded.to_vec());
    match std::str::from_utf8(&bytes) {
        Ok(name) if !name.is_empty() => Ok(unescape(name).unwrap_or_else(|| name.to_owned())),
        _ => Err(ApiError::BadData(format!(
            "invalid label name: \"{}\"",
            bytes.escape_ascii()
        ))),
    }
}

/// Undoes the value escaping of names: `U__`, then `__` for an underscore and `_2e_` for other characters, by their
/// hexadecimal number. `None` when `name` is not escaped so.
fn unescape(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut unescaped = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        unescaped.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('_') {
            unescaped.push('_');
            rest = tail;
            continue;
        }
        let (digits, tail) = rest.split_once('_')?;
        let number = Some(digits)
            .filter(|digits| digits.len() <= 6)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        unescaped.push(char::from_u32(number?)?);
        rest = tail;
    }
    unescaped.push_str(rest);
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, error};

    #[track_caller]
    fn check_name(path: &str, expected: &str) {
        assert_eq!(label_name(path), Ok(expected.to_owned()), "{path}");
    }

    #[test]
    fn names_in_paths() {
        check_name("/api/v1/label/job/values", "job");
        check_name("/prom/api/v1/label/__name__/values", "__name__");
        check_name("/api/v1/label/a%2eb/values", "a.b");
        check_name("/api/v1/label/a+b/values", "a+b");
        check_name("/api/v1/label/U__a_2e_b__c/values", "a.b_c");
        check_name("/api/v1/label/U__e_9/values", "U__e_9");
        check_name("/api/v1/label/U__a_zz_b/values", "U__a_zz_b");
        check_name("/api/v1/label/U__a_1234567_b/values", "U__a_1234567_b");
        let bad = label_name("/api/v1/label/%ff/values");
        assert_eq!(
            bad,
            Err(ApiError::BadData(
                "invalid label name: \"\\xff\"".to_owned()
            ))
        );
    }

    #[tokio::test]
    async fn series_are_merged_and_sorted() {
        let api = Api::new();
        let up = r#"{"__name__":"up","instance":"a","job":"x"}"#;
        let both = format!(
            r#"{{"status":"success","data":[{up},{}]}}"#,
            r#"{"__name__":"up","instance":"b","job":"y"}"#
        );
        api.check("/api/v1/series?match[]=up", 200, &both).await;
        api.check(
            "/api/v1/series?match[]=up&match[]=up{job=\"x\"}",
            200,
            &both,
        )
        .await;
        let cut = format!(
            r#"{{"status":"success","data":[{up}],"warnings":["results truncated due to limit"]}}"#
        );
        api.check("/api/v1/series?match[]=up&limit=1", 200, &cut)
            .await;
        api.check("/api/v1/series?match[]=up&limit=2", 200, &both)
            .await;
        let none = r#"{"status":"success","data":[]}"#;
        api.check("/api/v1/series?match[]=up&start=5&end=3", 200, none)
            .await;
        api.check("/api/v1/series?match[]=up&start=1&end=3", 200, none)
            .await;
        api.check("/api/v1/series?match[]=nope", 200, none).await;
    }

    #[tokio::test]
    async fn series_with_bad_parameters() {
        let api = Api::new();
        let check = async |query: &str, text: &str| {
            api.check(
                &format!("/api/v1/series{query}"),
                400,
                &error("bad_data", text),
            )
            .await
        };
        check("", "no match[] parameter provided").await;
        let empty =
            r#"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"#;
        check("?match[]={}", empty).await;
        check("?match[]={a=~\".*\"}", empty).await;
        check(
            "?match[]=up[",
            r#"invalid parameter \"match[]\": 1:3: parse error: unexpected \"[\""#,
        )
        .await;
        check(
            "?match[]=sum(up)",
            r#"invalid parameter \"match[]\": 1:4: parse error: unexpected \"(\""#,
        )
        .await;
        check(
            "?match[]=up&start=x",
            r#"invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"#,
        )
        .await;
        check(
            "?match[]=up&limit=-1",
            r#"invalid parameter \"limit\": limit must be non-negative"#,
        )
        .await;
    }

    #[tokio::test]
    async fn names_and_values() {
        let api = Api::new();
        let check = async |path: &str, data: &str| {
            api.check(
                path,
                200,
                &format!(r#"{{"status":"success","data":{data}}}"#),
            )
            .await
        };
        check("/api/v1/labels", r#"["__name__","code","instance","job"]"#).await;
        check(
            "/api/v1/labels?match[]=up",
            r#"["__name__","instance","job"]"#,
        )
        .await;
        check(
            "/api/v1/labels?match[]=up&match[]=requests_total",
            r#"["__name__","code","instance","job"]"#,
        )
        .await;
        check("/api/v1/labels?match[]=nope", "[]").await;
        check(
            "/api/v1/labels?limit=1",
            r#"["__name__"],"warnings":["results truncated due to limit"]"#,
        )
        .await;
        check("/api/v1/label/job/values", r#"["x","y"]"#).await;
        check("/api/v1/label/U__job/values", r#"["x","y"]"#).await;
        check(
            "/api/v1/label/job/values?match[]=requests_total",
            r#"["x"]"#,
        )
        .await;
        check("/api/v1/label/nope/values", "[]").await;
        check("/api/v1/label/job/values?start=1&end=2", "[]").await;
        let bad = error(
            "bad_data",
            "match[] must contain at least one non-empty matcher",
        );
        api.check("/api/v1/labels?match[]={}", 400, &bad).await;
        api.check("/api/v1/label/job/values?match[]={}", 400, &bad)
            .await;
        let bad = error("bad_data", r#"1:1: parse error: unexpected \"(\""#);
        api.check("/api/v1/labels?match[]=(", 400, &bad).await;
    }
}
