//! Query strings and form bodies: pairs of names and values, escaped with percent signs.
//!
//! A pair that cannot be decoded, or has a semicolon, is passed over, as Go's servers do.

/// Appends the pairs of `a=b&c=d` that can be decoded; bytes that are not UTF-8 are replaced.
pub fn append_pairs(pairs: &mut Vec<(String, String)>, text: &[u8]) {
    for pair in text
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty() && !pair.contains(&b';'))
    {
        let equals = pair
            .iter()
            .position(|&byte| byte == b'=')
            .unwrap_or(pair.len());
        let (name, value) = (&pair[..equals], pair.get(equals + 1..).unwrap_or_default());
        if let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            pairs.push((text(name), text(value)));
        }
    }
}

/// Decodes `%41` and, if `plus_is_space`, `+`; `None` when a percent sign is not followed by two hexadecimal digits.
pub fn decode(text: &[u8], plus_is_space: bool) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        decoded.push(match byte {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                rest = tail;
                u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => *byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_is_passed_over() {
        let mut pairs = Vec::new();
        append_pairs(&mut pairs, b"a=1+2&b=%41&c=%zz&d;e&f&=g&h=%e9");
        let expected = [
            ("a", "1 2"),
            ("b", "A"),
            ("f", ""),
            ("", "g"),
            ("h", "\u{fffd}"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expected);
        assert_eq!(decode(b"a+b%2", false), None);
        assert_eq!(decode(b"a+b", false), Some(b"a+b".to_vec()));
    }
}
