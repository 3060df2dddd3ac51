//! The web page, its assets, and redirects.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use dashboards::Asset;
use http::{HeaderMap, StatusCode, Uri, header};

use super::Shared;
use super::error::plain_error;

/// Returns the answer for every path that there is not.
pub(crate) async fn not_found() -> Response {
    plain_error(StatusCode::NOT_FOUND, "404 page not found")
}

/// Returns the answer for every method that a path does not have.
pub(super) async fn method_not_allowed() -> Response {
    plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// The page, under each of its paths.
pub(super) async fn page(headers: HeaderMap) -> Response {
    serve(dashboards::asset(""), &headers).await
}

/// What the page loads: `/assets/NAME`.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(
        Some(name)
            .filter(|name| !name.is_empty())
            .and_then(|name| dashboards::asset(&name)),
        &headers,
    )
    .await
}

async fn serve(asset: Option<&'static Asset>, headers: &HeaderMap) -> Response {
    let Some(asset) = asset else {
        return not_found().await;
    };
    let caching = [
        (header::ETAG, asset.etag()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    // A proxy that compresses makes tags weak; the content is the same.
    let mut tags = known
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"));
    if tags.any(|tag| tag == asset.etag() || tag == "*") {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (
        caching,
        [(header::CONTENT_TYPE, asset.content_type)],
        asset.bytes,
    )
        .into_response()
}

/// `/graph`, where old links lead: the query page, with the same parameters.
pub(super) async fn graph(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    redirect(
        StatusCode::FOUND,
        format!("{}/query{query}", shared.early.external_path),
    )
}

/// `/` when there is a route prefix: the page.
pub(super) async fn to_prefix(State(shared): State<Arc<Shared>>) -> Response {
    redirect(
        StatusCode::FOUND,
        format!("{}/", shared.early.external_path),
    )
}

/// The route prefix without a slash at its end: relative addresses in the page need that slash.
pub(super) async fn to_slash(State(shared): State<Arc<Shared>>) -> Response {
    redirect(
        StatusCode::MOVED_PERMANENTLY,
        format!("{}/", shared.early.external_path),
    )
}

/// Returns a redirect. `location` was part of a request line or of our own flags, so it is a valid header.
fn redirect(status: StatusCode, location: String) -> Response {
    (status, [(header::LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, Options, body_of};
    use axum::body::Body;
    use http::Method;

    const MISSING: &str = "404 page not found\n";

    #[tokio::test]
    async fn pages_and_assets() {
        let api = Api::new();
        let page = std::str::from_utf8(dashboards::asset("").unwrap().bytes).unwrap();
        for name in dashboards::PAGES.iter().filter(|&&name| name != "graph") {
            api.check(&format!("/{name}"), 200, page).await;
        }
        for asset in dashboards::assets() {
            let response = api
                .send(Method::GET, &format!("/assets/{}", asset.path), "")
                .await;
            assert_eq!(response.status(), 200, "{}", asset.path);
            assert_eq!(response.headers()[header::CONTENT_TYPE], asset.content_type);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        }
        for path in [
            "/nope",
            "/assets/nope.js",
            "/assets/",
            "/api",
            "/api/v1",
            "/api/v1/nope",
            "/api/v2/status",
            "/assets/a/b",
        ] {
            api.check(path, 404, MISSING).await;
        }
    }

    #[tokio::test]
    async fn known_assets_are_not_sent_again() {
        let api = Api::new();
        let tag = dashboards::asset("app.js").unwrap().etag();
        for (known, status) in [
            (tag.to_owned(), 304),
            (format!("\"x\", W/{tag}"), 304),
            ("*".into(), 304),
            ("\"x\"".into(), 200),
        ] {
            let request = api
                .request(Method::GET, "/assets/app.js", "")
                .header(header::IF_NONE_MATCH, &known);
            let response = api.respond(request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(response.headers()[header::ETAG], tag);
            assert_eq!(body_of(response).is_empty(), status == 304);
        }
    }

    async fn location(api: &Api, path: &str) -> (u16, String) {
        let response = api.send(Method::GET, path, "").await;
        (
            response.status().as_u16(),
            response.headers()[header::LOCATION]
                .to_str()
                .unwrap()
                .to_owned(),
        )
    }

    #[tokio::test]
    async fn old_links_lead_to_the_query_page() {
        let api = Api::new();
        assert_eq!(
            location(&api, "/graph?g0.expr=up%20%3E%200").await,
            (302, "/query?g0.expr=up%20%3E%200".into())
        );
        assert_eq!(location(&api, "/graph").await, (302, "/query".into()));
    }

    #[tokio::test]
    async fn everything_is_below_the_prefix() {
        let api = Api::with(Options {
            prefix: "/prom",
            ..Options::default()
        });
        assert_eq!(location(&api, "/").await, (302, "/prom/".into()));
        assert_eq!(location(&api, "/prom").await, (301, "/prom/".into()));
        assert_eq!(
            location(&api, "/prom/graph?a").await,
            (302, "/prom/query?a".into())
        );
        let page = std::str::from_utf8(dashboards::asset("").unwrap().bytes).unwrap();
        api.check("/prom/", 200, page).await;
        api.check("/prom/-/healthy", 200, "Prometheus Server is Healthy.\n")
            .await;
        api.check(
            "/prom/api/v1/label/job/values",
            200,
            r#"{"status":"success","data":["x","y"]}"#,
        )
        .await;
        for path in ["/-/healthy", "/metrics", "/api/v1/labels", "/prometheus"] {
            api.check(path, 404, MISSING).await;
        }
    }

    #[tokio::test]
    async fn wrong_methods_name_the_right_ones() {
        let api = Api::new();
        for (method, path, allowed) in [
            (Method::PUT, "/api/v1/query", "GET,HEAD,POST"),
            (Method::DELETE, "/api/v1/label/job/values", "GET,HEAD"),
            (Method::POST, "/metrics", "GET,HEAD"),
        ] {
            let response = api.send(method, path, "").await;
            assert_eq!(response.status(), 405, "{path}");
            assert_eq!(response.headers()[header::ALLOW], allowed);
            assert_eq!(body_of(response), "Method Not Allowed\n");
        }
    }
}
