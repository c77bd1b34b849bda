//! Packages come, change, go and pause while the server is killed.
//!
//! One thread sends one request after the other, and before each looks at what stands. What was
//! acknowledged must stand; what was sent and not answered may. An answer that says what stands ends
//! the doubt: the server that could have taken more has been killed.

use super::clients::{ROUNDS, Tally, is_cut_off};
use crate::status::wait;
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What they all begin with, and no package of the server's folder.
pub(super) const PREFIX: &str = "com.example.deployed.";
const PACKAGES: [&str; 3] = ["one", "two", "three"];
/// Rules of a package that act once a visit, in a round of it that each version names anew: where one
/// version acted, the next may not.
const ROUND_RULES: u64 = 4;
/// The longest pause between two requests.
const PAUSE_MS_MAX: u64 = 20;
/// An answer takes less, or the server is at fault.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// What is deployed of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    /// Which of the revisions, counted over all packages; `None` for none.
    revision: Option<u64>,
    is_paused: bool,
}

/// A request that changes what stands.
#[derive(Clone, Copy, Debug)]
enum Change {
    Put(u64),
    Delete,
    Pause,
    Resume,
}

impl Change {
    fn apply(self, before: Standing) -> Standing {
        match self {
            Self::Put(revision) => Standing { revision: Some(revision), ..before },
            Self::Delete => Standing { revision: None, ..before },
            // A package that is not there is not paused.
            Self::Pause => {
                Standing { is_paused: before.is_paused || before.revision.is_some(), ..before }
            }
            Self::Resume => Standing { is_paused: false, ..before },
        }
    }
}

/// What became of a request.
#[derive(Debug)]
enum Outcome {
    Taken,
    /// There is no such package.
    Unknown,
    /// It was not sent, or not taken for now.
    Refused,
    /// It was sent, and its answer never came.
    CutOff,
}

/// Figures of a run.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) acknowledged: u64,
    pub(super) cut_off: u64,
    /// How often what stands was looked at.
    pub(super) looks: u64,
}

/// The one who deploys.
pub(super) struct Deployments {
    agent: ureq::Agent,
    base: String,
    authorization: String,
    random: fastrand::Rng,
    revision: u64,
    /// For each package what may stand, by what was answered.
    possible: BTreeMap<&'static str, BTreeSet<Standing>>,
    figures: Figures,
}

impl Deployments {
    /// With a token for the server whose data folder this is or will be.
    ///
    /// # Errors
    /// When none can be made.
    pub(super) fn new(binary: &Path, data: &Path, base: String, seed: u64) -> anyhow::Result<Self> {
        let scopes = ["--scope", "rules:read", "--scope", "rules:write"];
        let output = Command::new(binary)
            .args(["token", "create", "--data"])
            .arg(data)
            .args(scopes)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let token = text.lines().next().context("no token was made")?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .http_status_as_error(false)
            .build()
            .into();
        let possible = PACKAGES.map(|name| (name, [Standing::default()].into()));
        Ok(Self {
            agent,
            base,
            authorization: format!("Bearer {token}"),
            random: fastrand::Rng::with_seed(seed),
            revision: 0,
            possible: possible.into(),
            figures: Figures::default(),
        })
    }

    /// Changes what is deployed until the tally says to end, and then looks a last time.
    ///
    /// # Errors
    /// When what stands is not what was acknowledged, or the server misbehaves.
    pub(super) fn run(mut self, tally: &Tally) -> anyhow::Result<Figures> {
        while !tally.ends.load(Ordering::Relaxed) {
            if self.look()? && !tally.rests.load(Ordering::Relaxed) {
                let package = PACKAGES[self.random.usize(..PACKAGES.len())];
                let change = self.choose();
                tally.changes.fetch_add(1, Ordering::Relaxed);
                self.send(package, change)?;
                tally.changes_cut_off.store(self.figures.cut_off, Ordering::Relaxed);
            }
            std::thread::park_timeout(Duration::from_millis(self.random.u64(..PAUSE_MS_MAX)));
        }
        wait("a last look at what stands", || self.look())?;
        Ok(self.figures)
    }

    fn choose(&mut self) -> Change {
        match self.random.u8(..10) {
            0 => Change::Delete,
            1 => Change::Pause,
            2..=4 => Change::Resume,
            _ => {
                self.revision += 1;
                Change::Put(self.revision)
            }
        }
    }

    fn send(&mut self, package: &'static str, change: Change) -> anyhow::Result<()> {
        let outcome = self.request(package, change)?;
        let possible = self.possible.get_mut(package).context("a package of ours")?;
        let after: BTreeSet<_> = possible.iter().map(|before| change.apply(*before)).collect();
        match outcome {
            Outcome::Taken => {
                *possible = after;
                self.figures.acknowledged += 1;
            }
            Outcome::Unknown => {
                possible.retain(|standing| standing.revision.is_none());
                anyhow::ensure!(!possible.is_empty(), "{package} is deployed, and {change:?}: 404");
            }
            Outcome::Refused => {}
            Outcome::CutOff => {
                possible.extend(after);
                self.figures.cut_off += 1;
            }
        }
        Ok(())
    }

