//! Text as a part of a URL.
//!
//! Source: [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986), section 2.3; Go's `url.QueryEscape`.

/// Returns `text` with everything escaped but letters, digits, `-`, `.`, `_` and `~`: right anywhere in a URL.
pub fn component(text: &str) -> String {
    escaped(text, "%20")
}

/// Returns `text` as a value of a form or of a query, as Go's `url.QueryEscape`: spaces become `+`.
pub fn form(text: &str) -> String {
    escaped(text, "+")
}

fn escaped(text: &str, space: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push_str(space),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_a_few_characters() {
        assert_eq!(component("aZ9-._~ +/é"), "aZ9-._~%20%2B%2F%C3%A9");
        assert_eq!(form("a b+c"), "a+b%2Bc");
    }
}
