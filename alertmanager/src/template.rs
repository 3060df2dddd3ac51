//! Go's text/template language, as rules and notifications use it.
//!
//! ```text
//! text ── lex ──► tokens ── parse ──► definitions ── exec (data, functions, environment) ──► text
//! ```
//!
//! A template is parsed once, when its file is loaded, and run many times. Parsing knows the names of the functions, so
//! an unknown one is an error of the file. Running is bounded by [`Limits`] and reads the world through [`Environment`]
//! only.
//!
//! Data of its own kind, such as a notification's alerts, implements [`Object`]: fields and methods by name.
//!
//! What makes a page of HTML has its values escaped for the places where they stand: see [`html`].

pub mod alertmanager;
#[cfg(test)]
mod conformance;
mod exec;
pub mod files;
mod format;
mod functions;
mod html;
mod json;
mod layout;
mod lex;
mod node;
mod parse;
pub mod prometheus;
pub(crate) mod time;
mod value;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

pub(crate) use functions::go_regex_error;
pub use functions::{Environment, Function, FunctionSet, Param};
pub use value::{List, Map, Object, Value};

use node::Definition;

/// Why a text is no template. Prints as Go does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {message}")]
pub struct ParseError {
    /// The template's name.
    pub name: String,
    /// The line of the fault, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a run stopped. Prints as Go does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExecError(pub String);

/// How values are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As they are.
    Text,
    /// Escaped for the places in a page where they stand.
    Html,
}

/// How much one run may do; over a limit it is an error.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of output.
    pub output_bytes: usize,
    /// Nodes and commands executed.
    pub steps: usize,
    /// Templates inside templates.
    pub depth: usize,
}

impl Limits {
    /// What a label, an annotation or a notification may cost.
    pub const STANDARD: Limits = Limits {
        output_bytes: 1 << 20,
        steps: 1_000_000,
        depth: 100,
    };
}

/// A parsed template: its own body and all that it defines. Clones share the tree.
#[derive(Clone)]
pub struct Template {
    name: String,
    functions: FunctionSet,
    definitions: BTreeMap<String, Arc<Definition>>,
    /// The definitions with their escapers, from the first run in HTML mode on.
    escaped: Arc<OnceLock<Result<html::Escaped, ExecError>>>,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// When it is no template, or uses a function that `functions` lacks.
    pub fn parse(name: &str, text: &str, functions: FunctionSet) -> Result<Self, ParseError> {
        let empty = Template {
            name: name.to_owned(),
            functions,
            definitions: BTreeMap::new(),
            escaped: Arc::default(),
        };
        empty.with(name, text)
    }

    /// Returns this template with `text` parsed in addition: its definitions replace those of the same name, and what is
    /// not in a definition is the body of `name`, which becomes the one that runs.
    ///
    /// # Errors
    ///
    /// As [`parse`](Template::parse).
    pub fn with(&self, name: &str, text: &str) -> Result<Self, ParseError> {
        let has_function = |function: &str| self.functions.find(function).is_some();
        let mut template = self.clone();
        name.clone_into(&mut template.name);
        template.escaped = Arc::default();
        for (name, definition) in parse::parse(name, text, &has_function)? {
            let keeps_old = definition.is_empty()
                && template.definitions.contains_key(&name)
                && name != template.name;
            if !keeps_old {
                template.definitions.insert(name, definition);
            }
        }
        Ok(template)
    }

    /// Runs the template on `data`.
    ///
    /// # Errors
    ///
    /// What Go would say, or which of [`Limits::STANDARD`] was reached.
    pub fn execute(
        &self,
        data: &Value,
        environment: &dyn Environment,
        mode: Mode,
    ) -> Result<String, ExecError> {
        self.execute_within(data, environment, mode, Limits::STANDARD)
    }

    /// Runs the template on `data`.
    ///
    /// # Errors
    ///
    /// What Go would say, or which of `limits` was reached.
    pub fn execute_within(
        &self,
        data: &Value,
        environment: &dyn Environment,
        mode: Mode,
        limits: Limits,
    ) -> Result<String, ExecError> {
        if !self.definitions.contains_key(&self.name) {
            return Err(ExecError(format!(
                "template: {}: \"{}\" is an incomplete or empty template",
                self.name, self.name
            )));
        }
        let definitions = match mode {
            Mode::Text => &self.definitions,
            Mode::Html => self.escaped()?,
        };
        let definition = &definitions[&self.name];
        exec::execute(self, definitions, definition, data, environment, limits)
    }

