//! What notifications need of HTTP besides the client.

use net::client::ProxyRules;
use net::http_config::HttpConfig;
pub(crate) use net::outbound::{ClientError, HttpClient, chain, secret};

/// Checks that the fields of an `http_config` go together.
///
/// # Errors
///
/// The first contradiction, in Prometheus' words.
pub(crate) fn check(config: &HttpConfig) -> Result<(), String> {
    config.validate().map_err(|error| error.to_string())?;
    ProxyRules::of(config).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::HttpSink;
    use std::path::Path;

    fn config(text: &str) -> HttpConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn credentials_are_read_for_each_request() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "authorization: {credentials_file: token}\nhttp_headers: {X-Team: {values: [ops]}}\n";
        let client = HttpClient::new(config(text), dir.path(), None).unwrap();
        let mut sink = HttpSink::start(200).await;
        let url = format!("http://{}/", sink.address);
        let error = chain(&client.post(&url).await.unwrap_err());
        assert!(error.contains("unable to read file"), "{error}");
        for token in ["first", "second"] {
            std::fs::write(dir.path().join("token"), format!("{token}\n")).unwrap();
            client.post(&url).await.unwrap().send().await.unwrap();
            let head = sink.next().await.head.to_lowercase();
            assert!(
                head.contains(&format!("authorization: bearer {token}\r\n")),
                "{head}"
            );
            assert!(head.contains("x-team: ops\r\n"), "{head}");
        }
    }

    #[tokio::test]
    async fn secret_headers_stay_with_their_host() {
        let elsewhere = HttpSink::start(200).await;
        let moved = format!("307 X\r\nLocation: http://{}/", elsewhere.address);
        let sink = HttpSink::start(moved).await;
        let url = format!("http://{}/", sink.address);
        for (text, status) in [
            ("{}", 200),
            ("{http_headers: {X-Token: {secrets: [s]}}}", 307),
            ("{follow_redirects: false}", 307),
        ] {
            let client = HttpClient::new(config(text), Path::new(""), None).unwrap();
            let answer = client.post(&url).await.unwrap().send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{text}");
        }
    }

    #[tokio::test]
    async fn a_proxy_and_a_token() {
        let mut proxy = HttpSink::start(200).await;
        let text = format!("proxy_url: http://u:p@{}\n", proxy.address);
        let client = HttpClient::new(config(&text), Path::new(""), None).unwrap();
        let request = client.post("http://nowhere.invalid/x").await.unwrap();
        request.send().await.unwrap();
        let head = proxy.next().await.head.to_lowercase();
        assert!(head.starts_with("post http://nowhere.invalid/x "), "{head}");
        assert!(
            head.contains("proxy-authorization: basic dtpw\r\n"),
            "{head}"
        );

        // The sink's answer is no token, and without one nothing is sent.
        let text = format!(
            "oauth2: {{client_id: me, token_url: 'http://{}/'}}\n",
            proxy.address
        );
        let client = HttpClient::new(config(&text), Path::new(""), None).unwrap();
        let error = client.post("http://127.0.0.1:1/").await.unwrap_err();
        assert!(error.to_string().contains("cannot fetch token"), "{error}");
    }

    #[tokio::test]
    async fn without_a_token_nothing_is_sent() {
        let text = "oauth2: {client_id: me, token_url: 'http://x/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'}";
        assert_eq!(check(&config(text)), Ok(()));
        let client = HttpClient::new(config(text), Path::new(""), None).unwrap();
        let error = client.post("http://x/").await.unwrap_err().to_string();
        let why = "oauth2: cannot sign for a token: the private key is no PEM block";
        assert!(error.starts_with(why), "{error}");
    }

    #[test]
    fn missing_certificates_are_noticed_at_once() {
        let config = config("tls_config: {ca_file: nowhere.pem}\n");
        let error = HttpClient::new(config, Path::new("dir"), None).err();
        let error = chain(&error.unwrap());
        assert!(
            error.starts_with("unable to read CA cert dir/nowhere.pem: "),
            "{error}"
        );
    }
}
