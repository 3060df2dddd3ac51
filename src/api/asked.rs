//! Who asks, for the log of queries.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request;

use super::Shared;
use crate::query_log::Origin;

/// The address that a connection came from; an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Extracts who asks, if queries are logged.
pub(super) struct Asked(pub(super) Option<Origin>);

impl FromRequestParts<Arc<Shared>> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Infallible> {
        let is_logged = shared.state().is_some_and(|api| api.query_log.is_on());
        let peer = parts.extensions.get::<Peer>();
        Ok(Asked(is_logged.then(|| Origin::HttpRequest {
            client_ip: peer.map_or_else(String::new, |peer| peer.0.to_string()),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
        })))
    }
}
