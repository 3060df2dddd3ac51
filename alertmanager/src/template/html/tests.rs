//! What becomes of values in each place of a page; the expected texts are those of Go.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::template::alertmanager::NOTIFICATION_FUNCTIONS;
use crate::template::{Environment, Mode, Template, Value};

struct World;

impl Environment for World {
    fn now_ms(&self) -> i64 {
        0
    }

    fn external_url(&self) -> &str {
        ""
    }
}

fn run(text: &str, value: &str) -> String {
    let data = Value::string_map([("v", value), ("empty", "")]);
    match Template::parse("t", text, NOTIFICATION_FUNCTIONS) {
        Ok(template) => match template.execute(&data, &World, Mode::Html) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        },
        Err(error) => format!("load: {error}"),
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(run(text, "it's <b> & \"q\""), expected, "{text}");
}

#[test]
fn text_and_markup() {
    check(
        "<p>{{ .v }}+{{ \"a+b\" }}",
        "<p>it&#39;s &lt;b&gt; &amp; &#34;q&#34;+a&#43;b",
    );
    check(
        "<title>{{ .v }}<b></title>",
        "<title>it&#39;s &lt;b&gt; &amp; &#34;q&#34;&lt;b></title>",
    );
    check("a < b <3 <!doctype html>", "a &lt; b &lt;3 <!doctype html>");
    check(
        "<!-- {{ .v }} --><b>{{ 1 }}</b><!-- x",
        "html/template:t: ends in a non-text context: {stateHTMLCmt delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}",
    );
    check("a<!-- {{ .v }} -->b", "ab");
    check("{{ $d := dict \"k\" 1 }}[{{ $d.nope }}]", "[]");
    check(
        "{{ safeHtml \"<i>\" }}{{ safeUrl \"<i>\" }}",
        "<i>&lt;i&gt;",
    );
    check(
        "<textarea>{{ safeHtml \"<i>&amp;\" }}</textarea>",
        "<textarea>&lt;i&gt;&amp;</textarea>",
    );
}

#[test]
fn attributes() {
    check(
        "<p title=\"{{ .v }}\">",
        "<p title=\"it&#39;s &lt;b&gt; &amp; &#34;q&#34;\">",
    );
    check(
        "<p title='{{ .v }}' a>",
        "<p title='it&#39;s &lt;b&gt; &amp; &#34;q&#34;' a>",
    );
    check(
        "<p title={{ .v }}>",
        "<p title=it&#39;s&#32;&lt;b&gt;&#32;&amp;&#32;&#34;q&#34;>",
    );
    check("<p title={{ .empty }} a>", "<p title=ZgotmplZ a>");
    check(
        "<p {{ \"TITLE\" }}=a {{ \"href\" }}=b {{ \"on x\" }} {{ .empty }}>",
        "<p title=a ZgotmplZ=b ZgotmplZ ZgotmplZ>",
    );
    check(
        "<p title=\"{{ safeHtml \"a <b x='>'>&amp;</b>\" }}\">",
        "<p title=\"a &amp;\">",
    );
    check(
        "<p title=a\"b>",
        "html/template:t: \"\\\"\" in unquoted attr: \"a\\\"b\"",
    );
    check(
        "<p \"b>",
        "html/template:t: \"\\\"\" in attribute name: \" \\\"b>\"",
    );
    check(
        "<p =b>",
        "html/template:t: expected space, attr name, or end of tag, but got \"=b>\"",
    );
}

