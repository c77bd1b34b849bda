//! Where files lie: `TABLE/date=YYYY-MM-DD/[event=NAME/]rROUND-PART.parquet`.
//!
//! The date is the load date: the UTC day of the epoch mark's `now`. No column of a file is named
//! `date` or `event`, so readers may take both from the path. Folder names are for finding files;
//! the true name of an event is the column `event_name`. Unfinished files lie in [`TEMPORARY`] and
//! end in `.part`; what begins with `_` is passed over by readers of the whole folder.

use super::columns::Result;
use super::error::ParquetError;
use beckon_engine::model::ServerTimeMs;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The folder of unfinished files.
pub(super) const TEMPORARY: &str = "_tmp";
/// The folder of the manifest.
pub(super) const MANIFEST: &str = "_manifest";
/// The folder of events whose name has none of its own.
pub(super) const OTHER: &str = "__other";
/// The longest folder name of an event; longer ones (many characters need three bytes for each of
/// theirs) would not fit file systems and go to [`OTHER`].
const FOLDER_BYTES_MAX: usize = 200;

/// The five tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Events,
    Visits,
    Actions,
    Epochs,
    Deliveries,
}

impl Table {
    pub(super) const ALL: [Self; 5] =
        [Self::Events, Self::Visits, Self::Actions, Self::Epochs, Self::Deliveries];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Visits => "visits",
            Self::Actions => "actions",
            Self::Epochs => "epochs",
            Self::Deliveries => "deliveries",
        }
    }

    /// The folder of the table's files of a day.
    pub(super) fn folder(self, date: &str) -> String {
        format!("{}/date={date}", self.as_str())
    }
}

/// The UTC day of `now`, `YYYY-MM-DD`.
pub(super) fn date_of(now: ServerTimeMs) -> Result<String> {
    let time = jiff::Timestamp::from_millisecond(now.0)
        .map_err(|_| ParquetError::Clock { now_ms: now.0 })?;
    Ok(jiff::tz::Offset::UTC.to_datetime(time).date().to_string())
}

/// The name of a file of a round, without its ending.
pub(super) fn file_stem(round: u64, part: u32) -> String {
    format!("r{round:010}-{part:04}")
}

/// The round that a file name was given by, where it is one of ours.
pub(super) fn round_of(file_name: &str) -> Option<u64> {
    let stem = file_name.strip_prefix('r')?.strip_suffix(".parquet")?;
    stem.split_once('-')?.0.parse().ok()
}

/// An event's name as a folder name: letters, digits, `-`, `.` and `_` stay, all else is
/// percent-encoded by its UTF-8 bytes; a leading `_` too, so that no name is ours. `None` where it
/// would be too long.
pub(super) fn folder_name(event: &str) -> Option<String> {
    let mut out = String::with_capacity(event.len());
    for (index, byte) in event.bytes().enumerate() {
        let stays = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.')
            || (byte == b'_' && index > 0);
        if stays {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes all text");
        }
    }
    (out.len() <= FOLDER_BYTES_MAX && !out.is_empty()).then_some(out)
}

/// The event folders of the current day, at most `event_folders_max`.
#[derive(Debug, Default)]
pub(super) struct DayFolders {
    pub(super) date: String,
    pub(super) names: BTreeSet<String>,
}

impl DayFolders {
    /// Begins another day; does nothing on the same one.
    pub(super) fn begin(&mut self, date: &str) {
        if self.date != date {
            date.clone_into(&mut self.date);
            self.names.clear();
        }
    }

    /// The folder of an event: its own while there is room on this day.
    pub(super) fn choose(&mut self, event: &str, folders_max: usize) -> String {
        match folder_name(event) {
            Some(name) if self.names.contains(&name) => name,
            Some(name) if self.names.len() < folders_max => {
                self.names.insert(name.clone());
                name
            }
            _ => OTHER.to_owned(),
        }
    }

    /// Notes the folder of a file that was written before.
    pub(super) fn note(&mut self, path: &str) {
        let folder = path.split('/').find_map(|part| part.strip_prefix("event="));
        if let Some(name) = folder.filter(|name| *name != OTHER) {
            self.names.insert(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_folders() {
        let check = |event: &str, expected: Option<&str>| {
            assert_eq!(folder_name(event).as_deref(), expected, "{event}");
        };
        check("AddToCart", Some("AddToCart"));
        check("Timeout-30", Some("Timeout-30"));
        check("a/../b =%", Some("a%2F..%2Fb%20%3D%25"));
        check("__other", Some("%5F_other"));
        check("gr\u{fc}n", Some("gr%C3%BCn"));
        check("", None);
        check(&"x".repeat(FOLDER_BYTES_MAX), Some("x".repeat(FOLDER_BYTES_MAX)).as_deref());
        check(&"\u{fc}".repeat(34), None);
    }

    #[test]
    fn a_day_has_so_many_folders_and_no_more() {
        let mut day = DayFolders::default();
        day.begin("2026-11-25");
        assert_eq!(day.choose("a", 2), "a");
        assert_eq!(day.choose("b", 2), "b");
        assert_eq!(day.choose("c", 2), OTHER);
        assert_eq!(day.choose("a", 2), "a", "those that have one keep it");
        day.begin("2026-11-25");
        assert_eq!(day.choose("c", 2), OTHER);
        day.begin("2026-11-26");
        assert_eq!(day.choose("c", 2), "c");
    }

    #[test]
    fn the_date_is_that_of_utc() {
        let date = |now_ms| date_of(ServerTimeMs(now_ms)).expect("a date");
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_764_115_199_999), "2025-11-25");
        assert_eq!(date(1_764_115_200_000), "2025-11-26");
        assert!(date_of(ServerTimeMs(i64::MAX)).is_err());
    }

    #[test]
    fn a_file_name_says_its_round() {
        assert_eq!(round_of(&format!("{}.parquet", file_stem(12, 3))), Some(12));
        assert_eq!(round_of("r0000000012-0003.part"), None);
        assert_eq!(round_of("other.parquet"), None);
    }
}
