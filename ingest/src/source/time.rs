//! Times, offsets and durations as sources and mappings write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::Offset;
use std::time::Duration;

/// How a source writes times.
#[derive(Clone, Debug)]
pub(crate) struct TimeFormat {
    form: Form,
    /// Of times that do not say theirs.
    offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Milliseconds,
    Seconds,
    Iso8601,
    Strftime(Box<str>),
}

/// What is wrong with a description of times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeFormatError {
    #[error("unknown time format \"{0}\": expected ms, s, iso8601, or a strftime format with `%`")]
    Form(String),
    #[error("utc_offset \"{0}\" is not like \"+02:00\"")]
    Offset(String),
}

impl TimeFormat {
    pub(crate) fn new(form: &str, utc_offset: Option<&str>) -> Result<Self, TimeFormatError> {
        let form = match form {
            "ms" => Form::Milliseconds,
            "s" => Form::Seconds,
            "iso8601" => Form::Iso8601,
            text if text.contains('%') => Form::Strftime(text.into()),
            text => return Err(TimeFormatError::Form(text.to_owned())),
        };
        let offset = match utc_offset {
            None => Offset::UTC,
            Some(text) => {
                parse_offset(text).ok_or_else(|| TimeFormatError::Offset(text.to_owned()))?
            }
        };
        Ok(Self { form, offset })
    }

    /// Milliseconds since 1970 of a text.
    pub(crate) fn parse_text(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        match &self.form {
            Form::Milliseconds => match text.parse() {
                Ok(whole) => Some(whole),
                Err(_) => milliseconds(text.parse().ok()?, 1.0),
            },
            Form::Seconds => milliseconds(text.parse().ok()?, 1000.0),
            Form::Iso8601 => self.parse_iso8601(text),
            Form::Strftime(format) => self.parse_strftime(format, text),
        }
    }

    /// Milliseconds since 1970 of a number.
    pub(crate) fn parse_number(&self, number: &serde_json::Number) -> Option<i64> {
        match (&self.form, number.as_i64()) {
            (Form::Milliseconds, Some(whole)) => Some(whole),
            (Form::Milliseconds, None) => milliseconds(number.as_f64()?, 1.0),
            (Form::Seconds, Some(whole)) => whole.checked_mul(1000),
            (Form::Seconds, None) => milliseconds(number.as_f64()?, 1000.0),
            (Form::Iso8601 | Form::Strftime(_), _) => self.parse_text(&number.to_string()),
        }
    }

    fn parse_iso8601(&self, text: &str) -> Option<i64> {
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(instant.as_millisecond());
        }
        self.at_offset(text.parse::<DateTime>().ok()?)
    }

    fn parse_strftime(&self, format: &str, text: &str) -> Option<i64> {
        let parts = strtime::parse(format, text).ok()?;
        if let Ok(instant) = parts.to_timestamp() {
            return Some(instant.as_millisecond());
        }
        let civil = parts.to_datetime().or_else(|_| parts.to_date().map(DateTime::from)).ok()?;
        self.at_offset(civil)
    }

    fn at_offset(&self, civil: DateTime) -> Option<i64> {
        Some(self.offset.to_timestamp(civil).ok()?.as_millisecond())
    }
}

/// `value` times `factor` as whole milliseconds, where that is a time that exists.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn milliseconds(value: f64, factor: f64) -> Option<i64> {
    let scaled = (value * factor).round();
    (scaled.abs() < 9.0e15).then_some(scaled as i64)
}

/// `+02:00`, `-0530`.
pub(crate) fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.as_bytes().split_first()? {
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    let digits: Vec<u8> = digits.iter().copied().filter(|byte| *byte != b':').collect();
    let digits: [u8; 4] = digits.try_into().ok()?;
    let mut seconds = 0;
    for (digit, worth) in digits.iter().zip([36_000, 3_600, 600, 60]) {
        seconds += i32::from(digit.is_ascii_digit().then(|| digit - b'0')?) * worth;
    }
    Offset::from_seconds(sign * seconds).ok()
}

/// `30m`: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let worth_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(worth_ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, text: &str, expected: Option<i64>) {
        let format = TimeFormat::new(format, Some("+02:00")).expect("a format");
        assert_eq!(format.parse_text(text), expected, "{format:?} {text}");
    }

    #[test]
    fn numbers() {
        check("ms", "1431857103000", Some(1_431_857_103_000));
        check("ms", "1431857103000.4", Some(1_431_857_103_000));
        check("s", "1431857103.25", Some(1_431_857_103_250));
        check("s", "1e300", None);
        check("ms", "soon", None);
    }

    #[test]
    fn texts_take_the_offset_only_where_they_have_none() {
        check("iso8601", "2015-05-17T10:05:03Z", Some(1_431_857_103_000));
        check("iso8601", "2015-05-17T10:05:03.5+00:00", Some(1_431_857_103_500));
        check("iso8601", "2015-05-17 12:05:03", Some(1_431_857_103_000));
        check("iso8601", "2015-05-17", Some(1_431_813_600_000));
        check("iso8601", "17.5.2015", None);
        check("%d/%b/%Y:%H:%M:%S %z", "17/May/2015:10:05:03 +0000", Some(1_431_857_103_000));
        check("%Y-%m-%d %H:%M:%S", "2015-05-17 12:05:03", Some(1_431_857_103_000));
        check("%Y-%m-%d", "2015-05-17", Some(1_431_813_600_000));
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30m"), Some(Duration::from_secs(1800)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "m", "30", "30 m", "-1m", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
