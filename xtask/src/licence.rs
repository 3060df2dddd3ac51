//! Licence expressions: SPDX's `AND`, `OR`, `WITH` and parentheses, and the old `/` for `OR`.

use std::collections::BTreeSet;

/// Returns whether the expression can be met with the allowed licences alone.
///
/// `X WITH Y` counts as X, as an exception only gives more; what cannot be read is not allowed.
pub(crate) fn allows(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader {
        words: &words,
        allowed,
    };
    reader.any() == Some(true) && reader.words.is_empty()
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a BTreeSet<String>,
}

impl Reader<'_> {
    /// `all { OR all }`; `None` if it cannot be read.
    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    /// `one { AND one }`.
    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    /// A licence, perhaps with an exception, or an expression in parentheses.
    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let met = self.allowed.contains(self.next()?);
        if self.take("WITH") {
            self.next()?;
        }
        Some(met)
    }

    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        let allowed = ["MIT", "ISC"].map(str::to_owned).into();
        assert_eq!(allows(expression, &allowed), expected, "{expression}");
    }

    #[test]
    fn one_licence_is_allowed_or_not() {
        check("MIT", true);
        check("GPL-3.0", false);
        check("MIT WITH LLVM-exception", true);
    }

    #[test]
    fn or_needs_one_and_needs_all() {
        check("GPL-3.0 OR MIT", true);
        check("GPL-3.0/MIT", true);
        check("GPL-3.0 AND MIT", false);
        check("ISC AND MIT", true);
    }

    #[test]
    fn and_binds_tighter_than_or() {
        check("MIT OR GPL-3.0 AND ISC", true);
        check("(MIT OR GPL-3.0) AND GPL-2.0", false);
        check("(GPL-3.0 OR MIT) AND ISC", true);
    }

    #[test]
    fn what_cannot_be_read_is_not_allowed() {
        check("", false);
        check("MIT MIT", false);
        check("(MIT", false);
        check("MIT OR", false);
    }
}