    fn request(&self, package: &str, change: Change) -> anyhow::Result<Outcome> {
        let name = format!("{PREFIX}{package}");
        let path = match change {
            Change::Put(_) | Change::Delete => format!("{}/v1/rules/{name}", self.base),
            Change::Pause => format!("{}/v1/actions/pause", self.base),
            Change::Resume => format!("{}/v1/actions/resume", self.base),
        };
        let (agent, token) = (&self.agent, &self.authorization);
        let sent = match change {
            Change::Put(revision) => {
                let body = serde_json::to_vec(&json!({ "files": files(revision) }))?;
                agent.put(path).header("authorization", token).send(&body)
            }
            Change::Delete => agent.delete(path).header("authorization", token).call(),
            Change::Pause | Change::Resume => {
                let body = serde_json::to_vec(&json!({ "package": name }))?;
                agent.post(path).header("authorization", token).send(&body)
            }
        };
        match answered(sent)? {
            Ok((200, _)) => Ok(Outcome::Taken),
            Ok((404, _)) if matches!(change, Change::Delete | Change::Pause) => {
                Ok(Outcome::Unknown)
            }
            Ok((429 | 503, _)) => Ok(Outcome::Refused),
            Ok((status, text)) => anyhow::bail!("{change:?} of {name}: {status}: {text}"),
            Err(outcome) => Ok(outcome),
        }
    }

    /// Holds what stands against what may; `false` when there was no answer.
    fn look(&mut self) -> anyhow::Result<bool> {
        let path = format!("{}/v1/rules", self.base);
        let asked = self.agent.get(path).header("authorization", &self.authorization).call();
        let text = match answered(asked)? {
            Ok((200, text)) => text,
            Ok((429 | 503, _)) | Err(_) => return Ok(false),
            Ok((status, text)) => anyhow::bail!("GET /v1/rules: {status}: {text}"),
        };
        let said: Value = serde_json::from_str(&text)?;
        for (package, possible) in &mut self.possible {
            let standing = standing(&said, &format!("{PREFIX}{package}"))?;
            anyhow::ensure!(
                possible.contains(&standing),
                "{package}: {standing:?} stands; by what was acknowledged it may be {possible:?}"
            );
            *possible = [standing].into();
        }
        self.figures.looks += 1;
        Ok(true)
    }
}

/// The status and the body, or what a failure says of the request.
///
/// # Errors
/// When the server is there and does not answer.
fn answered(
    sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> anyhow::Result<Result<(u16, String), Outcome>> {
    let read = sent.and_then(|mut answer| {
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), text))
    });
    match read {
        Ok(answer) => Ok(Ok(answer)),
        Err(ureq::Error::ConnectionFailed) => Ok(Err(Outcome::Refused)),
        Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Ok(Err(Outcome::Refused))
        }
        Err(error) if is_cut_off(&error) => Ok(Err(Outcome::CutOff)),
        Err(error) => Err(error.into()),
    }
}

/// A rule that acts at each cart above a price, one that counts pages, and some that wait for a round.
fn files(revision: u64) -> Value {
    let mut files = json!({});
    let mut add = |name: &str, fire: &str, query: &str| {
        let text = format!(
            "name = \"{name}\"\ndescription = \"revision {revision}\"\nfire = \"{fire}\"\n\
             query = '''{query}'''\n[action]\ntype = \"none\"\n"
        );
        files[format!("{name}.toml")] = text.into();
    };
    add("cart", "every", &format!("AddToCart where data.price >= {}", revision % 200));
    let runs = 2 + revision % 8;
    add("pages", "once", &format!("sequence [ PageEntered where true ] with runs={runs}"));
    for number in 0..ROUND_RULES {
        let round = (revision * 7 + number * ROUNDS / ROUND_RULES) % ROUNDS;
        let query = format!("PageEntered where data.round == {round}");
        add(&format!("round-{number}"), "once", &query);
    }
    files
}

/// What `GET /v1/rules` says of a package.
fn standing(said: &Value, name: &str) -> anyhow::Result<Standing> {
    let named = |list: &str| {
        let list = said[list].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().find(|it| it["package"] == name)
    };
    let is_paused = named("paused").is_some();
    let Some(package) = named("packages") else {
        return Ok(Standing { revision: None, is_paused });
    };
    let rules = package["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let first = rules.first().map_or(&Value::Null, |rule| &rule["description"]);
    let is_whole = rules.len() as u64 == 2 + ROUND_RULES
        && rules.iter().all(|rule| rule["description"] == *first);
    anyhow::ensure!(is_whole, "half a package: {package}");
    let number = first.as_str().and_then(|text| text.strip_prefix("revision "));
    let revision = number.and_then(|number| number.parse().ok()).context("no revision")?;
    Ok(Standing { revision: Some(revision), is_paused })
}
