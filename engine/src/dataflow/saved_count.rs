//! A live count in a snapshot. Its own form: that of [`LiveKey`] is for JSON, which tags differently.

use crate::live::{LiveKey, LiveName, Minute};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A name or a site, and its count.
#[derive(Serialize, Deserialize)]
pub(super) enum SavedCount {
    Event { site: Arc<str>, name: Arc<str>, minute: Minute, count: i64 },
    Category { site: Arc<str>, category: Arc<str>, minute: Minute, count: i64 },
    Rule { site: Arc<str>, package: Arc<str>, rule: Arc<str>, minute: Minute, count: i64 },
    OpenVisits { site: Arc<str>, count: i64 },
}

impl From<(LiveKey, i64)> for SavedCount {
    fn from((key, count): (LiveKey, i64)) -> Self {
        let (name, minute) = match key {
            LiveKey::OpenVisits(site) => return Self::OpenVisits { site, count },
            LiveKey::InMinute(name, minute) => (name, minute),
        };
        match name {
            LiveName::Event { site, name } => Self::Event { site, name, minute, count },
            LiveName::Category { site, category } => {
                Self::Category { site, category, minute, count }
            }
            LiveName::Rule { site, package, rule } => {
                Self::Rule { site, package, rule, minute, count }
            }
        }
    }
}

impl SavedCount {
    pub(super) fn into_count(self) -> (LiveKey, i64) {
        let (name, minute, count) = match self {
            Self::OpenVisits { site, count } => return (LiveKey::OpenVisits(site), count),
            Self::Event { site, name, minute, count } => {
                (LiveName::Event { site, name }, minute, count)
            }
            Self::Category { site, category, minute, count } => {
                (LiveName::Category { site, category }, minute, count)
            }
            Self::Rule { site, package, rule, minute, count } => {
                (LiveName::Rule { site, package, rule }, minute, count)
            }
        };
        (LiveKey::InMinute(name, minute), count)
    }
}
