//! Control records: what people decided, in the log's order with the events.
//!
//! A record takes effect at the end of the epoch in which it stands: the events of that epoch still
//! meet what was before. So a replay of the log deploys, removes, pauses and resumes at the same
//! places, whatever the number of workers.
//!
//! The body of a record is one byte of version, then (version 1) a [`Control`] in postcard's form: a
//! varint for the variant, fields in order, texts and lists behind their lengths, options behind a
//! byte. A variant is added at the end only; whatever else changes is a new version. A deployment
//! carries the whole text of its package, because compiling is the same on every node and a plan's
//! form is nobody's interface.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// A package's place: its name, on one site or on all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageKey {
    /// A reversed domain.
    pub name: Arc<str>,
    /// Whose events it sees; `None`: those of all sites.
    pub site: Option<Arc<str>>,
}

impl PackageKey {
    /// Whether it sees events of the site; of any one for `None`.
    #[must_use]
    pub fn concerns(&self, site: Option<&str>) -> bool {
        concerns(self.site.as_deref(), site)
    }
}

/// Whether what is of one site, or of all of them, is of another, or of any.
fn concerns(own: Option<&str>, site: Option<&str>) -> bool {
    own.is_none() || site.is_none() || own == site
}

impl fmt::Display for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.site {
            Some(site) => write!(f, "{} of site {site}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Who may replace a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// The server's folder of rules.
    Folder,
    /// Whoever has a token.
    Token,
}

/// A package as it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Who may replace it.
    pub owner: Owner,
    /// Deployed with the right of an operator: its rules may see all sites at once.
    pub is_operator: bool,
    /// Who deployed it.
    pub by: Arc<str>,
    /// Its files by name (`package.toml`, rule files) with their texts.
    pub files: BTreeMap<Arc<str>, Arc<str>>,
}

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PauseKey {
    /// The package; `None`: all of them.
    pub package: Option<Arc<str>>,
    /// The site; `None`: on all of them.
    pub site: Option<Arc<str>>,
}

impl PauseKey {
    /// Whether it holds on the site; on any one for `None`.
    #[must_use]
    pub fn concerns(&self, site: Option<&str>) -> bool {
        concerns(self.site.as_deref(), site)
    }
}

/// What a control record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// A package takes the place of the one of its key.
    Deploy(PackageKey, Arc<Deployment>),
    /// A package goes, by whose decision.
    Remove(PackageKey, Arc<str>),
    /// Matches are recorded and do not act, by whose decision.
    Pause(PauseKey, Arc<str>),
    /// They act again, by whose decision.
    Resume(PauseKey, Arc<str>),
}

/// Bytes that are no control record of a version that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A newer Beckon wrote it.
    #[error("a control record has version {0}, this beckon reads version {VERSION}")]
    Version(u8),
    /// It means nothing.
    #[error("a control record has no meaning")]
    Body,
}

impl Control {
    /// The record's body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("texts, lists and numbers")
    }

    /// Reads a record's body.
    ///
    /// # Errors
    /// [`ControlError`], where it is none that this version writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
                Ok((control, [])) => Ok(control),
                Ok(_) | Err(_) => Err(ControlError::Body),
            },
            Some((version, _)) => Err(ControlError::Version(*version)),
            None => Err(ControlError::Body),
        }
    }
}

/// What stands after some control records: the packages, and what is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Packages by place.
    pub packages: BTreeMap<PackageKey, Arc<Deployment>>,
    /// What is paused.
    pub paused: BTreeSet<PauseKey>,
}

