//! Where a `Location` header leads.

use http::Uri;

/// Returns the URL that `location`, absolute or relative, means on a page at `base`; `None` if it is not one.
///
/// Source: RFC 3986, section 5.2, without the removal of dot segments.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let url: Uri = absolute.parse().ok()?;
    matches!(url.scheme_str(), Some("http" | "https")).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, expected: &str) {
        let base = "http://h:1/a/b?x=y".parse().unwrap();
        let resolved = resolve(&base, location).map(|url| url.to_string());
        assert_eq!(resolved.unwrap_or_default(), expected);
    }

    #[test]
    fn locations() {
        check("https://other/x", "https://other/x");
        check("//other/x", "http://other/x");
        check("/m?q=1#f", "http://h:1/m?q=1");
        check("m", "http://h:1/a/m");
        check("?z", "http://h:1/a/b?z");
        check("ftp://other/", "");
    }
}
