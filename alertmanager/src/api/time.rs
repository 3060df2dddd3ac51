//! Times of the API: RFC 3339, and the shorter forms that Alertmanager takes.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Returns a moment as RFC 3339 in UTC with three decimals.
pub(crate) fn print(ms: i64) -> String {
    let time = EPOCH.saturating_add(SignedDuration::from_millis(ms));
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Reads `2006-01-02T15:04:05.999Z`, with another zone, without one (UTC), without seconds, or a date alone. Nothing at all
/// is the epoch. Returns milliseconds since the epoch.
///
/// # Errors
///
/// What is wrong, in Go's words for a date.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let moment = text.split_once('T').and_then(|(date, time)| {
        let date = date_of(date).ok()?;
        moment(date, time)
    });
    match moment {
        Some(ms) => Ok(ms),
        None => {
            let date =
                date_of(text).map_err(|why| format!("parsing time {}{why}", quoted(text)))?;
            to_ms(date.at(0, 0, 0, 0), 0).ok_or_else(|| format!("parsing time {}", quoted(text)))
        }
    }
}

fn quoted(text: &str) -> model::name::Quoted<'_> {
    model::name::Quoted(text)
}

fn number<T: std::str::FromStr>(text: &str, digits: usize) -> Option<T> {
    let is_number = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Reads a date; the error is what Go's `time.Parse` adds to the text.
fn date_of(text: &str) -> Result<Date, String> {
    let cannot = |rest: &str, layout: &str| {
        format!(
            " as \"2006-01-02\": cannot parse {} as \"{layout}\"",
            quoted(rest)
        )
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let year: i16 = part(0, 4)
        .and_then(|year| number(year, 4))
        .ok_or_else(|| cannot(text, "2006"))?;
    for (from, to, layout) in [(4, 5, "-"), (7, 8, "-")] {
        if from == 7 {
            let month: Option<i8> = part(5, 7).and_then(|month| number(month, 2));
            match month {
                None => return Err(cannot(text.get(5..).unwrap_or_default(), "01")),
                Some(1..=12) => {}
                Some(_) => return Err(": month out of range".to_owned()),
            }
        }
        if part(from, to) != Some("-") {
            return Err(cannot(text.get(from..).unwrap_or_default(), layout));
        }
    }
    let month = part(5, 7).and_then(|month| number(month, 2)).unwrap_or(1);
    let day: i8 = part(8, 10)
        .and_then(|day| number(day, 2))
        .ok_or_else(|| cannot(text.get(8..).unwrap_or_default(), "02"))?;
    let date = Date::new(year, month, day).map_err(|_| ": day out of range".to_owned())?;
    match text.get(10..) {
        None | Some("") => Ok(date),
        Some(extra) => Err(format!(": extra text: {}", quoted(extra))),
    }
}

/// Reads what follows the `T`.
fn moment(date: Date, text: &str) -> Option<i64> {
    let (clock, offset_s) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => match text.rfind(['+', '-']) {
            None => (text, 0),
            Some(at) => {
                let (clock, zone) = text.split_at(at);
                let digits = zone[1..].replace(':', "");
                let hours: i64 = number(digits.get(..2)?, 2)?;
                let minutes: i64 = number(digits.get(2..)?, 2)?;
                let offset_s = 3_600 * hours + 60 * minutes;
                (
                    clock,
                    if zone.starts_with('-') {
                        -offset_s
                    } else {
                        offset_s
                    },
                )
            }
        },
    };
    let (clock, decimals) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let hour: i8 = number(parts.next()?, 2)?;
    let minute: i8 = number(parts.next()?, 2)?;
    let second: i8 = match parts.next() {
        Some(second) => number(second, 2)?,
        None => 0,
    };
    if parts.next().is_some() || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let decimals = format!("{:0<9}", decimals.get(..9).unwrap_or(decimals));
    let time = Time::new(hour, minute, second, decimals.parse().ok()?).ok()?;
    to_ms(date.to_datetime(time), offset_s)
}

fn to_ms(time: DateTime, offset_s: i64) -> Option<i64> {
    let ms = i64::try_from(time.duration_since(EPOCH).as_millis()).ok()?;
    Some(ms - 1_000 * offset_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, ms) in [
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("1970-01-01T00:00:01.0004567899Z", 1_000),
            ("1970-01-01T02:00:01+02:00", 1_000),
            ("1970-01-01T00:00:01-0100", 3_601_000),
            ("1970-01-01T00:00:01", 1_000),
            ("1970-01-01T00:01", 60_000),
            ("1970-01-02", 86_400_000),
            ("0001-01-01T00:00:00Z", crate::alert::ZERO_TIME_MS),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            ("", 0),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        assert_eq!(print(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(print(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(print(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(print(1_772_359_200_100), "2026-03-01T10:00:00.100Z");
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(parse(text), Err(format!("parsing time {expected}")));
    }

    #[test]
    fn faults() {
        check_error(
            "yesterday",
            "\"yesterday\" as \"2006-01-02\": cannot parse \"yesterday\" as \"2006\"",
        );
        check_error(
            "2026-13-01T00:00:00Z",
            "\"2026-13-01T00:00:00Z\": month out of range",
        );
        check_error(
            "2026-12-01T00:00:00X",
            "\"2026-12-01T00:00:00X\": extra text: \"T00:00:00X\"",
        );
        check_error("2026-02-30", "\"2026-02-30\": day out of range");
        check_error(
            "2026/01/01",
            "\"2026/01/01\" as \"2006-01-02\": cannot parse \"/01/01\" as \"-\"",
        );
        for text in [
            "2026-01-01T25:00:00Z",
            "2026-01-01T",
            "é",
            "2026-01-01T00:00:00+1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
