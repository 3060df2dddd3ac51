//! Parts of dates, counted year by year and month by month from 1970 on.

/// Returns the part `name` of a time in seconds since the epoch, a finite one. Adding zero takes a zero's sign away.
pub(super) fn part(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |t| (t / 60.0).floor().rem_euclid(60.0) + 0.0,
        "hour" => |t| (t / 3600.0).floor().rem_euclid(24.0) + 0.0,
        // The first day was a Thursday.
        "day_of_week" => |t| ((t / 86_400.0).floor() + 4.0).rem_euclid(7.0) + 0.0,
        "day_of_month" => |t| date(t).day,
        "day_of_year" => |t| date(t).day_of_year,
        "days_in_month" => |t| {
            let date = date(t);
            month_days(date.year, date.month)
        },
        "month" => |t| date(t).month,
        "year" => |t| date(t).year,
        _ => return None,
    })
}

/// Day, month and day of the year count from 1.
struct Date {
    year: f64,
    month: f64,
    day: f64,
    day_of_year: f64,
}

fn date(t: f64) -> Date {
    let mut days = (t.trunc() / 86_400.0).floor();
    let mut year = 1970.0;
    while days < 0.0 {
        year -= 1.0;
        days += year_days(year);
    }
    while year_days(year) <= days {
        days -= year_days(year);
        year += 1.0;
    }
    let (day_of_year, mut month) = (days + 1.0, 1.0);
    while month_days(year, month) <= days {
        days -= month_days(year, month);
        month += 1.0;
    }
    Date {
        year,
        month,
        day: days + 1.0,
        day_of_year,
    }
}

fn is_leap(year: f64) -> bool {
    year % 400.0 == 0.0 || year % 4.0 == 0.0 && year % 100.0 != 0.0
}

fn year_days(year: f64) -> f64 {
    if is_leap(year) { 366.0 } else { 365.0 }
}

fn month_days(year: f64, month: f64) -> f64 {
    if month == 2.0 {
        return year_days(year) - 337.0;
    }
    if [4.0, 6.0, 9.0, 11.0].contains(&month) {
        30.0
    } else {
        31.0
    }
}