#[test]
fn urls() {
    check(
        "<a href=\"{{ .v }}\">",
        "<a href=\"it%27s%20%3cb%3e%20&amp;%20%22q%22\">",
    );
    check(
        "<a href=\"/x?q={{ .v }}#{{ \"a%20b\" }}\">",
        "<a href=\"/x?q=it%27s%20%3cb%3e%20%26%20%22q%22#a%2520b\">",
    );
    check("<a href=\"{{ \"a%20b%zz\" }}\">", "<a href=\"a%20b%25zz\">");
    check(
        "<a href={{ \"JavaScript:alert(1)\" }}>",
        "<a href=#ZgotmplZ>",
    );
    check(
        "<a href='{{ \"/a:b\" }}{{ \"x:y\" }}' data-url='{{ \"x:y\" }}'>",
        "<a href='/a:b#ZgotmplZ' data-url='#ZgotmplZ'>",
    );
    check(
        "<a href=\"{{ safeUrl \"tel:1 2\" }}?{{ safeUrl \"a=b c\" }}\">",
        "<a href=\"tel:1%202?a=b%20c\">",
    );
    check(
        "<a href=\"{{ if .v }}/x{{ else }}?y{{ end }}{{ .v }}\">",
        "html/template:t:1:46: {{.v}} appears in an ambiguous context within a URL",
    );
    check(
        "<img srcset=\"{{ \"a b 2x, javascript:x 1x, /i.png\" }}\">",
        "<img srcset=\"a b 2x,#ZgotmplZ, /i.png\">",
    );
    check(
        "<img srcset='{{ safeUrl \"a,b\" }}'>",
        "<img srcset='a%2cb'>",
    );
    check(
        "<meta content=\"0; URL={{ \"x:y\" }}; a={{ \"x:y\" }}\"><p>{{ if .v }}<b>{{ end }}",
        "<meta content=\"0; URL=#ZgotmplZ; a=x:y\"><p><b>",
    );
}

#[test]
fn scripts() {
    check(
        "<script>f({{ .v }}, {{ 1 }}, '{{ .v }}', /{{ .v }}/, /{{ .empty }}/)</script>",
        "<script>f(\"it's \\u003cb\\u003e \\u0026 \\\"q\\\"\",  1 , 'it\\u0027s \\u003cb\\u003e \\u0026 \\u0022q\\u0022', /it\\u0027s \\u003cb\\u003e \\u0026 \\u0022q\\u0022/, /(?:)/)</script>",
    );
    check(
        "<script>`a${ {{ .v }} }{{ \"${x}`\" }}`</script>",
        "<script>`a${ \"it's \\u003cb\\u003e \\u0026 \\\"q\\\"\" }\\u0024\\u007bx\\u007d\\u0060`</script>",
    );
    check(
        "<script>a/* x\n */b/* y */c//{{ .v }}\nd<!-- e\n--> f\n\"</script>\"</script>{{ \"<\" }}",
        "<script>a\nb c\nd\n\n\"\\x3C/script>\"</script>&lt;",
    );
    check(
        "<script>x = {{ .v }} / 2; /[/\"]/; {{ list 1 \"a\" }}{{ dict \"k\" 1.5 }}</script>",
        "<script>x = \"it's \\u003cb\\u003e \\u0026 \\\"q\\\"\" / 2; /[/\"]/; [1,\"a\"]{\"k\":1.5}</script>",
    );
    check(
        "<script type=\"application/ld+json\">{{ .v }}</script><script type=text/x>{{ \"<\" }}</script>",
        "<script type=\"application/ld+json\">\"it's \\u003cb\\u003e \\u0026 \\\"q\\\"\"</script><script type=text/x>&lt;</script>",
    );
    check(
        "<p onclick=\"f(&quot;{{ \"<'\" }}&#34;, {{ \"a\" }})\">",
        "<p onclick=\"f(&quot;\\u003c\\u0027&#34;, &#34;a&#34;)\">",
    );
    check(
        "<script>x {{ if .v }}+{{ end }} /a/",
        "html/template:t: '/' could start a division or regexp: \"/a/\"",
    );
    check(
        "<script>'a\\",
        "html/template:t: unfinished escape sequence in JS string: \"a\\\\\"",
    );
    check(
        "<script>/[a",
        "html/template:t: unfinished JS regexp charset: \"[a\"",
    );
}

#[test]
fn styles() {
    check(
        "<p style=\"color: {{ \"red\" }}; a: {{ \"red; b\" }}; b: {{ \"expre\\\\ssion(1)\" }}\">",
        "<p style=\"color: red; a: ZgotmplZ; b: ZgotmplZ\">",
    );
    check(
        "<style>a{b: url({{ \"x y\" }}) url('{{ \"j:x\" }}') \"{{ \"a/b\" }}c\" /* x */}</style>",
        "<style>a{b: url(x%20y) url('#ZgotmplZ') \"a\\2f b\" }</style>"
            .replace("b\" }", "bc\"  }")
            .as_str(),
    );
    check(
        "<style>a{b: {{ \"-x\" }} {{ \"--x\" }} {{ \"\\\\41 b\" }}}// x\n</style>",
        "<style>a{b: -x ZgotmplZ Ab}\n</style>",
    );
}

