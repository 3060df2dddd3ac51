//! Results as JUnit's XML, which build servers read.

use std::fmt::Write as _;

/// The tests of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) cases: Vec<Case>,
    /// Why the file could not be run.
    pub(super) errors: Vec<String>,
}

/// One group of tests.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) failures: Vec<String>,
}

/// Returns the document of suites that ended at `time`, in RFC 3339 without a zone.
pub(super) fn document(suites: &[Suite], time: &str) -> String {
    let mut xml = "<testsuites>".to_owned();
    for suite in suites {
        let failed = suite.cases.iter().filter(|case| !case.failures.is_empty());
        // Writing to a string does not fail.
        let _ = write!(
            xml,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" timestamp=\"{time}\">",
            escaped(&suite.name),
            suite.cases.len(),
            failed.count(),
            suite.errors.len()
        );
        for case in &suite.cases {
            let _ = write!(xml, "<testcase name=\"{}\">", escaped(&case.name));
            for failure in &case.failures {
                let _ = write!(
                    xml,
                    "<failure message=\"{}\" type=\"\"></failure>",
                    escaped(failure)
                );
            }
            xml.push_str("</testcase>");
        }
        for error in &suite.errors {
            let _ = write!(xml, "<system-err>{}</system-err>", escaped(error));
        }
        xml.push_str("</testsuite>");
    }
    xml.push_str("</testsuites>");
    xml
}

/// Returns `text` as it may stand in XML; what may not at all is a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            '\0'..' ' => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_in_its_case() {
        let case = |name: &str, failures: &[&str]| Case {
            name: name.to_owned(),
            failures: failures.iter().map(|&text| text.to_owned()).collect(),
        };
        let suite = Suite {
            name: "a<b>.yml".to_owned(),
            cases: vec![case("good", &[]), case("bad", &["exp \"1\"\n\u{1}"])],
            errors: vec!["e & f".to_owned()],
        };
        assert_eq!(
            document(&[suite], "2026-01-01T00:00:00"),
            "<testsuites><testsuite name=\"a&lt;b&gt;.yml\" tests=\"2\" failures=\"1\" errors=\"1\" skipped=\"0\" \
             timestamp=\"2026-01-01T00:00:00\"><testcase name=\"good\"></testcase><testcase name=\"bad\">\
             <failure message=\"exp &#34;1&#34;&#xA;?\" type=\"\"></failure></testcase>\
             <system-err>e &amp; f</system-err></testsuite></testsuites>"
        );
    }
}