    /// Returns the definitions with their escapers, worked out at the first call.
    fn escaped(&self) -> Result<&html::Escaped, ExecError> {
        let escaped = self
            .escaped
            .get_or_init(|| html::escape(&self.definitions, &self.name));
        escaped.as_ref().map_err(ExecError::clone)
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World;

    impl Environment for World {
        fn now_ms(&self) -> i64 {
            1_712_345_678_500
        }

        fn external_url(&self) -> &str {
            "http://prom.example/prom"
        }
    }

    fn run(text: &str) -> String {
        let template = match Template::parse("t", text, prometheus::RULE_FUNCTIONS) {
            Ok(template) => template,
            Err(error) => return format!("load: {error}"),
        };
        let data = Value::string_map([("a", "1"), ("b", "x & y")]);
        match template.execute(&data, &World, Mode::Text) {
            Ok(text) => text,
            Err(error) => format!("run: {error}"),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(run(text), expected, "{text}");
    }

    #[test]
    fn control() {
        check(
            "{{ if eq .a \"2\" }}two{{ else if eq .a \"1\" }}one{{ else }}?{{ end }}",
            "one",
        );
        check(
            "{{ with .nope }}x{{ else with .b }}{{ . }}{{ end }}",
            "x & y",
        );
        check(
            "{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}",
            "a=1;b=x & y;",
        );
        check(
            "{{ range 5 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}",
            "02",
        );
        check(
            "{{ $n := 0 }}{{ range 3 }}{{ $n = 5 }}{{ end }}{{ $n }}",
            "5",
        );
        check(
            "{{ $x := \"a\" }}{{ if true }}{{ $x := \"b\" }}{{ $x }}{{ end }}{{ $x }}",
            "ba",
        );
        check(
            "{{ define \"t2\" }}[{{ . }}]{{ end }}{{ template \"t2\" .a }}{{ template \"t2\" }}",
            "[1][<no value>]",
        );
        check("{{ block \"k\" .a }}<{{ . }}>{{ end }}", "<1>");
        check("a\n{{- /* gone */ -}}\nb", "ab");
        check(
            "{{ `raw \\n` }} {{ \"\\u00e9\" }} {{ 'a' }} {{ 0x10 }}",
            "raw \\n é 97 16",
        );
    }

    #[test]
    fn functions() {
        check(
            "{{ pathPrefix }} {{ externalURL }} {{ now }}",
            "/prom http://prom.example/prom 1.7123456785e+09",
        );
        check(
            "{{ toDuration 90 }} {{ (toDuration 90.0).Minutes }}",
            "1m30s 1.5",
        );
        check("{{ urlQueryEscape \"a b&c=é\" }}", "a+b%26c%3D%C3%A9");
        check(
            "{{ and \"\" \"b\" }}|{{ or \"\" \"b\" }}|{{ not 0 }}|{{ len .b }}",
            "|b|true|5",
        );
        check("{{ \"a\" | eq \"b\" | not }}", "true");
        check("{{ html \"<a>\" }} {{ js \"it's\" }}", "&lt;a&gt; it\\'s");
    }

    #[test]
    fn load_errors() {
        check(
            "{{ nofunc }}",
            "load: template: t:1: function \"nofunc\" not defined",
        );
        check(
            "\n{{ $u }}",
            "load: template: t:2: undefined variable \"$u\"",
        );
        check(
            "{{ if }}x{{ end }}",
            "load: template: t:1: missing value for if",
        );
        check("{{ end }}", "load: template: t:1: unexpected {{end}}");
        check("{{ range . }}", "load: template: t:1: unexpected EOF");
        check(
            "{{ \"unclosed }}",
            "load: template: t:1: unterminated quoted string",
        );
        check(
            "{{ /* c */ }}x",
            "load: template: t:1: unexpected \"/\" in command",
        );
        check("{{ if", "load: template: t:1: unclosed action");
        check(
            "{{ break }}",
            "load: template: t:1: {{break}} outside {{range}}",
        );
        check(
            &"{{if .}}".repeat(500),
            "load: template: t:1: blocks and parentheses are nested deeper than 100",
        );
    }

    #[test]
    fn run_errors() {
        check(
            "{{ .a.Nope }}",
            "run: template: t:1:5: executing \"t\" at <.a.Nope>: can't evaluate field Nope in type string",
        );
        check(
            "{{ lt \"a\" 1 }}",
            "run: template: t:1:3: executing \"t\" at <lt \"a\" 1>: error calling lt: incompatible types for comparison: string and int",
        );
        check(
            "a\n {{ .a.Nope }}",
            "run: template: t:2:6: executing \"t\" at <.a.Nope>: can't evaluate field Nope in type string",
        );
        check(
            "{{ nil }}",
            "run: template: t:1:3: executing \"t\" at <nil>: nil is not a command",
        );
        check(
            "{{ \"a\" \"b\" }}",
            "run: template: t:1:3: executing \"t\" at <\"a\">: can't give argument to non-function \"a\"",
        );
        check(
            "{{ template \"nope\" . }}",
            "run: template: t:1:12: executing \"t\" at <{{template \"nope\" .}}>: template \"nope\" not defined",
        );
    }

    #[test]
    fn runs_are_bounded() {
        assert!(
            run("{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}")
                .contains("maximum template depth")
        );
        check(
            "{{ range 9000000000000000000 }}{{ end }}",
            "run: takes more than 1000000 steps",
        );
        assert!(
            run("{{ range 100 }}{{ printf \"%100000s\" \"\" }}{{ end }}")
                .starts_with("run: writes more than")
        );
        assert!(
            run("{{ $x := \"ab\" }}{{ range 64 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}")
                .contains("result is longer than")
        );
    }

    #[test]
    fn html_is_escaped_unless_trusted() {
        let template = Template::parse(
            "t",
            "{{ .b }} {{ safeHtml \"<b>\" }}",
            prometheus::RULE_FUNCTIONS,
        )
        .unwrap();
        let data = Value::string_map([("b", "<&\"'>")]);
        assert_eq!(
            template.execute(&data, &World, Mode::Html).unwrap(),
            "&lt;&amp;&#34;&#39;&gt; <b>"
        );
    }

    proptest::proptest! {
        /// Whatever the text: an error or a result, no panic.
        #[test]
        fn any_text_is_survived(text in "(\\{\\{|\\}\\}|[-a-z.$ :=|()\"`/*0-9é\n]|if |end|range |else|define |template |printf |len ){0,40}") {
            run(&text);
        }
    }
}
