//! AWS' signature version 4.
//!
//! Source: AWS, "Create a signed AWS API request".

use ring::hmac;

use super::Credentials;
use crate::digest::{hex, sha256_hex};

/// What a signature is for.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// Who asks.
    pub credentials: &'a Credentials,
    /// The region, `eu-west-1`.
    pub region: &'a str,
    /// The service, as in the names of its hosts: `sns`.
    pub service: &'a str,
}

/// What of a request is signed, besides its headers and its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) method: &'a str,
    /// As it is sent, with its escapes.
    pub(super) path: &'a str,
    /// As it is sent, everything escaped that can be.
    pub(super) query: &'a str,
}

/// Returns the header `Authorization` of a POST without a query.
///
/// * `path`: as it is sent, with its escapes.
/// * `headers`: those to be signed, in lower case, sorted by name, `x-amz-date` among them.
/// * `body`: what is posted.
pub fn authorization(
    signing: Signing<'_>,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let line = Line {
        method: "POST",
        path,
        query: "",
    };
    authorization_of(signing, line, headers, body)
}

/// Returns the header `Authorization` of any request; see [`authorization`].
pub(super) fn authorization_of(
    signing: Signing<'_>,
    line: Line<'_>,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let date = headers
        .iter()
        .find(|(name, _)| *name == "x-amz-date")
        .map_or("", |(_, value)| value);
    let day = date.split('T').next().unwrap_or_default();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let Line {
        method,
        path,
        query,
    } = line;
    let (path, query) = (canonical(path), sorted(query));
    let digest = sha256_hex(body);
    let request = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}");
    let Signing {
        credentials,
        region,
        service,
    } = signing;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let request = sha256_hex(request.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{request}");
    let mut key = format!("AWS4{}", credentials.secret_key.reveal()).into_bytes();
    for part in [day, region, service, "aws4_request", &to_sign] {
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&hmac_key, part.as_bytes()).as_ref().to_vec();
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credentials.access_key,
        hex(&key)
    )
}

/// Returns a path as signatures have it: what is escaped already is escaped once more.
fn canonical(path: &str) -> String {
    match path {
        "" => "/".to_owned(),
        path => {
            let segments = path.split('/').map(crate::escape::component);
            segments.collect::<Vec<_>>().join("/")
        }
    }
}

/// Returns a query sorted by name, then by value.
fn sorted(query: &str) -> String {
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_by_key(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::of_keys(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            None,
        )
    }

    fn signing(credentials: &Credentials) -> Signing<'_> {
        Signing {
            credentials,
            region: "us-east-1",
            service: "service",
        }
    }

    /// `post-x-www-form-urlencoded` of the test suite that AWS has published for signers.
    #[test]
    fn a_form_of_the_published_test_suite() {
        let credentials = credentials();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let signing = signing(&credentials);
        assert_eq!(
            authorization(signing, "/", &headers, b"Param1=value1"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    /// `get-vanilla-query-order-key-case` of the same suite.
    #[test]
    fn a_query_of_the_published_test_suite() {
        let credentials = credentials();
        let headers = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let line = Line {
            method: "GET",
            path: "/",
            query: "Param2=value2&Param1=value1",
        };
        assert_eq!(
            authorization_of(signing(&credentials), line, &headers, b""),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    #[test]
    fn paths_are_escaped_once_more() {
        assert_eq!(canonical(""), "/");
        assert_eq!(canonical("/a%20b/c"), "/a%2520b/c");
    }

    #[test]
    fn queries_are_sorted_by_name() {
        assert_eq!(sorted("a-b=1&a=2&a=1&c"), "a=1&a=2&a-b=1&c");
    }
}
