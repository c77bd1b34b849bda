//! Opening hours: the `schedule` of a rule, in the syntax of OpenStreetMap.
//!
//! Days and times are those of the wall clock of a time zone. Public holidays (`PH`, `SH`) and
//! times of the sun need a place, which a rule does not have: they are refused, not guessed. The
//! time zones are compiled in, so that a schedule means the same on every machine.

use chrono::{DateTime, NaiveDateTime};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use opening_hours::OpeningHours;
use std::str::FromStr;

/// What needs a place.
const NEED_A_PLACE: [&str; 6] = ["PH", "SH", "sunrise", "sunset", "dawn", "dusk"];

/// Opening hours in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    hours: OpeningHours,
    zone: TimeZone,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It does not follow the grammar.
    #[error("these are no opening hours: {0}")]
    Syntax(String),
    /// It names holidays or times of the sun.
    #[error("`{0}` needs a place, which a rule does not have")]
    NeedsPlace(&'static str),
    /// No time zone has this name.
    #[error("there is no time zone `{0}`")]
    UnknownZone(String),
}

impl Schedule {
    /// Reads opening hours (`Mo-Fr 09:00-18:00`) and the name of a time zone (`Europe/Paris`).
    ///
    /// # Errors
    /// When one of the two is none.
    pub fn new(hours: &str, zone: &str) -> Result<Self, ScheduleError> {
        Ok(Self { hours: parse_hours(hours)?, zone: parse_zone(zone)? })
    }

    /// Whether it is open at a point in time, in milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, at_ms: i64) -> bool {
        self.local(at_ms).is_some_and(|local| self.hours.is_open(local))
    }

    /// The wall clock; `None` outside the years that have one.
    fn local(&self, at_ms: i64) -> Option<NaiveDateTime> {
        let offset = self.zone.to_offset(Timestamp::from_millisecond(at_ms).ok()?);
        let local_ms = at_ms.checked_add(i64::from(offset.seconds()) * 1_000)?;
        Some(DateTime::from_timestamp_millis(local_ms)?.naive_utc())
    }
}

/// Reads opening hours.
pub(crate) fn parse_hours(text: &str) -> Result<OpeningHours, ScheduleError> {
    let hours = OpeningHours::from_str(text).map_err(|error| {
        let message = error.to_string();
        let last = message.lines().map(str::trim).rfind(|line| !line.is_empty());
        ScheduleError::Syntax(last.unwrap_or_default().trim_start_matches("= ").to_owned())
    })?;
    // Comments stand in quotes; what is left are words of the grammar.
    let unquoted: String = text.split('"').step_by(2).collect();
    let is_word = |word: &&str| {
        unquoted.split(|letter: char| !letter.is_ascii_alphabetic()).any(|part| part == *word)
    };
    match NEED_A_PLACE.iter().find(|word| is_word(word)) {
        Some(word) => Err(ScheduleError::NeedsPlace(word)),
        None => Ok(hours),
    }
}

/// Finds a time zone by its name.
pub(crate) fn parse_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let zones = TimeZoneDatabase::bundled();
    zones.get(name).map_err(|_| ScheduleError::UnknownZone(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let paris = Schedule::new("Mo-Fr 09:00-18:00", "Europe/Paris").expect("right");
        // Monday 2026-03-23 is before the change of the clocks, 2026-03-30 behind it.
        for (time, is_open) in [
            ("2026-03-23T07:59:59.999Z", false),
            ("2026-03-23T08:00:00Z", true),
            ("2026-03-23T16:59:59.999Z", true),
            ("2026-03-23T17:00:00Z", false),
            ("2026-03-30T07:00:00Z", true),
            ("2026-03-30T16:00:00Z", false),
            ("2026-03-28T12:00:00Z", false),
        ] {
            assert_eq!(paris.is_open(at(time)), is_open, "{time}");
        }
        assert!(!paris.is_open(i64::MAX) && !paris.is_open(i64::MIN));
    }

    #[test]
    fn hours_may_pass_midnight_and_have_exceptions() {
        let night = Schedule::new("Fr 22:00-02:00; Dec 25 off", "UTC").expect("right");
        assert!(night.is_open(at("2026-12-19T01:00:00Z")));
        assert!(!night.is_open(at("2026-12-19T02:00:00Z")));
        assert!(!night.is_open(at("2026-12-25T23:00:00Z")));
    }

    #[test]
    fn what_is_no_schedule() {
        let error = |hours, zone| Schedule::new(hours, zone).expect_err(hours);
        assert!(matches!(error("Mo-Fr 9 to 5", "UTC"), ScheduleError::Syntax(_)));
        assert_eq!(error("Mo-Fr 09:00-18:00; PH off", "UTC"), ScheduleError::NeedsPlace("PH"));
        assert_eq!(error("sunrise-sunset", "UTC"), ScheduleError::NeedsPlace("sunrise"));
        assert_eq!(error("24/7", "Mars/Base"), ScheduleError::UnknownZone("Mars/Base".to_owned()));
        assert!(Schedule::new("Mo 09:00-18:00 open \"no PH\"", "UTC").is_ok());
    }
}
