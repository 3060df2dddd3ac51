//! HTTP on both sides: clients with TLS and credentials, listeners.
//!
//! ```text
//! http_config (YAML) ──► HttpConfig ──► client::Client ──► one GET into a caller's buffer, with deadline and byte limit
//!                                        └► outbound::HttpClient ──► any other request
//!                                        └► aws, azure, google, oracle: who we are in these clouds
//! listen::bind ──► listen::LimitedListener ──► connections, at most so many at once
//! web_config (YAML) ──► web_config::WebRules ──► TLS, users and headers of a listener
//! MutualTlsConfig (YAML) ──► mutual_tls::MutualTls ──► TLS between equals
//! ```

pub mod aws;
pub mod azure;
pub mod bearer;
pub mod client;
pub mod digest;
pub mod environment;
pub mod escape;
pub mod form;
pub mod google;
pub mod http_config;
pub mod json;
pub mod lease;
pub mod listen;
pub mod mutual_tls;
pub mod oracle;
pub mod outbound;
pub mod program;
mod request_line;
pub mod rsa;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod web_config;