#[test]
fn branches() {
    check(
        "{{ if .v }}<a href=\"{{ end }}",
        "html/template:t:1:6: {{if}} branches end in different contexts: {stateURL delimDoubleQuote urlPartNone jsCtxRegexp [] attrURL elementNone <nil>}, {stateText delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}",
    );
    check(
        "<p{{ range $k, $v := . }} title='{{ $v }}'{{ end }} a={{ if .v }}{{ .v }}{{ end }}>",
        "<p title='' title='it&#39;s &lt;b&gt; &amp; &#34;q&#34;' a=it&#39;s&#32;&lt;b&gt;&#32;&amp;&#32;&#34;q&#34;>",
    );
    check(
        "{{ range . }}<a href='{{ end }}",
        "html/template:t:1:9: on range loop re-entry: {{range}} branches end in different contexts: {stateURL delimSingleQuote urlPartNone jsCtxRegexp [] attrURL elementNone <nil>}, {stateTag delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}",
    );
    check(
        "{{ range . }}{{ if . }}<b title='{{ break }}{{ end }}{{ end }}",
        "html/template:t:1:36: at range loop break: {{range}} branches end in different contexts: {stateText delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}, {stateAttr delimSingleQuote urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}",
    );
    check(
        "{{ range . }}{{ if . }}x{{ continue }}{{ end }}{{ end }}",
        "x",
    );
}

#[test]
fn templates_are_escaped_for_their_callers() {
    let define = "{{ define \"d\" }}{{ .v }}{{ end }}";
    check(
        &format!("{define}{{{{ template \"d\" . }}}}<a href='?{{{{ template \"d\" . }}}}'>"),
        "it&#39;s &lt;b&gt; &amp; &#34;q&#34;<a href='?it%27s%20%3cb%3e%20%26%20%22q%22'>",
    );
    check(
        "{{ define \"d\" }}{{ .v.x }}{{ end }}<a title='{{ template \"d\" . }}'>",
        "template: t:1:21: executing \"d$htmltemplate_stateAttr_delimSingleQuote\" at <.v.x>: can't evaluate field x in type string",
    );
    check(
        "{{ define \"open\" }}<a href=\"{{ end }}{{ template \"open\" }}\">{{ template \"open\" }}{{ \"a b\" }}\">",
        "<a href=\"\"><a href=\"a%20b\">",
    );
    check(
        "{{ define \"r\" }}{{ if .v }}<b>{{ template \"r\" (dict \"v\" .empty) }}{{ end }}{{ end }}{{ template \"r\" . }}",
        "<b>",
    );
    check(
        "{{ define \"r\" }}{{ if .v }}\"{{ template \"r\" . }}{{ end }}{{ end }}<script>{{ template \"r\" . }}</script>",
        "html/template:t:1:22: {{if}} branches end in different contexts: {stateJSDqStr delimNone urlPartNone jsCtxRegexp [] attrNone elementScript <nil>}, {stateJS delimNone urlPartNone jsCtxDivOp [] attrNone elementScript <nil>}",
    );
    check(
        "{{ template \"nope\" }}",
        "html/template:t:1:12: no such template \"nope\"",
    );
}

#[test]
fn escaping_functions_of_the_template_itself() {
    check(
        "{{ .v | html }} {{ html \"a\" \"<+\" }} {{ html \"<\" | print }}",
        "html/template:t:1:39: predefined escaper \"html\" disallowed in template",
    );
    check(
        "{{ .v | html }} {{ html \"a\" \"<+\" }}",
        "it&#39;s &lt;b&gt; &amp; &#34;q&#34; a&lt;+",
    );
    check(
        "<a href='{{ \"a b\" | urlquery }}?{{ urlquery \"a b\" \"c\" }}' title='{{ \"<\" | html }}'>",
        "<a href='a&#43;b?a&#43;bc' title='&lt;'>",
    );
    check(
        "<a title={{ .v | html }}>",
        "html/template:t:1:12: predefined escaper \"html\" disallowed in template",
    );
    check(
        "{{ safeHtml .v | toUpper }}",
        "template: t:1:17: executing \"t\" at <toUpper>: wrong type for value; expected string; got template.HTML",
    );
}

