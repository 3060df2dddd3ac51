//! The files of the web page: one table, in which every file of `ui/` has a line.

/// The path segment, relative to the route prefix, below which the page looks for its assets: `<prefix>/assets/app.js`.
///
/// The page derives its prefix from this, so assets must be served one level below the pages.
pub const ASSET_DIR: &str = "assets";

/// The paths, relative to the route prefix, that answer with the page (`index.html`); `""` is the root.
///
/// Prometheus' names are among them, so that existing links work. Any other unknown path must stay a 404:
/// clients probe paths to tell servers apart.
pub const PAGES: &[&str] = &[
    "",
    "query",
    "graph",
    "alerts",
    "rules",
    "targets",
    "status",
    "tsdb-status",
    "flags",
    "config",
];

/// One file of the web page.
#[derive(Debug)]
pub struct Asset {
    /// The file's name, without a leading slash, such as `app.js`.
    pub path: &'static str,
    /// The value of the `Content-Type` header, with its charset.
    pub content_type: &'static str,
    /// The file, uncompressed.
    pub bytes: &'static [u8],
    etag: [u8; 18],
}

impl Asset {
    const fn new(path: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            path,
            content_type,
            bytes,
            etag: entity_tag(bytes),
        }
    }

    /// Returns the value of the `ETag` header, in its quotes: a hash of the content, equal in all builds of equal files.
    ///
    /// Names do not change with content, so answers should carry `Cache-Control: no-cache`, and a request whose
    /// `If-None-Match` has this tag should be answered with 304.
    pub fn etag(&self) -> &str {
        std::str::from_utf8(&self.etag).expect("an entity tag is built from ASCII")
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! table {
    ($($path:literal: $content_type:expr,)*) => {
        &[$(Asset::new($path, $content_type, include_bytes!(concat!("../ui/", $path)))),*]
    };
}

static ASSETS: &[Asset] = table! {
    "index.html": HTML,
    "style.css": CSS,
    "favicon.svg": SVG,
    "alerts.js": JS,
    "api.js": JS,
    "app.js": JS,
    "complete.js": JS,
    "dom.js": JS,
    "format.js": JS,
    "graph.js": JS,
    "legend.js": JS,
    "panel.js": JS,
    "query.js": JS,
    "scale.js": JS,
    "status.js": JS,
    "table.js": JS,
    "targets.js": JS,
    "url.js": JS,
};

/// Returns all files of the page; the first one is the page itself.
pub fn assets() -> &'static [Asset] {
    ASSETS
}

/// Returns the file with this name, `""` being `index.html`; `None` when there is none.
///
/// `path` is relative to [`ASSET_DIR`] and compared as it is: no decoding, no `..`.
pub fn asset(path: &str) -> Option<&'static Asset> {
    let path = if path.is_empty() { "index.html" } else { path };
    ASSETS.iter().find(|asset| asset.path == path)
}

