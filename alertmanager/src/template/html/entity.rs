//! Character references, as far as they matter inside of an attribute.

/// References to ASCII characters by name; the others stand for letters and signs that no script, style or URL is made of.
const NAMES: &[(&str, char)] = &[
    ("Tab;", '\t'),
    ("NewLine;", '\n'),
    ("excl;", '!'),
    ("quot;", '"'),
    ("QUOT;", '"'),
    ("num;", '#'),
    ("dollar;", '$'),
    ("percnt;", '%'),
    ("amp;", '&'),
    ("AMP;", '&'),
    ("apos;", '\''),
    ("lpar;", '('),
    ("rpar;", ')'),
    ("ast;", '*'),
    ("midast;", '*'),
    ("plus;", '+'),
    ("comma;", ','),
    ("period;", '.'),
    ("sol;", '/'),
    ("colon;", ':'),
    ("semi;", ';'),
    ("lt;", '<'),
    ("LT;", '<'),
    ("equals;", '='),
    ("gt;", '>'),
    ("GT;", '>'),
    ("quest;", '?'),
    ("commat;", '@'),
    ("lsqb;", '['),
    ("lbrack;", '['),
    ("bsol;", '\\'),
    ("rsqb;", ']'),
    ("rbrack;", ']'),
    ("Hat;", '^'),
    ("lowbar;", '_'),
    ("UnderBar;", '_'),
    ("grave;", '`'),
    ("DiacriticalGrave;", '`'),
    ("lcub;", '{'),
    ("lbrace;", '{'),
    ("verbar;", '|'),
    ("vert;", '|'),
    ("VerticalLine;", '|'),
    ("rcub;", '}'),
    ("rbrace;", '}'),
    ("nbsp;", '\u{a0}'),
    // These need no semicolon.
    ("quot", '"'),
    ("QUOT", '"'),
    ("amp", '&'),
    ("AMP", '&'),
    ("lt", '<'),
    ("LT", '<'),
    ("gt", '>'),
    ("GT", '>'),
    ("nbsp", '\u{a0}'),
];

/// Returns the text that `source` stands for: references by number, and by the names above.
pub(super) fn decode(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.iter().position(|&byte| byte == b'&') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let (decoded, len) = reference(rest).unwrap_or(('&', 0));
        out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[len..];
    }
    out.extend_from_slice(rest);
    out
}

/// Returns the character of the reference whose `&` was just before, and its length.
fn reference(rest: &[u8]) -> Option<(char, usize)> {
    if rest.first() == Some(&b'#') {
        return numeric(rest);
    }
    NAMES
        .iter()
        .find(|(name, _)| rest.starts_with(name.as_bytes()))
        .map(|(name, c)| (*c, name.len()))
}

fn numeric(rest: &[u8]) -> Option<(char, usize)> {
    let (radix, start) = match rest.get(1) {
        Some(b'x' | b'X') => (16, 2),
        _ => (10, 1),
    };
    let digits = rest[start..].iter();
    let digits = digits
        .take_while(|&&byte| char::from(byte).is_digit(radix))
        .count();
    if digits == 0 {
        return None;
    }
    let end = start + digits;
    let number = std::str::from_utf8(&rest[start..end]).ok()?;
    // Too large a number is no character either.
    let code = u32::from_str_radix(number, radix).unwrap_or(u32::MAX);
    let c = char::from_u32(code)
        .filter(|&c| c != '\0')
        .unwrap_or('\u{fffd}');
    let semicolon = usize::from(rest.get(end) == Some(&b';'));
    Some((c, end + semicolon))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn references() {
        let check = |source: &str, expected: &str| {
            assert_eq!(
                String::from_utf8(decode(source.as_bytes())).unwrap(),
                expected
            );
        };
        check(
            "a &quot;b&quot c &lpar;&#39;&#x27;&#X3c&#0;",
            "a \"b\" c (''<\u{fffd}",
        );
        check("& &; &# &#x &é &amp;amp;", "& &; &# &#x &é &amp;");
        check("&#99999999999;", "\u{fffd}");
    }
}
