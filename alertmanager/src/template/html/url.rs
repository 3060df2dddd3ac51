//! URLs as values: which are safe to follow, and their escapes.

/// Stands where a value was refused.
pub(super) const REFUSED: &str = "ZgotmplZ";

/// Returns whether the URL has no scheme, or one that runs no script.
pub(super) fn is_safe(url: &str) -> bool {
    match url.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => ["http", "https", "mailto"]
            .iter()
            .any(|safe| scheme.eq_ignore_ascii_case(safe)),
        _ => true,
    }
}

/// Returns the URL, or a fragment that leads nowhere when it is not safe.
pub(super) fn filter(url: &str) -> String {
    match is_safe(url) {
        true => url.to_owned(),
        false => format!("#{REFUSED}"),
    }
}

/// Returns the URL with what may not stand in one escaped; what is escaped already stays.
pub(super) fn normalize(url: &str) -> String {
    escape(url, |rest| match rest {
        [b'%', a, b, ..] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        [first, ..] => b"!#$&*+,/:;=?@[]".contains(first),
        [] => false,
    })
}

/// Returns the text for a part of a URL that must stay one part.
pub(super) fn escape_part(text: &str) -> String {
    escape(text, |_| false)
}

fn escape(text: &str, may_stay: impl Fn(&[u8]) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_unreserved || may_stay(&bytes[at..]) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

/// Returns the candidates of a `srcset` of which the URL is safe.
pub(super) fn filter_srcset(text: &str) -> String {
    let candidates: Vec<_> = text.split(',').map(srcset_candidate).collect();
    candidates.join(",")
}

fn srcset_candidate(candidate: &str) -> String {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r');
    let rest = candidate.trim_start_matches(is_space);
    let lead = &candidate[..candidate.len() - rest.len()];
    let (url, descriptor) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
    let is_plain = descriptor
        .chars()
        .all(|c| is_space(c) || c.is_ascii_alphanumeric());
    match is_safe(url) && is_plain {
        true => format!("{lead}{}{descriptor}", normalize(url)),
        false => format!("#{REFUSED}"),
    }
}
