//! `/api/v2`: the API of the Alertmanager that is built in, as the crate `alertmanager` answers it.

use axum::extract::Request;
use axum::response::Response;
use axum::routing::MethodFilter;
use tower::ServiceExt as _;

use super::{Ready, web};

/// What is passed on: everything, for the Alertmanager says itself what is not allowed.
pub(super) const METHODS: MethodFilter = MethodFilter::GET
    .or(MethodFilter::HEAD)
    .or(MethodFilter::POST)
    .or(MethodFilter::PUT)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE)
    .or(MethodFilter::OPTIONS);

/// Passes a call on. Without an Alertmanager there are no such paths.
pub(super) async fn call(Ready(state): Ready, request: Request) -> Response {
    match &state.alertmanager_api {
        Some(router) => match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => web::not_found().await,
    }
}