#[test]
fn the_walk_is_bounded() {
    let mut chain = String::from("{{ define \"t0\" }}x{{ end }}");
    for i in 1..300 {
        write!(
            chain,
            "{{{{ define \"t{i}\" }}}}{{{{ template \"t{}\" }}}}{{{{ end }}}}",
            i - 1
        )
        .unwrap();
    }
    let deep = run(&format!("{chain}{{{{ template \"t299\" }}}}"), "");
    assert!(deep.contains("nested deeper than 200"), "{deep}");
    // Each loop is walked twice for every turn of the one around it.
    let loops = "{{ range . }}".repeat(45) + &"{{ end }}".repeat(45);
    let long = run(&loops, "");
    assert!(long.contains("bytes looked at"), "{long}");
    // A template whose context never comes back to one seen before.
    let endless = run(
        "{{ define \"r\" }}${ `{{ template \"r\" }}{{ end }}<script>`{{ template \"r\" }}",
        "",
    );
    assert!(endless.contains("nested deeper than 200"), "{endless}");
    let braces = format!("<script>{}", "`${".repeat(50_000));
    assert!(run(&braces, "").contains("bytes looked at"));
}

/// Places for a value, each in an element of its own.
const PLACES: &[&str] = &[
    "<p>{{ .v }}</p>",
    "<title>{{ .v }}</title>",
    "<p title=\"{{ .v }}\" b=c>x</p>",
    "<p title='{{ .v }}' b=c>x</p>",
    "<p title={{ .v }} b=c>x</p>",
    "<p a{{ .v }}=b>x</p>",
    "<a href=\"{{ .v }}\">x</a>",
    "<a href={{ .v }}>x</a>",
    "<a href='/a?{{ .v }}#{{ .v }}'>x</a>",
    "<img srcset=\"{{ .v }}\">",
    "<p onclick=\"f({{ .v }}, '{{ .v }}')\" style=\"a: {{ .v }}; b: url({{ .v }})\">x</p>",
    "<script>f({{ .v }}, '{{ .v }}', \"{{ .v }}\", /{{ .v }}/, `{{ .v }}`, `${ {{ .v }} }`)</script>",
    "<style>a{b: {{ .v }}; c: '{{ .v }}'; d: url(\"{{ .v }}\")}</style>",
];

proptest! {
    /// Whatever the value, a reader of the page finds the markup of the template and no other.
    #[test]
    fn no_value_leaves_its_place(
        value in "([-a-z0-9 <>\"'`/\\\\&;:=(){}$\\[\\]*?#!+\n\r\u{2028}é]|</script>|<!--|-->|\\*/|javascript:|&quot;|url\\(){0,12}",
    ) {
        for place in PLACES {
            let made = run(place, &value);
            // The page is a template as well, if there is nothing in it that a template would read.
            let page = made.replace("{{", "{ {");
            let read = run(&page, "");
            prop_assert!(!read.starts_with("html/template"), "{place}: {made}: {read}");
            let tags = |text: &str| text.matches('<').count();
            prop_assert_eq!(tags(&made), tags(place), "{}: {}", place, made);
            let end = |text: &str| text[text.rfind('<').unwrap_or(0)..].to_owned();
            if place.contains("</") {
                prop_assert_eq!(end(&made), end(place));
            }
        }
    }

    /// Whatever the text: an error or a page, no panic; and the same text of values and of the template is never longer than
    /// the limits.
    #[test]
    fn any_text_is_survived(
        text in "(<|>|/|\"|'|`|=|&quot;|&#39;| |\\\\|<script>|</script>|<style>|</style>|<title>|</title>|<a href=|<p style=|onclick=|srcset=|<meta content=|<!--|-->|/\\*|\\*/|//|\n|url\\(|\\)|\\[|\\]|\\$\\{|\\{|\\}|é|a|1|\\{\\{ .v \\}\\}|\\{\\{ if .v \\}\\}|\\{\\{ else \\}\\}|\\{\\{ range . \\}\\}|\\{\\{ break \\}\\}|\\{\\{ end \\}\\}|\\{\\{ template \"t\" \\}\\}|\\{\\{ .v \\| html \\}\\}){0,30}",
    ) {
        run(&text, "<a href='javascript:'>");
    }
}
