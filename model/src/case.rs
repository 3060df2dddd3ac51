//! Letters in upper and lower case, one for one.
//!
//! Users know these from programs in Go, where case changes letter by letter: `ß` has no upper case of one letter and stays
//! as it is, and `Σ` becomes `σ` wherever it stands.
//!
//! Source: `strings.ToUpper` and `strings.ToLower` of Go; the simple mappings of the
//! [Unicode character database](https://www.unicode.org/reports/tr44/).

/// Returns `text` with each letter in upper case.
pub fn upper(text: &str) -> String {
    text.chars().map(upper_letter).collect()
}

/// Returns `text` with each letter in lower case.
pub fn lower(text: &str) -> String {
    // Only `İ` has a lower case of several letters; the first of them is its simple one.
    text.chars()
        .map(|letter| letter.to_lowercase().next().unwrap_or(letter))
        .collect()
}

fn upper_letter(letter: char) -> char {
    let mut mapped = letter.to_uppercase();
    let first = mapped.next().unwrap_or(letter);
    if mapped.next().is_none() {
        return first;
    }
    // Greek letters with an iota below have a simple upper case beside the one of two letters.
    let simple = match u32::from(letter) {
        code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => code + 8,
        code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => code + 9,
        code => code,
    };
    char::from_u32(simple).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_map_one_for_one() {
        assert_eq!(upper("aÄß-ŉ1ǰ"), "AÄß-ŉ1ǰ");
        assert_eq!(
            upper("\u{1f80}\u{1fb3}\u{1ff3}\u{1fb6}"),
            "\u{1f88}\u{1fbc}\u{1ffc}\u{1fb6}"
        );
        assert_eq!(lower("ÄẞİΑΣ FOO"), "äßiασ foo");
        assert_eq!(upper(""), "");
    }
}
