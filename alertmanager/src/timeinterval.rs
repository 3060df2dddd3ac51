//! Time intervals: which instants are business hours, weekends, maintenance windows.
//!
//! An interval is a list of ranges per field; an instant is inside if each field that is given has a range with it. What a
//! field means is decided in the interval's location.
//!
//! Source: Alertmanager configuration documentation, `<time_interval_spec>`.

mod text;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// One set of conditions; all must hold. A field without ranges holds always.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TimeInterval {
    /// Minutes of the day from 0, the end exclusive, at most 1440.
    pub times: Vec<Span>,
    /// Days of the week, 0 is Sunday, both ends inclusive.
    pub weekdays: Vec<Span>,
    /// Days of the month from 1; negative ones count from the end, -1 is the last. Both ends inclusive.
    pub days_of_month: Vec<Span>,
    /// Months from 1, both ends inclusive.
    pub months: Vec<Span>,
    /// Years, both ends inclusive.
    pub years: Vec<Span>,
    /// The time zone by its name; UTC, if not given.
    pub location: Option<Location>,
}

/// A range of whole numbers; whether the end is part of it is up to the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub begin: i32,
    /// The last, or the one after it.
    pub end: i32,
}

impl Span {
    fn has(self, number: i32) -> bool {
        self.begin <= number && number <= self.end
    }
}

/// A time zone and the name that it was asked for by.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    name: String,
    zone: TimeZone,
}

impl Location {
    /// Returns the time zone `name` of the IANA database; `Local` is the system's.
    ///
    /// # Errors
    ///
    /// When there is no such time zone.
    pub fn new(name: &str) -> Result<Self, String> {
        let zone = match name {
            "" | "UTC" => TimeZone::UTC,
            "Local" => TimeZone::system(),
            name => TimeZone::get(name).map_err(|_| {
                format!("unknown time zone {name} (IANA names such as Europe/Berlin are known)")
            })?,
        };
        Ok(Location {
            name: name.to_owned(),
            zone,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl TimeInterval {
    /// Returns whether the instant, milliseconds since the epoch, is inside.
    pub fn contains(&self, at_ms: i64) -> bool {
        let Ok(timestamp) = Timestamp::from_millisecond(at_ms) else {
            return false;
        };
        let zone = self
            .location
            .as_ref()
            .map_or(TimeZone::UTC, |location| location.zone.clone());
        let at = timestamp.to_zoned(zone);
        let any = |spans: &[Span], number: i32| {
            spans.is_empty() || spans.iter().any(|span| span.has(number))
        };
        let minute = i32::from(at.hour()) * 60 + i32::from(at.minute());
        let is_in_times = self.times.is_empty()
            || self
                .times
                .iter()
                .any(|span| span.begin <= minute && minute < span.end);
        is_in_times
            && self.has_day_of_month(&at)
            && any(&self.months, i32::from(at.month()))
            && any(
                &self.weekdays,
                i32::from(at.weekday().to_sunday_zero_offset()),
            )
            && any(&self.years, i32::from(at.year()))
    }

    fn has_day_of_month(&self, at: &Zoned) -> bool {
        let day = i32::from(at.day());
        let days = i32::from(at.days_in_month());
        // Days past the end of the month are clamped to it, on either side.
        let from_start = |day: i32| if day < 0 { days + day + 1 } else { day };
        self.days_of_month.is_empty()
            || self.days_of_month.iter().any(|span| {
                let begin = from_start(span.begin);
                let end = from_start(span.end).min(days);
                begin <= days && begin <= day && day <= end
            })
    }
}

/// Returns whether any of the intervals has the instant, milliseconds since the epoch.
pub fn any_contains(intervals: &[TimeInterval], at_ms: i64) -> bool {
    intervals.iter().any(|interval| interval.contains(at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::conformance;

    fn parse(yaml: &str) -> Result<TimeInterval, String> {
        crate::yaml::from_str(yaml).map_err(|error| crate::yaml::message(&error))
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[track_caller]
    fn check(yaml: &str, inside: &[&str], outside: &[&str]) {
        let interval = parse(yaml).unwrap();
        for at in inside {
            assert!(interval.contains(ms(at)), "{yaml} has {at}");
        }
        for at in outside {
            assert!(!interval.contains(ms(at)), "{yaml} has not {at}");
        }
    }

    #[test]
    fn ends() {
        check(
            "times: [{start_time: '09:00', end_time: '24:00'}]",
            &["2024-01-01T09:00:00Z", "2024-01-01T23:59:59Z"],
            &["2024-01-01T08:59:59Z", "2024-01-02T00:00:00Z"],
        );
        check(
            "weekdays: ['Saturday', sunday]",
            &["2024-01-06T12:00:00Z", "2024-01-07T12:00:00Z"],
            &["2024-01-08T00:00:00Z"],
        );
    }

    #[test]
    fn days_are_clamped_to_the_month() {
        check(
            "days_of_month: ['29:31']",
            &["2024-02-29T12:00:00Z", "2023-01-30T12:00:00Z"],
            &["2023-02-28T12:00:00Z"],
        );
        check(
            "days_of_month: ['-31:-28']",
            &["2023-02-01T12:00:00Z"],
            &["2023-02-02T12:00:00Z"],
        );
        check(
            "days_of_month: ['-3:-1']",
            &["2023-02-26T12:00:00Z", "2023-02-28T12:00:00Z"],
            &["2023-02-25T12:00:00Z"],
        );
    }

    #[test]
    fn locations_have_their_summer_time() {
        check(
            "{times: [{start_time: '09:00', end_time: '10:00'}], location: Europe/Berlin}",
            &["2024-07-01T07:30:00Z", "2024-12-01T08:30:00Z"],
            &["2024-07-01T08:30:00Z", "2024-12-01T07:30:00Z"],
        );
        assert!(
            parse("location: Europe/Nowhere")
                .unwrap_err()
                .contains("unknown time zone Europe/Nowhere")
        );
    }

    #[test]
    fn what_is_printed_reads_the_same() {
        for yaml in [
            "{times: [{start_time: '09:05', end_time: '24:00'}], weekdays: ['monday:friday', sunday]}",
            "{days_of_month: ['1:-1', '-2', '7'], months: ['January:march', '12'], years: ['2020:2022', '2024'], location: Asia/Tokyo}",
        ] {
            let interval = parse(yaml).unwrap();
            let printed = serde_saphyr::to_string(&interval).unwrap();
            assert_eq!(parse(&printed).unwrap(), interval, "{printed}");
        }
    }

    #[test]
    fn intervals_are_as_in_alertmanager() {
        let Some(directory) = conformance("alertmanager") else {
            return;
        };
        let cases = std::fs::read_to_string(directory.join("time-intervals.jsonl")).unwrap();
        let mut surprises = Vec::new();
        for line in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let intervals: Result<Vec<_>, _> = case["intervals"]
                .as_array()
                .unwrap()
                .iter()
                .map(|interval| parse(&interval.to_string()))
                .collect();
            let instants = |key: &str| -> Vec<i64> {
                let list = case[key].as_array();
                list.map(|list| list.iter().map(|at| ms(at.as_str().unwrap())).collect())
                    .unwrap_or_default()
            };
            let is_right = match (intervals, case["error"].as_str()) {
                (Ok(intervals), None) => {
                    let has = |at: &i64| any_contains(&intervals, *at);
                    instants("contains").iter().all(has) && !instants("excludes").iter().any(has)
                }
                (Err(error), Some(expected)) => error.contains(expected),
                _ => false,
            };
            if !is_right {
                surprises.push(line.to_owned());
            }
        }
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    }
}