impl Standing {
    /// Does what a record says. To resume everything resumes what was paused by name too.
    pub fn apply(&mut self, control: &Control) {
        match control {
            Control::Deploy(key, deployment) => {
                self.packages.insert(key.clone(), Arc::clone(deployment));
            }
            Control::Remove(key, _) => {
                self.packages.remove(key);
            }
            Control::Pause(key, _) => {
                self.paused.insert(key.clone());
            }
            Control::Resume(key, _) => {
                let is_asked = |paused: &PauseKey| {
                    (key.package.is_none() || key.package == paused.package)
                        && (key.site.is_none() || key.site == paused.site)
                };
                self.paused.retain(|paused| !is_asked(paused));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixture;

    fn key(name: &str, site: Option<&str>) -> PackageKey {
        PackageKey { name: name.into(), site: site.map(Into::into) }
    }

    fn pause(package: Option<&str>, site: Option<&str>) -> PauseKey {
        PauseKey { package: package.map(Into::into), site: site.map(Into::into) }
    }

    fn deployment(text: &str) -> Arc<Deployment> {
        Arc::new(Deployment {
            owner: Owner::Token,
            is_operator: false,
            by: "ann".into(),
            files: BTreeMap::from([("a.toml".into(), text.into())]),
        })
    }

    /// The form of a record's body is that of the fixture, which stays.
    #[test]
    fn version_1_is_read() {
        let everyone = pause(None, None);
        let records = [
            Control::Deploy(key("com.example.shop", Some("shop")), deployment("x = 1")),
            Control::Remove(key("com.example.shop", None), "bob".into()),
            Control::Pause(pause(Some("com.example.shop"), Some("shop")), "ann".into()),
            Control::Resume(everyone, "ann".into()),
        ];
        let bodies = records.iter().map(Control::encode).collect::<Vec<_>>();
        let bytes = fixture("control-v1.bin", &bodies.concat());
        let mut rest = bytes.as_slice();
        for (record, body) in records.iter().zip(&bodies) {
            let (one, behind) = rest.split_at(body.len());
            assert_eq!(Control::decode(one).as_ref(), Ok(record));
            rest = behind;
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let control = Control::Deploy(key("com.example.shop", Some("shop")), deployment("x = 1"));
        let bytes = control.encode();
        assert_eq!(Control::decode(&bytes), Ok(control));
        assert_eq!(Control::decode(&bytes[..bytes.len() - 1]), Err(ControlError::Body));
        assert_eq!(Control::decode(&[bytes.as_slice(), &[0]].concat()), Err(ControlError::Body));
        assert_eq!(Control::decode(&[]), Err(ControlError::Body));
        assert_eq!(Control::decode(&[2, 0]), Err(ControlError::Version(2)));
    }

    #[test]
    fn a_package_takes_the_place_of_its_own_key_only() {
        let mut standing = Standing::default();
        let (one, other) = (key("com.example.shop", Some("a")), key("com.example.shop", Some("b")));
        standing.apply(&Control::Deploy(one.clone(), deployment("1")));
        standing.apply(&Control::Deploy(other.clone(), deployment("2")));
        standing.apply(&Control::Deploy(one.clone(), deployment("3")));
        assert_eq!(standing.packages[&one], deployment("3"));
        standing.apply(&Control::Remove(one, "ann".into()));
        assert_eq!(standing.packages, BTreeMap::from([(other, deployment("2"))]));
    }

    #[test]
    fn resuming_reaches_as_far_as_it_says() {
        let pauses = [pause(None, None), pause(Some("a.b"), None), pause(Some("a.b"), Some("s"))];
        let left = |resumed: PauseKey| {
            let mut standing = Standing::default();
            for paused in &pauses {
                standing.apply(&Control::Pause(paused.clone(), "ann".into()));
            }
            standing.apply(&Control::Resume(resumed, "ann".into()));
            pauses.iter().map(|paused| standing.paused.contains(paused)).collect::<Vec<_>>()
        };
        assert_eq!(left(pause(None, None)), [false; 3]);
        assert_eq!(left(pause(Some("a.b"), None)), [true, false, false]);
        assert_eq!(left(pause(None, Some("s"))), [true, true, false]);
        assert_eq!(left(pause(Some("c.d"), None)), [true; 3]);
    }
}
