//! URLs put together as Go's `net/url` does, so that targets see the paths and parameters that they are used to.

use std::collections::BTreeMap;
use std::fmt;

use http::Uri;

/// Where a target is scraped: what its labels add up to, be it a URL or not.
#[derive(Clone, Debug)]
pub(crate) struct TargetUrl {
    text: String,
    uri: Result<Uri, String>,
}

impl TargetUrl {
    pub(super) fn new(text: String) -> Self {
        let uri = match text.parse::<Uri>() {
            Ok(uri) => match uri.scheme_str() {
                Some("http" | "https") => Ok(uri),
                other => Err(format!(
                    "unsupported protocol scheme {:?}",
                    other.unwrap_or_default()
                )),
            },
            Err(error) => Err(error.to_string()),
        };
        TargetUrl { text, uri }
    }

    /// Returns the URL, taken apart.
    ///
    /// # Errors
    ///
    /// Why it cannot be scraped.
    pub(crate) fn uri(&self) -> Result<&Uri, String> {
        self.uri.as_ref().map_err(|reason| {
            format!(
                "{:?} cannot be scraped: {reason}; it must be http:// or https:// and a host",
                self.text
            )
        })
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns `scheme://address/path?params`, parameters sorted by name.
pub(super) fn build(
    scheme: &str,
    address: &str,
    path: &str,
    params: &BTreeMap<&str, Vec<&str>>,
) -> String {
    let mut url = match scheme {
        "" => "//".to_owned(),
        scheme => format!("{scheme}://"),
    };
    escape(&mut url, address, b"!$&'()*+,;=:[]<>\"", false);
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    escape(&mut url, path, b"$&+,/:;=@", false);
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            url.push(separator);
            separator = '&';
            escape(&mut url, name, b"", true);
            url.push('=');
            escape(&mut url, value, b"", true);
        }
    }
    url
}

/// Appends `text`, percent-encoding all but letters, digits, `-_.~` and `kept`.
fn escape(out: &mut String, text: &str, kept: &[u8], space_is_plus: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' && space_is_plus {
            out.push('+');
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
