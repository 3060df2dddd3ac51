//! HTTP on both sides: clients with TLS and credentials, listeners.
//!
//! ```text
//! http_config (YAML) ──► HttpConfig ──► client::Client ──► one GET into a caller's buffer, with deadline and byte limit
//!                                        └► outbound::HttpClient ──► any other request
//! listen::bind ──► listen::LimitedListener ──► connections, at most so many at once
//! ```
//!
//! # Not here
//!
//! OAuth2, proxies, HTTP/2 and the listeners' `web.config`: their fields are read and reported by
//! [`http_config::HttpConfig::unsupported`], and a client that would need them refuses to send rather than going
//! without.

pub mod client;
pub mod http_config;
pub mod listen;
pub mod outbound;
mod request_line;
pub mod web_config;
