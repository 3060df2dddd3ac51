//! Cross-origin headers of the API: which web pages may read our answers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use super::Shared;

/// Middleware that adds the headers to every answer below `/api/v1/`, and answers `OPTIONS` there by itself.
pub(super) async fn allow_origins(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let is_api = request
        .uri()
        .path()
        .strip_prefix(&shared.early.route_prefix)
        .is_some_and(|path| path.starts_with("/api/v1/"));
    if !is_api {
        return next.run(request).await;
    }
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .filter(|origin| !origin.is_empty())
        .cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else {
        return response;
    };
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let allowed = shared.early.cors_origin.as_ref();
    if allowed.is_some_and(|allowed| origin.to_str().is_ok_and(|origin| allowed.is_match(origin))) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, Options};
    use axum::body::Body;

    async fn answer(api: &Api, method: Method, path: &str, origin: &str) -> Response {
        let request = api.request(method, path, "").header(header::ORIGIN, origin);
        api.respond(request.body(Body::empty()).unwrap()).await
    }

    /// Compression has a line of its own.
    fn varies_by_origin(response: &Response) -> bool {
        response
            .headers()
            .get_all(header::VARY)
            .iter()
            .any(|value| value == "Origin")
    }

    #[tokio::test]
    async fn matching_origins_are_allowed() {
        let api = Api::with(Options {
            cors: "https?://(a|b)[.]z",
            ..Options::default()
        });
        let response = answer(&api, Method::GET, "/api/v1/labels", "http://a.z").await;
        assert_eq!(
            response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
            "http://a.z"
        );
        assert_eq!(
            response.headers()[header::ACCESS_CONTROL_ALLOW_METHODS],
            "GET, POST, OPTIONS"
        );
        assert!(varies_by_origin(&response));
        let response = answer(&api, Method::GET, "/api/v1/labels", "http://a.zz").await;
        assert_eq!(response.status(), 200);
        assert!(
            !response
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        );
        assert_eq!(
            response.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS],
            "Date"
        );
    }

    #[tokio::test]
    async fn without_origin_there_is_only_vary() {
        let api = Api::new();
        let response = api.send(Method::GET, "/api/v1/labels", "").await;
        assert!(varies_by_origin(&response));
        assert!(
            !response
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_METHODS)
        );
        let response = api.send(Method::GET, "/-/healthy", "").await;
        assert!(!varies_by_origin(&response));
    }

    #[tokio::test]
    async fn options_are_answered_for_any_path() {
        let api = Api::new();
        for path in ["/api/v1/query", "/api/v1/nope"] {
            let response = answer(&api, Method::OPTIONS, path, "http://x").await;
            assert_eq!(response.status(), 204);
            assert_eq!(
                response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
                "http://x"
            );
        }
    }
}