/// Returns the 64-bit FNV-1a hash of `bytes` as 16 hexadecimal digits between quotes.
const fn entity_tag(bytes: &[u8]) -> [u8; 18] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    let mut tag = [b'"'; 18];
    let mut i = 0;
    while i < 16 {
        tag[1 + i] = DIGITS[(hash >> (60 - 4 * i) & 0xf) as usize];
        i += 1;
    }
    tag
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn text(asset: &Asset) -> &'static str {
        std::str::from_utf8(asset.bytes).unwrap()
    }

    /// What follows each `marker` in `text`, up to the closing quote.
    fn quoted_after<'a>(text: &'a str, marker: &str) -> Vec<&'a str> {
        text.split(marker)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect()
    }

    fn sources() -> impl Iterator<Item = &'static Asset> {
        assets()
            .iter()
            .filter(|asset| asset.path.ends_with(".js") || asset.path.ends_with(".html"))
    }

    #[test]
    fn table_lists_every_file_once() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
        let files = BTreeSet::from_iter(
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap()),
        );
        let listed = BTreeSet::from_iter(assets().iter().map(|asset| asset.path.to_owned()));
        assert_eq!(files, listed);
        assert_eq!(listed.len(), assets().len());
    }

    #[test]
    fn content_type_follows_the_extension() {
        for asset in assets() {
            let expected = match asset.path.rsplit('.').next().unwrap() {
                "html" => HTML,
                "css" => CSS,
                "js" => JS,
                "svg" => SVG,
                other => panic!("{}: no content type for .{other}", asset.path),
            };
            assert_eq!(asset.content_type, expected, "{}", asset.path);
            assert!(!asset.bytes.is_empty(), "{} is empty", asset.path);
        }
    }

    #[test]
    fn lookup_finds_the_page_and_files_and_nothing_else() {
        assert_eq!(asset("").unwrap().path, "index.html");
        assert_eq!(asset("app.js").unwrap().content_type, JS);
        for path in [
            "/",
            "/app.js",
            "app",
            "../Cargo.toml",
            "APP.JS",
            "assets/app.js",
        ] {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn page_references_only_embedded_files_and_pages() {
        let html = text(asset("").unwrap());
        let references = [quoted_after(html, "src=\""), quoted_after(html, "href=\"")].concat();
        assert!(references.contains(&"assets/app.js") && references.contains(&"assets/style.css"));
        for reference in references {
            let file = reference
                .strip_prefix(ASSET_DIR)
                .and_then(|rest| rest.strip_prefix('/'));
            let is_known = file.is_some_and(|file| asset(file).is_some());
            assert!(
                is_known || PAGES.contains(&reference) || reference.starts_with('#'),
                "{reference}"
            );
        }
    }

    #[test]
    fn modules_import_only_embedded_files() {
        for source in sources() {
            for import in quoted_after(text(source), "from \"") {
                let file = import.strip_prefix("./").unwrap_or("not relative");
                assert!(asset(file).is_some(), "{} imports {import}", source.path);
            }
        }
    }

    #[test]
    fn router_knows_every_page() {
        let app = text(asset("app.js").unwrap());
        for page in PAGES {
            let (bare, quoted) = (format!(" {page}: ["), format!("\"{page}\": ["));
            assert!(
                app.contains(&quoted) || (!page.is_empty() && app.contains(&bare)),
                "{page:?}"
            );
        }
    }

    #[test]
    fn no_text_is_parsed_as_markup_or_code() {
        const WAYS_IN: &[&str] = &[
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "setHTML",
            "parseFromString",
            "createContextualFragment",
            "document.write",
            "srcdoc",
            "eval(",
            "new Function",
            "setTimeout(\"",
            "import(",
        ];
        for source in sources() {
            for way in WAYS_IN {
                assert!(!text(source).contains(way), "{} has {way}", source.path);
            }
        }
    }

    #[test]
    fn page_has_no_inline_script_or_style_and_a_policy() {
        let html = text(asset("").unwrap());
        assert!(html.contains("Content-Security-Policy") && html.contains("script-src 'self'"));
        for tag in html.split("<script").skip(1) {
            assert!(
                tag.split("</script>").next().unwrap().ends_with('>'),
                "inline script"
            );
        }
        assert!(
            !html.contains("<style") && !html.contains(" style=") && !html.contains(" onclick=")
        );
    }

    #[test]
    fn no_other_host_is_named() {
        for asset in assets() {
            let text = text(asset).replace("http://www.w3.org/2000/svg", "");
            assert!(
                !text.contains("http://")
                    && !text.contains("https://")
                    && !text.contains("@import"),
                "{}",
                asset.path
            );
        }
    }

    #[track_caller]
    fn check_tag(bytes: &[u8], expected: &str) {
        assert_eq!(std::str::from_utf8(&entity_tag(bytes)).unwrap(), expected);
    }

    #[test]
    fn entity_tag_is_fnv_1a() {
        // Source: the test vectors of the FNV draft (draft-eastlake-fnv).
        check_tag(b"", "\"cbf29ce484222325\"");
        check_tag(b"a", "\"af63dc4c8601ec8c\"");
        check_tag(b"foobar", "\"85944171f73967e8\"");
    }

    #[test]
    fn entity_tags_differ() {
        let tags = BTreeSet::from_iter(assets().iter().map(Asset::etag));
        assert_eq!(tags.len(), assets().len());
        assert!(
            tags.iter()
                .all(|tag| tag.len() == 18 && tag.starts_with('"') && tag.ends_with('"'))
        );
    }
}
