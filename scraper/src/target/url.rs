//! URLs put together as Go's `net/url` does, so that targets see the paths and parameters that they are used to.

use std::collections::BTreeMap;

/// Returns `scheme://address/path?params`, parameters sorted by name.
pub(super) fn build(
    scheme: &str,
    address: &str,
    path: &str,
    params: &BTreeMap<&str, Vec<&str>>,
) -> String {
    let mut url = format!("{scheme}://{address}");
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
