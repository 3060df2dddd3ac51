//! From RE2's syntax, which Prometheus' users write, to that of the regex crate.
//!
//! They differ where both have a meaning:
//!
//! - `\d`, `\s`, `\w` and `\b` are about ASCII in RE2 and about Unicode here;
//! - `[`, `&&`, `--` and `~~` in a bracket class are literal in RE2 and make nested classes and set operations here;
//! - a `-` after an escape like `\w` in a class is literal in RE2 and an error here;
//! - `(?)` sets no flags in RE2 and is an error here;
//! - a `{` that begins no repetition (`{2}`, `{2,}`, `{2,3}`) is literal in RE2 and an error here.
//!
//! Everything else is passed on as it is, errors included. The dot, literals and `\p` go on to match whole characters.

use std::borrow::Cow;

/// Returns what `pattern` is in the syntax of the regex crate.
pub(super) fn translated(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['\\', '[', '{']) && !pattern.contains("(?)") {
        return Cow::Borrowed(pattern);
    }
    let mut translator = Translator {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 32),
    };
    while !translator.rest.is_empty() {
        translator.item();
    }
    Cow::Owned(translator.out)
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
}

impl Translator<'_> {
    /// Translates what comes next outside of classes.
    fn item(&mut self) {
        if self.rest.starts_with('[') {
            return self.class();
        }
        if self.rest.starts_with('{') && !begins_repetition(self.rest) {
            return self.replace(1, r"\{");
        }
        let translation = match self.rest.as_bytes() {
            [b'(', b'?', b')', ..] => return self.replace(3, "(?:)"),
            [b'\\', b'b', ..] => Some(r"(?-u:\b)"),
            [b'\\', b'B', ..] => Some(r"(?-u:\B)"),
            [b'\\', letter, ..] => ascii_class(*letter),
            _ => None,
        };
        match translation {
            Some(translation) => self.replace(2, translation),
            None => self.character(),
        }
    }

    /// Translates a bracket class, or as much of it as there is.
    fn class(&mut self) {
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        // A bracket that closes right after the opening one is literal.
        let mut is_first = true;
        while !self.rest.is_empty() {
            if self.rest.starts_with(']') && !is_first {
                return self.copy(1);
            }
            is_first = false;
            self.class_item();
        }
    }

    /// Translates a named class, an escape for a class, a character or a range of them.
    fn class_item(&mut self) {
        if let Some(end) = self
            .rest
            .strip_prefix("[:")
            .and_then(|name| name.find(":]"))
        {
            return self.copy(2 + end + 2);
        }
        if let [b'\\', letter, ..] = self.rest.as_bytes()
            && let Some(class) = ascii_class(*letter)
        {
            return self.replace(2, class);
        }
        if self.rest.starts_with(r"\p") || self.rest.starts_with(r"\P") {
            return self.character();
        }
        self.class_character();
        if let [b'-', next, ..] = self.rest.as_bytes()
            && *next != b']'
        {
            self.copy(1);
            self.class_character();
        }
    }

    /// Copies a character of a class, escaped if it means something here.
    fn class_character(&mut self) {
        if self.rest.starts_with(['[', ']', '&', '~', '-', '^']) {
            self.out.push('\\');
        }
        self.character();
    }

    /// Copies a character, or an escape with its argument in braces.
    fn character(&mut self) {
        let mut characters = self.rest.char_indices();
        let is_escape = characters.next().is_some_and(|(_, c)| c == '\\');
        if is_escape {
            characters.next();
        }
        let end = characters.offset();
        let has_argument =
            is_escape && matches!(self.rest.as_bytes()[1..end], [b'x' | b'p' | b'P']);
        match self.rest[end..].find('}') {
            Some(close) if has_argument && self.rest[end..].starts_with('{') => {
                self.copy(end + close + 1);
            }
            // `\x7f`; what is wrong about others is not for us to say.
            _ if has_argument && self.rest[1..].starts_with('x') => {
                let digits = self.rest[end..].bytes().take(2);
                let digits = digits.take_while(u8::is_ascii_hexdigit).count();
                self.copy(end + digits);
            }
            // `\pL`
            _ if has_argument => {
                let name = self.rest[end..].chars().next().map_or(0, char::len_utf8);
                self.copy(end + name);
            }
            _ => self.copy(end),
        }
    }

    fn copy(&mut self, length: usize) {
        let (copied, rest) = self.rest.split_at(length);
        self.out.push_str(copied);
        self.rest = rest;
    }

    fn replace(&mut self, length: usize, by: &str) {
        self.out.push_str(by);
        self.rest = &self.rest[length..];
    }
}

