//! ISO 8601 dates and times as epoch milliseconds.
//!
//! By hand, because it is all that the pure crate needs of a calendar: `2017-08-30`,
//! `2017-08-30T20:47:33`, with a fraction of a second, with `Z` or an offset (none is UTC).
//! Days are counted by the era formula of Howard Hinnant's `days_from_civil`.

/// Milliseconds since 1970, or `None` where the text is no such date.
pub(crate) fn parse_iso_ms(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    let is_date = parts.next().is_none()
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day);
    if !is_date {
        return None;
    }
    let of_day = time.map_or(Some(0), time_ms)?;
    Some(days_from_civil(year, month, day) * 86_400_000 + of_day)
}

/// `20:47:33.250+02:00` as milliseconds since the day's beginning in UTC.
fn time_ms(text: &str) -> Option<i64> {
    let (clock, offset_minutes) = split_offset(text)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |part| digits(part, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = (hour * 60 + minute - offset_minutes) * 60 + second;
    Some(seconds * 1000 + fraction_ms(fraction)?)
}

/// Takes `Z` or `+02:00` off the end.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, 0));
    };
    let (clock, offset) = text.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let offset = offset.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match offset.split_once(':') {
        Some((hours, minutes)) => (digits(hours, 2)?, digits(minutes, 2)?),
        None if offset.len() == 4 => {
            let both = digits(offset, 4)?;
            (both / 100, both % 100)
        }
        None => (digits(offset, 2)?, 0),
    };
    (hours < 24 && minutes < 60).then_some((clock, sign * (hours * 60 + minutes)))
}

/// The first three digits behind the point; the rest must be digits too.
fn fraction_ms(text: &str) -> Option<i64> {
    if text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.bytes().chain(*b"000").take(3).fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0')))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let are_digits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_milliseconds() {
        let check = |text, expected| assert_eq!(parse_iso_ms(text), expected, "{text}");
        check("1970-01-01", Some(0));
        check("1969-12-31T23:59:59.999Z", Some(-1));
        check("2017-08-30T20:47:33Z", Some(1_504_126_053_000));
        check("2017-08-30T20:47:33", Some(1_504_126_053_000));
        check("2017-08-30T22:47:33.25+02:00", Some(1_504_126_053_250));
        check("2017-08-30T15:17:33-0530", Some(1_504_126_053_000));
        check("2000-02-29", Some(951_782_400_000));
        check("2016-03-01T00:00Z", Some(1_456_790_400_000));
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "2017",
            "2017-02-29",
            "2017-13-01",
            "17-01-01",
            "2017-01-01T",
            "2017-01-01T24:00Z",
            "2017-01-01T10:00:00.x",
            "2017-01-01T10:00+1",
            "now",
            "2017-01-01T10:00+99:00",
        ] {
            assert_eq!(parse_iso_ms(text), None, "{text}");
        }
    }
}
