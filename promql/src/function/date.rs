//! Parts of dates, in UTC.

use super::{Calling, conversion};
use crate::error::QueryError;
use crate::operator::map;
use crate::row::{BoxRows, Scalar};

const DAY: i64 = 86_400;

/// Returns the function `name` of seconds since the epoch, if it is one of this module.
pub(super) fn part(name: &str) -> Option<fn(i64) -> i64> {
    Some(match name {
        "minute" => |t| t.rem_euclid(3600) / 60,
        "hour" => |t| t.rem_euclid(DAY) / 3600,
        // The epoch was a Thursday; Sunday is 0.
        "day_of_week" => |t| (t.div_euclid(DAY) + 4).rem_euclid(7),
        "day_of_month" => |t| civil(t).2,
        "day_of_year" => |t| t.div_euclid(DAY) - days_before(civil(t).0, 1) + 1,
        "days_in_month" => |t| {
            let (year, month, _) = civil(t);
            let next = if month == 12 {
                days_before(year + 1, 1)
            } else {
                days_before(year, month + 1)
            };
            next - days_before(year, month)
        },
        "month" => |t| civil(t).1,
        "year" => |t| civil(t).0,
        _ => return None,
    })
}

/// `hour(v)` and its like; without an argument of the step's time.
pub(super) fn rows(call: Calling<'_>, part: fn(i64) -> i64) -> Result<BoxRows<'_>, QueryError> {
    let steps = call.steps;
    if call.node.args.is_empty() {
        let of_step = |step| part(steps.time(step).div_euclid(1000)) as f64;
        let values = (0..steps.count).map(of_step).collect();
        return conversion::vector(call, Scalar::Column(values));
    }
    map::floats(
        call.context,
        call.vector(0)?,
        steps.count,
        move |_, value| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, and no calendar reaches that far"
            )]
            let seconds = (value as i64).clamp(-1 << 48, 1 << 48);
            part(seconds) as f64
        },
    )
}

/// Year, month and day of a time in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on the first of March, so that leap days come last.
fn civil(seconds: i64) -> (i64, i64, i64) {
    let days = seconds.div_euclid(DAY) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from the epoch to the first day of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month <= 2 { month + 9 } else { month - 3 };
    let day = (153 * month + 2) / 5;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(951_782_400), (2000, 2, 29));
        assert_eq!(civil(-1), (1969, 12, 31));
        let part = |name, t| part(name).unwrap()(t);
        assert_eq!(part("day_of_week", 0), 4);
        assert_eq!(part("day_of_year", 951_868_800), 61);
        assert_eq!(part("days_in_month", 951_782_400), 29);
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(seconds in -60_000_000_000i64..250_000_000_000) {
            let time = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let part = |name| part(name).unwrap()(seconds);
            prop_assert_eq!(part("year"), i64::from(time.year()));
            prop_assert_eq!(part("month"), i64::from(time.month()));
            prop_assert_eq!(part("day_of_month"), i64::from(time.day()));
            prop_assert_eq!(part("day_of_year"), i64::from(time.day_of_year()));
            prop_assert_eq!(part("days_in_month"), i64::from(time.days_in_month()));
            prop_assert_eq!(part("day_of_week"), i64::from(time.weekday().to_sunday_zero_offset()));
            prop_assert_eq!(part("hour"), i64::from(time.hour()));
            prop_assert_eq!(part("minute"), i64::from(time.minute()));
        }
    }
}
