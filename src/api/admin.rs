//! Health, and the lifecycle endpoints: reload and quit.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::{mpsc, oneshot};

use super::error::{PLAIN, plain_error};
use super::{Ready, Shared};
use crate::server::ReloadRequest;

fn text(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, PLAIN)], text).into_response()
}

/// `/-/healthy`: the process answers.
pub(super) async fn healthy() -> Response {
    text("Prometheus Server is Healthy.\n")
}

/// `/-/ready`: the rest of the API answers too.
pub(super) async fn ready(Ready(_): Ready) -> Response {
    text("Prometheus Server is Ready.\n")
}

/// Returns why a lifecycle request is refused, if it is.
fn refusal(shared: &Shared, method: &Method) -> Option<Response> {
    if method != Method::POST && method != Method::PUT {
        let mut response = text("Only POST or PUT requests allowed");
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("POST, PUT"));
        return Some(response);
    }
    if shared.early.lifecycle.is_enabled {
        return None;
    }
    let mut response = text("Lifecycle API is not enabled.");
    *response.status_mut() = StatusCode::FORBIDDEN;
    Some(response)
}

/// `/-/reload`: reads the configuration again and answers when it is in force, or with the reason why it is not.
pub(super) async fn reload(State(shared): State<Arc<Shared>>, method: Method) -> Response {
    if let Some(refused) = refusal(&shared, &method) {
        return refused;
    }
    ask_for_reload(&shared.early.lifecycle.reload, "server").await
}

/// Has the configuration read again, and answers how that went; `who` is what answers while it stops.
pub(crate) async fn ask_for_reload(reloads: &mpsc::Sender<ReloadRequest>, who: &str) -> Response {
    let (answer, outcome) = oneshot::channel();
    let outcome = match reloads.send(answer).await {
        Ok(()) => outcome.await.ok(),
        Err(_) => None,
    };
    match outcome.unwrap_or_else(|| Err(format!("the {who} is stopping"))) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(reason) => plain_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("failed to reload config: {reason}"),
        ),
    }
}

/// `/-/quit`: stops the server.
pub(super) async fn quit(State(shared): State<Arc<Shared>>, method: Method) -> Response {
    if let Some(refused) = refusal(&shared, &method) {
        return refused;
    }
    shared.early.lifecycle.quit.cancel();
    text("Requesting termination... Goodbye!")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, Options};

    #[tokio::test]
    async fn health() {
        let api = Api::new();
        api.check("/-/healthy", 200, "Prometheus Server is Healthy.\n")
            .await;
        api.check("/-/ready", 200, "Prometheus Server is Ready.\n")
            .await;
        for path in ["/-/healthy", "/-/ready"] {
            let response = api.send(Method::HEAD, path, "").await;
            assert_eq!(response.status(), 200);
            let response = api.send(Method::POST, path, "").await;
            assert_eq!(response.status(), 405);
        }
    }

    #[tokio::test]
    async fn lifecycle_is_off_by_default() {
        let api = Api::new();
        for path in ["/-/reload", "/-/quit"] {
            api.check_send(Method::POST, path, "", 403, "Lifecycle API is not enabled.")
                .await;
            api.check_send(Method::PUT, path, "", 403, "Lifecycle API is not enabled.")
                .await;
            api.check(path, 405, "Only POST or PUT requests allowed")
                .await;
        }
        assert!(!api.shared.early.lifecycle.quit.is_cancelled());
    }

    #[tokio::test]
    async fn reload_waits_for_the_outcome() {
        let mut api = Api::with(Options {
            lifecycle: true,
            ..Options::default()
        });
        let mut requests = api.reloads.take().unwrap();
        let reloader = tokio::spawn(async move {
            requests.recv().await.unwrap().send(Ok(())).unwrap();
            requests
                .recv()
                .await
                .unwrap()
                .send(Err("line 1: bad".to_owned()))
                .unwrap();
            drop(requests.recv().await.unwrap());
        });
        api.check_send(Method::POST, "/-/reload", "", 200, "").await;
        api.check_send(
            Method::PUT,
            "/-/reload",
            "",
            500,
            "failed to reload config: line 1: bad\n",
        )
        .await;
        api.check_send(
            Method::POST,
            "/-/reload",
            "",
            500,
            "failed to reload config: the server is stopping\n",
        )
        .await;
        reloader.await.unwrap();
        api.check_send(
            Method::POST,
            "/-/reload",
            "",
            500,
            "failed to reload config: the server is stopping\n",
        )
        .await;
    }

    #[tokio::test]
    async fn quit_asks_for_the_end() {
        let api = Api::with(Options {
            lifecycle: true,
            ..Options::default()
        });
        api.check_send(
            Method::POST,
            "/-/quit",
            "",
            200,
            "Requesting termination... Goodbye!",
        )
        .await;
        assert!(api.shared.early.lifecycle.quit.is_cancelled());
    }
}
