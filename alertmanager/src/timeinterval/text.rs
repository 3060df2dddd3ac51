//! How time intervals are written.

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_saphyr::DoubleQuoted;

use super::{Location, Span, TimeInterval};

const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// An interval as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntervalText {
    times: Option<Vec<TimesText>>,
    weekdays: Option<Vec<String>>,
    days_of_month: Option<Vec<String>>,
    months: Option<Vec<String>>,
    years: Option<Vec<String>>,
    location: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimesText {
    start_time: Option<String>,
    end_time: Option<String>,
}

impl<'de> Deserialize<'de> for TimeInterval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = IntervalText::deserialize(deserializer)?;
        interval(&text).map_err(D::Error::custom)
    }
}

fn interval(text: &IntervalText) -> Result<TimeInterval, String> {
    let times = text.times.iter().flatten().map(times);
    Ok(TimeInterval {
        times: times.collect::<Result<_, _>>()?,
        weekdays: spans(text.weekdays.as_deref(), weekday)?
            .into_iter()
            .map(|span| in_order(span, "start day cannot be before end day"))
            .collect::<Result<_, _>>()?,
        days_of_month: spans(text.days_of_month.as_deref(), day_of_month)?
            .into_iter()
            .map(checked_days)
            .collect::<Result<_, _>>()?,
        months: spans(text.months.as_deref(), month)?
            .into_iter()
            .map(|span| {
                let name = |month: i32| {
                    let name = usize::try_from(month.saturating_sub(1))
                        .ok()
                        .and_then(|at| MONTHS.get(at));
                    name.map_or_else(|| month.to_string(), |name| (*name).to_owned())
                };
                let (end, start) = (name(span.end), name(span.begin));
                in_order(
                    span,
                    &format!("end month {end} is before start month {start}"),
                )
            })
            .collect::<Result<_, _>>()?,
        years: spans(text.years.as_deref(), year)?
            .into_iter()
            .map(|span| {
                let what = format!("end year {} is before start year {}", span.end, span.begin);
                in_order(span, &what)
            })
            .collect::<Result<_, _>>()?,
        location: text.location.as_deref().map(Location::new).transpose()?,
    })
}

fn spans(
    texts: Option<&[String]>,
    number: fn(&str) -> Result<i32, String>,
) -> Result<Vec<Span>, String> {
    let texts = texts.unwrap_or_default().iter();
    texts
        .map(|text| {
            // Case does not matter.
            let text = text.to_lowercase();
            match text.split_once(':') {
                Some((_, end)) if end.contains(':') => {
                    Err(format!("couldn't parse range {text}, invalid format"))
                }
                Some((begin, end)) => Ok(Span {
                    begin: number(begin)?,
                    end: number(end)?,
                }),
                None => {
                    let begin = number(&text)?;
                    Ok(Span { begin, end: begin })
                }
            }
        })
        .collect()
}

fn in_order(span: Span, otherwise: &str) -> Result<Span, String> {
    if span.end < span.begin {
        return Err(otherwise.to_owned());
    }
    Ok(span)
}

fn weekday(text: &str) -> Result<i32, String> {
    position(&WEEKDAYS, text).ok_or_else(|| format!("{text} is not a valid weekday"))
}

fn month(text: &str) -> Result<i32, String> {
    let by_name = position(&MONTHS, text).map(|month| month + 1);
    // As in Alertmanager any number is taken; one that no month has is never there.
    let number = by_name.or_else(|| text.parse().ok());
    number.ok_or_else(|| format!("{text} is not a valid month"))
}

fn position(names: &[&str], name: &str) -> Option<i32> {
    let at = names.iter().position(|known| *known == name)?;
    i32::try_from(at).ok()
}

fn year(text: &str) -> Result<i32, String> {
    text.parse()
        .map_err(|_| format!("{text} is not a valid year"))
}

fn day_of_month(text: &str) -> Result<i32, String> {
    text.parse()
        .map_err(|_| format!("{text} is not a valid day of the month"))
}

fn checked_days(span: Span) -> Result<Span, String> {
    for day in [span.begin, span.end] {
        if day == 0 || !(-31..=31).contains(&day) {
            return Err(format!(
                "{day} is not a valid day of the month: out of range"
            ));
        }
    }
    if span.begin < 0 && 0 < span.end {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    // In the longest month; shorter ones clamp.
    let in_longest = |day: i32| if day < 0 { 31 + day + 1 } else { day };
    if in_longest(span.end) < in_longest(span.begin) {
        return Err(format!(
            "end day {} is always before start day {}",
            span.end, span.begin
        ));
    }
    Ok(span)
}

fn times(text: &TimesText) -> Result<Span, String> {
    let given = |time: &Option<String>| time.clone().filter(|time| !time.is_empty());
    let (Some(start), Some(end)) = (given(&text.start_time), given(&text.end_time)) else {
        return Err("both start and end times must be provided".to_owned());
    };
    let (begin, end) = (minute(&start)?, minute(&end)?);
    if end <= begin {
        return Err("start time cannot be equal or greater than end time".to_owned());
    }
    Ok(Span { begin, end })
}

/// Reads `HH:MM`, both with two digits.
fn minute(text: &str) -> Result<i32, String> {
    let parse = || {
        let (hour, minute) = text.split_once(':')?;
        let two_digits = |part: &str| -> Option<i32> {
            let is_right = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            is_right.then(|| part.parse().ok()).flatten()
        };
        let minutes = two_digits(hour)? * 60 + two_digits(minute)?;
        (two_digits(minute)? < 60 && minutes <= 24 * 60).then_some(minutes)
    };
    parse().ok_or_else(|| format!("couldn't parse timestamp {text}, invalid format"))
}

#[derive(Serialize)]
struct Times {
    start_time: DoubleQuoted<String>,
    end_time: DoubleQuoted<String>,
}

impl Serialize for TimeInterval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.times.is_empty() {
            let time = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
            let times = self.times.iter().map(|span| Times {
                start_time: DoubleQuoted(time(span.begin)),
                end_time: DoubleQuoted(time(span.end)),
            });
            map.serialize_entry("times", &times.collect::<Vec<_>>())?;
        }
        let weekday = |day: i32| {
            let name = usize::try_from(day).ok().and_then(|day| WEEKDAYS.get(day));
            name.map_or_else(String::new, |name| (*name).to_owned())
        };
        let number = |number: i32| number.to_string();
        entry(&mut map, "weekdays", &self.weekdays, weekday)?;
        entry(&mut map, "days_of_month", &self.days_of_month, number)?;
        entry(&mut map, "months", &self.months, number)?;
        entry(&mut map, "years", &self.years, number)?;
        if let Some(location) = &self.location {
            map.serialize_entry("location", location.name())?;
        }
        map.end()
    }
}

fn entry<M: SerializeMap>(
    map: &mut M,
    key: &str,
    spans: &[Span],
    print: impl Fn(i32) -> String,
) -> Result<(), M::Error> {
    if spans.is_empty() {
        return Ok(());
    }
    let spans = spans.iter().map(|span| {
        if span.begin == span.end {
            print(span.begin)
        } else {
            format!("{}:{}", print(span.begin), print(span.end))
        }
    });
    map.serialize_entry(key, &spans.collect::<Vec<_>>())
}