/// Returns what a backslash and `letter` stand for, if that is a class of ASCII or all but one.
///
/// Source: RE2's table of Perl classes.
fn ascii_class(letter: u8) -> Option<&'static str> {
    Some(match letter {
        b'd' => "[0-9]",
        b'D' => "[^0-9]",
        b's' => r"[\t\n\f\r ]",
        b'S' => r"[^\t\n\f\r ]",
        b'w' => "[0-9A-Za-z_]",
        b'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// Whether `text` begins with `{2}`, `{2,}` or `{2,3}`.
fn begins_repetition(text: &str) -> bool {
    let Some((inside, _)) = text[1..].split_once('}') else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match inside.split_once(',') {
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
        None => is_number(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::translated;
    use crate::matcher::compile_anchored;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let regex = compile_anchored(pattern).unwrap();
        let translation = translated(pattern);
        for value in matching {
            assert!(regex.is_match(value), "{translation} and {value:?}");
        }
        for value in other {
            assert!(!regex.is_match(value), "{translation} and {value:?}");
        }
    }

    #[test]
    fn escapes_are_about_ascii() {
        check(r"\d+", &["09"], &["٣", "x", ""]);
        check(r"\D", &["٣", "x", "\n"], &["3", "33"]);
        check(r"\w+", &["aZ_9"], &["é", "ſ", "-"]);
        check(r"\W", &["é", "-", "世"], &["a", "_"]);
        check(
            r"\s",
            &[" ", "\t", "\n", "\r", "\u{c}"],
            &["\u{a0}", "\u{b}"],
        );
        check(r"\S+", &["\u{a0}é\u{b}"], &[" ", "a b"]);
        check(r".\b.", &["a-", "aé"], &["ab", "éß"]);
        check(r".\B.", &["ab", "éß"], &["a-", "aé"]);
    }

    #[test]
    fn escapes_in_classes() {
        check(r"[\d.]+", &["1.2"], &["٣", "x"]);
        check(r"[^\d.]", &["٣", "x"], &["1", "."]);
        check(r"[\Dx1]", &["٣", "x", "1"], &["2"]);
        check(r"[^\W]", &["a"], &["é", "-"]);
        check(r"[\w-.]+", &["a-b.c"], &["a:b", "é"]);
        check(r"[\w-a]+", &["-"], &["!"]);
        check(r"[a-z\s-]+", &["a b-"], &["A"]);
        check(r"[]\d]+", &["]1"], &["\\"]);
        check(r"[^]\d]", &["x"], &["]", "1"]);
        assert!(compile_anchored(r"[+-\d]").is_err());
    }

    #[test]
    fn classes_have_no_operations() {
        check("[a[b]+", &["a[b"], &["]"]);
        check("[a&&b]+", &["a&b"], &["c"]);
        check("[a~~b]+", &["a~b"], &["c"]);
        check("[+--]+", &["+,-"], &["."]);
        check("[--0]+", &["-./0"], &["1"]);
        check("[a-]+", &["a-"], &["b"]);
        check("[-a]+", &["a-"], &["b"]);
        check("[[:alpha:]_]+", &["a_"], &["1", ":"]);
        check("[[:^alpha:]]", &["1"], &["a"]);
        check("[a^]+", &["a^"], &["b"]);
    }

    #[test]
    fn braces_and_flags_that_are_none() {
        check("a{|b{,2}", &["a{", "b{,2}"], &["a", "b"]);
        check("a{2}{", &["aa{"], &["a{2}{"]);
        check("a{1,}b{1,2}", &["aab", "abb"], &["a{1,}b"]);
        check("{x}", &["{x}"], &["x"]);
        check("(?)a", &["a"], &["(?)a"]);
    }

    #[test]
    fn backslashes_may_be_escaped() {
        check(r"\\d", &[r"\d"], &["1", r"\1"]);
        check(r"\\\d", &[r"\1"], &[r"\d"]);
        check(r"[\\d]+", &[r"\d"], &["1"]);
        check(r"\[\d]", &["[1]"], &["1"]);
        check(r"[\]\d]+", &["]1"], &["d"]);
    }

    #[test]
    fn the_rest_is_unicode_as_before() {
        check(".", &["é", "世", "\n"], &["éé"]);
        check("(?i)É.k", &["é世\u{212a}"], &["e.k"]);
        check(r"(?i)\w", &["K", "\u{212a}"], &["é"]);
        check(r"\pN", &["٣", "3"], &["x"]);
        check(r"\p{Greek}\P{Greek}", &["λx"], &["xx"]);
        check(r"\x{e9}\x41", &["éA"], &["eA"]);
        check(r"[\pN\x{e0}-\x{ef}\x41-\x43]+", &["٣éB"], &["D"]);
        check(r"[à-ï\d]+", &["é1"], &["þ"]);
        check(r"\d{2,3}\-\.", &["12-."], &["1-."]);
    }

    #[test]
    fn errors_stay_errors() {
        for pattern in [
            "[", "[a", "\\", "a\\", r"[\", r"\p", r"\p{", r"[\x{", r"\x", "[]", "[^]",
        ] {
            assert!(compile_anchored(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        /// Without what differs, a translation means the same.
        #[test]
        fn plain_classes_mean_the_same(pattern in r"(\[\^?[a-c]([a-c]|a-c|\\x62|\\.|é)*\]|[a-cé.]|\\pL|\\\\|\\\[|[*+?|]){0,6}", value in "[a-cé.\\\\\\[]{0,4}") {
            let plain = regex::Regex::new(&format!("^(?s:{pattern})$"));
            let ours = compile_anchored(&pattern);
            prop_assert_eq!(plain.is_ok(), ours.is_ok());
            if let (Ok(plain), Ok(ours)) = (plain, ours) {
                prop_assert_eq!(plain.is_match(&value), ours.is_match(&value));
            }
        }

        #[test]
        fn arbitrary_text_does_no_harm(pattern in r"(\\|\[|\]|\^|-|:|\{|\}|p|x|d|w|é|a){0,12}") {
            translated(&pattern);
        }
    }
}
