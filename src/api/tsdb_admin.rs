//! What an operator may do to the database, unless `--web.enable-admin-api` is off: delete series, rewrite what was
//! deleted in, take snapshots.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use super::error::ApiError;
use super::json;
use super::params::{Params, TIME_MAX_MS, TIME_MIN_MS, parse_bool};
use super::series::match_sets;
use super::{ApiState, Handled, Ready, blocking};

fn require_enabled(api: &ApiState) -> Result<(), ApiError> {
    match api.is_admin_enabled {
        true => Ok(()),
        false => Err(ApiError::Unavailable("admin APIs disabled".to_owned())),
    }
}

fn failed(error: tsdb::AdminError) -> ApiError {
    ApiError::Internal(error.to_string())
}

/// Runs `work` where it may block, if these endpoints are on; answers 204 when it is done.
async fn change(
    api: Arc<ApiState>,
    work: impl FnOnce(&tsdb::Db) -> Result<(), tsdb::AdminError> + Send + 'static,
) -> Handled {
    blocking(move || {
        work(&api.db).map_err(failed)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `/api/v1/admin/tsdb/delete_series`: deletes what matches any of the selectors in a time range.
pub(super) async fn delete_series(Ready(api): Ready, params: Params) -> Handled {
    require_enabled(&api)?;
    let sets = match_sets(&params).map_err(|what| ApiError::parameter("match[]", what))?;
    if sets.is_empty() {
        return Err(ApiError::BadData(
            "no match[] parameter provided".to_owned(),
        ));
    }
    let mint = params.time_or("start", TIME_MIN_MS)?;
    let maxt = params.time_or("end", TIME_MAX_MS)?;
    change(api, move |db| {
        sets.iter()
            .try_for_each(|matchers| db.delete(mint, maxt, matchers))
    })
    .await
}

/// `/api/v1/admin/tsdb/clean_tombstones`: gives back the disk space of what was deleted in blocks.
pub(super) async fn clean_tombstones(Ready(api): Ready) -> Handled {
    require_enabled(&api)?;
    change(api, |db| db.clean_tombstones()).await
}

#[derive(Serialize)]
struct SnapshotJson {
    name: String,
}

/// `/api/v1/admin/tsdb/snapshot`: copies the database to a directory below `snapshots/` and says which.
pub(super) async fn snapshot(Ready(api): Ready, params: Params) -> Handled {
    require_enabled(&api)?;
    let skip_head = match params.first("skip_head") {
        "" => false,
        text => parse_bool(text).map_err(|what| {
            ApiError::parameter("skip_head", format!("unable to parse boolean: {what}"))
        })?,
    };
    blocking(move || {
        let name = api.db.snapshot(skip_head).map_err(failed)?.0;
        Ok::<Response, ApiError>(json::success_of(&SnapshotJson { name }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::api::testing::{Api, Options, error};

    const PATH: &str = "/api/v1/admin/tsdb";

    fn enabled() -> Api {
        Api::with(Options {
            admin: true,
            ..Options::default()
        })
    }

    #[tokio::test]
    async fn off_unless_asked_for() {
        let api = Api::new();
        for name in ["delete_series", "clean_tombstones", "snapshot"] {
            let path = format!("{PATH}/{name}");
            let refused = error("unavailable", "admin APIs disabled");
            api.check_send(Method::POST, &path, "", 500, &refused).await;
            assert_eq!(api.send(Method::GET, &path, "").await.status(), 405);
        }
    }

    #[tokio::test]
    async fn deleted_series_are_gone() {
        let api = enabled();
        let delete = format!("{PATH}/delete_series");
        let missing = error("bad_data", "no match[] parameter provided");
        api.check_send(Method::POST, &delete, "", 400, &missing)
            .await;
        let query = "/api/v1/query?query=count(up)&time=1000060";
        let (_, before) = api.get(query).await;
        assert!(before.contains(r#""2""#), "{before}");
        let one = format!("{delete}?match[]=up%7Binstance%3D%22a%22%7D&start=1000000&end=1000060");
        api.check_send(Method::PUT, &one, "", 204, "").await;
        let (_, after) = api.get(query).await;
        assert!(after.contains(r#""1""#), "{after}");
        let clean = format!("{PATH}/clean_tombstones");
        api.check_send(Method::POST, &clean, "", 204, "").await;
    }

    #[tokio::test]
    async fn snapshots_are_named() {
        let api = enabled();
        let path = format!("{PATH}/snapshot");
        let response = api.send(Method::POST, &path, "").await;
        let body = crate::api::testing::body_of(response);
        assert!(
            body.starts_with(r#"{"status":"success","data":{"name":"20"#),
            "{body}"
        );
        let bad = format!("{path}?skip_head=maybe");
        let response = api.send(Method::POST, &bad, "").await;
        assert_eq!(response.status(), 400);
    }
}
