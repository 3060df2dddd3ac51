//! Go's layouts of times: the reference moment `Mon Jan 2 15:04:05 MST 2006` written as the time is wanted.
//!
//! Source: documentation of Go's package `time`, "Layout".

use std::fmt::Write as _;

use jiff::Zoned;

/// What a part of a layout stands for; the longest that fits is meant, in this order.
const PARTS: &[(&str, Part)] = &[
    ("January", Part::Strftime("%B")),
    ("Jan", Part::Word("%b")),
    ("Monday", Part::Strftime("%A")),
    ("Mon", Part::Word("%a")),
    ("MST", Part::Strftime("%Z")),
    ("2006", Part::Strftime("%Y")),
    ("01", Part::Strftime("%m")),
    ("002", Part::Strftime("%j")),
    ("02", Part::Strftime("%d")),
    ("03", Part::Strftime("%I")),
    ("04", Part::Strftime("%M")),
    ("05", Part::Strftime("%S")),
    ("06", Part::Strftime("%y")),
    ("15", Part::Strftime("%H")),
    ("__2", Part::Strftime("%_3j")),
    // An underscore and the year.
    ("_2006", Part::Strftime("_%Y")),
    ("_2", Part::Strftime("%e")),
    ("1", Part::Strftime("%-m")),
    ("2", Part::Strftime("%-d")),
    ("3", Part::Strftime("%-I")),
    ("4", Part::Strftime("%-M")),
    ("5", Part::Strftime("%-S")),
    ("PM", Part::Strftime("%p")),
    ("pm", Part::Strftime("%P")),
    ("-07:00:00", Part::Zone(false, "%::z")),
    ("-070000", Part::Zone(false, "%z%S")),
    ("-07:00", Part::Zone(false, "%:z")),
    ("-0700", Part::Zone(false, "%z")),
    ("-07", Part::Zone(false, "%:::z")),
    ("Z07:00:00", Part::Zone(true, "%::z")),
    ("Z070000", Part::Zone(true, "%z%S")),
    ("Z07:00", Part::Zone(true, "%:z")),
    ("Z0700", Part::Zone(true, "%z")),
    ("Z07", Part::Zone(true, "%:::z")),
];

#[derive(Clone, Copy)]
enum Part {
    /// What jiff calls so.
    Strftime(&'static str),
    /// The same, unless a lower-case letter follows.
    Word(&'static str),
    /// The offset from UTC, with `Z` for none if so.
    Zone(bool, &'static str),
}

/// Returns `time` as `layout` has it.
pub(super) fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = fraction(rest) {
            append_fraction(&mut out, time, &rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let part = PARTS.iter().find(|(text, part)| {
            let follows = rest.strip_prefix(text);
            let is_longer = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
            follows.is_some_and(|rest| !matches!(part, Part::Word(_)) || !is_longer(rest))
        });
        match part {
            Some((text, part)) => {
                append(&mut out, time, *part);
                rest = &rest[text.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

fn append(out: &mut String, time: &Zoned, part: Part) {
    let offset = time.offset().seconds();
    match part {
        Part::Zone(true, _) if offset == 0 => out.push('Z'),
        Part::Zone(_, "%z%S") => {
            let seconds = offset.unsigned_abs() % 60;
            let _ = write!(out, "{}{seconds:02}", time.strftime("%z"));
        }
        Part::Zone(_, "%:::z") => {
            let sign = if offset < 0 { '-' } else { '+' };
            let _ = write!(out, "{sign}{:02}", offset.unsigned_abs() / 3_600);
        }
        Part::Strftime("%_3j") => {
            let _ = write!(out, "{:>3}", time.day_of_year());
        }
        Part::Strftime(name) | Part::Word(name) | Part::Zone(_, name) => {
            let _ = write!(out, "{}", time.strftime(name));
        }
    }
}

/// Returns how long the fraction of a second is that `layout` begins with: a point or comma, then zeros or nines.
fn fraction(layout: &str) -> Option<usize> {
    let digits = layout.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|&c| c == digit).count();
    let after = digits[count..].chars().next();
    (!after.is_some_and(|c| c.is_ascii_digit())).then_some(1 + count)
}

fn append_fraction(out: &mut String, time: &Zoned, layout: &str) {
    let all = format!("{:09}", time.subsec_nanosecond());
    let mut digits = &all[..(layout.len() - 1).min(9)];
    if layout.ends_with('9') {
        digits = digits.trim_end_matches('0');
    }
    if !digits.is_empty() {
        out.push_str(&layout[..1]);
        out.push_str(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(layout: &str, expected: &str) {
        let time: Zoned = "2026-11-26T05:06:58.254[America/New_York]".parse().unwrap();
        assert_eq!(format(&time, layout), expected, "{layout}");
    }

    #[test]
    fn layouts() {
        check(
            "Jan _2 2006 3:4:5.999 pm 002 __2 _2006 Z07:00 -07 Monday Mon Janx January 06 1 01",
            "Nov 26 2026 5:6:58.254 am 330 330 _2026 -05:00 -05 Thursday Thu Janx November 26 11 11",
        );
        check("2006-01-02T15:04:05Z07:00", "2026-11-26T05:06:58-05:00");
        check("15:04:05.000000 MST -0700", "05:06:58.254000 EST -0500");
        check("05,00 .9 .x .05", "58,25 .2 .x .58");
        check("-070000 Z07:00:00", "-050000 -05:00:00");
        check("é 03:04PM", "é 05:06AM");
        let utc: Zoned = "2026-03-01T00:00:00[UTC]".parse().unwrap();
        assert_eq!(format(&utc, "Z07 Z0700 -07:00 .999|"), "Z Z +00:00 |");
    }
}
