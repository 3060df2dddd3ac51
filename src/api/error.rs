//! Errors of the API: one table from what went wrong to status code, `errorType` and body.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::json;

/// Why a request got no data. The text goes to the client as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// A parameter is wrong or missing.
    BadData(String),
    /// The body is larger than [`super::params::BODY_BYTES_MAX`].
    TooLarge(String),
    /// The query is well-formed and cannot be evaluated.
    Execution(String),
    /// The query was stopped.
    Canceled(String),
    /// The query ran out of time.
    Timeout(String),
    /// We failed.
    Internal(String),
    /// Others use what it needs.
    Busy(String),
    /// What is asked for is turned off.
    Unavailable(String),
}

impl ApiError {
    /// Returns the error of the parameter `name`, of which `what` is wrong.
    pub(super) fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        ApiError::BadData(format!("invalid parameter \"{name}\": {what}"))
    }

    /// The table. Source: Prometheus' HTTP API documentation and what a server answers.
    fn row(&self) -> (u16, &'static str, &str) {
        match self {
            ApiError::BadData(text) => (400, "bad_data", text),
            ApiError::TooLarge(text) => (413, "bad_data", text),
            ApiError::Execution(text) => (422, "execution", text),
            ApiError::Canceled(text) => (499, "canceled", text),
            ApiError::Timeout(text) => (503, "timeout", text),
            ApiError::Internal(text) => (500, "internal", text),
            ApiError::Busy(text) => (503, "unavailable", text),
            ApiError::Unavailable(text) => (500, "unavailable", text),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind, text) = self.row();
        let mut body = Vec::with_capacity(64 + text.len());
        body.extend_from_slice(br#"{"status":"error","errorType":""#);
        body.extend_from_slice(kind.as_bytes());
        body.extend_from_slice(br#"","error":"#);
        json::append_go_string(&mut body, text);
        body.push(b'}');
        let status = StatusCode::from_u16(status).expect("the table holds three-digit codes");
        (status, [(header::CONTENT_TYPE, json::CONTENT_TYPE)], body).into_response()
    }
}

/// Returns an answer in plain text, as Go's `http.Error` makes it: `text` and a line feed.
pub(crate) fn plain_error(status: StatusCode, text: &str) -> Response {
    let body = Bytes::from(format!("{text}\n"));
    let mut response = (status, [(header::CONTENT_TYPE, PLAIN)], body).into_response();
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The content type of plain text.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::body_of;

    #[track_caller]
    fn check(error: ApiError, status: u16, body: &str) {
        let response = error.into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(body_of(response), body);
    }

    #[test]
    fn table() {
        let row = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"x"}}"#);
        check(ApiError::BadData("x".into()), 400, &row("bad_data"));
        check(ApiError::TooLarge("x".into()), 413, &row("bad_data"));
        check(ApiError::Execution("x".into()), 422, &row("execution"));
        check(ApiError::Canceled("x".into()), 499, &row("canceled"));
        check(ApiError::Timeout("x".into()), 503, &row("timeout"));
        check(ApiError::Internal("x".into()), 500, &row("internal"));
        check(ApiError::Unavailable("x".into()), 500, &row("unavailable"));
    }

    #[test]
    fn texts_are_escaped() {
        check(
            ApiError::parameter("time", "cannot parse \"<\n\""),
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": cannot parse \"\u003c\n\""}"#,
        );
    }
}
