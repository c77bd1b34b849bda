//! A page that listens while the server is killed: what a rule says to its visitor comes, and comes no
//! more once it is acknowledged.
//!
//! The page does one thing after the other, each until the server heard it: something happens, the message
//! about it comes by a long poll, the page acknowledges it. So a kill meets each of the three. Within one
//! visit a message that comes again under its id is the same one, as for any page; behind the answer to
//! its acknowledgement (on disk) it must never come.

use super::carts::PACKAGE;
use super::clients::{KEY, Tally};
use super::reports::each_row;
use anyhow::{Context, bail, ensure};
use parquet::record::RowAccessor;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The rule that speaks to the page.
const RULE: &str = "page-called";
/// Longer than a server is down, and not long, since the outbox is kept for what holds.
const EXPIRES: &str = "20s";
/// Longer than that: what has not come by then comes no more.
const COMES_MAX: Duration = Duration::from_secs(30);
/// Things that happen in one visit.
const CALLS_OF_VISIT: u64 = 100;
/// Between two tries.
const REST: Duration = Duration::from_millis(10);
/// The upper half of the ids of its events: no client's.
const EVENTS: u64 = 0xFACE;

/// Lays the rule into the server's folder of rules.
///
/// # Errors
/// When it cannot be written.
pub(super) fn lay_rule(folder: &Path) -> anyhow::Result<()> {
    let text = format!(
        "name = \"{RULE}\"\nfire = \"every\"\nquery = 'PageCalled where true'\n[action]\n\
         type = \"notify\"\nchannel = \"page\"\nexpires = \"{EXPIRES}\"\n"
    );
    let path = folder.join("rules").join(PACKAGE).join(format!("{RULE}.toml"));
    Ok(std::fs::write(path, text)?)
}

/// What a page saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Ids of messages that came.
    came: BTreeSet<String>,
    /// Of them those whose acknowledgement was answered.
    acknowledged: BTreeSet<String>,
    /// Messages that came again before that.
    again: u64,
}

/// A page, in a visit.
struct Page<'a> {
    agent: ureq::Agent,
    base: &'a str,
    tally: &'a Tally,
    secret: String,
    visit: String,
    seen: Seen,
}

/// Listens until the tally says to end.
///
/// # Errors
/// When a message comes that must not, or the server refuses what is right.
pub(super) fn run(base: &str, tally: &Arc<Tally>) -> anyhow::Result<Seen> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .build()
        .into();
    let seen = Seen::default();
    let mut page = Page { agent, base, tally, secret: String::new(), visit: String::new(), seen };
    let mut call = 0;
    while !tally.ends.load(Ordering::Relaxed) {
        if call % CALLS_OF_VISIT == 0 {
            page.open(call / CALLS_OF_VISIT);
        }
        page.call(call)?;
        page.listen()?;
        call += 1;
    }
    Ok(page.seen)
}

impl Page<'_> {
    /// Is another visit's: its id is the first half of the SHA-256 of its secret.
    fn open(&mut self, number: u64) {
        let secret = Sha256::digest(format!("page of visit {number}"));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.visit = hex(&Sha256::digest(secret)[..16]);
        self.secret = hex(&secret);
    }

    /// Something happens, once: until it is acknowledged.
    fn call(&self, number: u64) -> anyhow::Result<()> {
        // A number of an event that is no cart.
        let id = format!("{EVENTS:016X}{:016X}", number * 10);
        let event = json!({ "eventName": "PageCalled", "eventID": id, "visitID": self.visit });
        self.until_heard("/v1/events", KEY, &event, |status| status == 200)?;
        let id = u128::from_str_radix(&id, 16)?;
        self.tally.acknowledged.lock().expect("no client panics").push(id);
        Ok(())
    }

    /// Waits for the message about it and acknowledges it; passes over one that holds no longer.
    fn listen(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let mut is_there = false;
            for message in self.poll()? {
                let id = message["id"].as_str().context("a message without an id")?.to_owned();
                ensure!(message["type"] == "notify", "nothing is taken back: {message}");
                ensure!(!self.seen.acknowledged.contains(&id), "{id} came behind its end");
                self.seen.again += u64::from(!self.seen.came.insert(id.clone()));
                self.acknowledge(id)?;
                is_there = true;
            }
            if is_there || began.elapsed() > COMES_MAX {
                return Ok(());
            }
        }
    }

    /// What is said; nothing where the server does not answer.
    fn poll(&self) -> anyhow::Result<Vec<Value>> {
        let path = format!("{}/v1/visits/{}/notifications?key={KEY}", self.base, self.visit);
        let asked = self.agent.get(path).header("accept", "application/json");
        let answer = asked.header("authorization", format!("Bearer {}", self.secret)).call();
        let said = answer.and_then(|mut it| Ok((it.status(), it.body_mut().read_to_string()?)));
        match said {
            Ok((status, text)) if status == 200 => {
                let said: Value = serde_json::from_str(&text)?;
                Ok(said["messages"].as_array().cloned().unwrap_or_default())
            }
            Ok((status, text)) if status != 503 && status != 429 => bail!("{status}: {text}"),
            Ok(_) | Err(_) => {
                std::thread::park_timeout(REST);
                Ok(Vec::new())
            }
        }
    }

    fn acknowledge(&mut self, id: String) -> anyhow::Result<()> {
        let path = format!("/v1/visits/{}/notifications/{id}?key={KEY}", self.visit);
        let word = json!({ "status": "acknowledged" });
        // 404: it held no longer, and was forgotten.
        let heard = self.until_heard(&path, &self.secret, &word, |it| it == 204 || it == 404)?;
        if heard == 204 {
            self.seen.acknowledged.insert(id);
        }
        Ok(())
    }

    /// Sends until there is an answer that is neither overload nor none.
    fn until_heard(
        &self,
        path: &str,
        bearer: &str,
        body: &Value,
        is_right: impl Fn(u16) -> bool,
    ) -> anyhow::Result<u16> {
        let body = serde_json::to_vec(body)?;
        loop {
            let asked = self.agent.post(format!("{}{path}", self.base));
            match asked.header("authorization", format!("Bearer {bearer}")).send(&body[..]) {
                Ok(answer) if is_right(answer.status().as_u16()) => {
                    return Ok(answer.status().as_u16());
                }
                Ok(answer) if ![429, 503].contains(&answer.status().as_u16()) => {
                    bail!("{path}: {}", answer.status());
                }
                Ok(_) | Err(_) => std::thread::park_timeout(REST),
            }
        }
    }
}

/// The messages that the rule sent.
///
/// # Errors
/// When the reports cannot be read.
pub(super) fn sent(reports: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut sent = BTreeSet::new();
    each_row(&reports.join("actions"), &["action_id", "rule", "op"], |row, at| {
        if row.get_string(at[1])? == RULE && row.get_string(at[2])? == "assert" {
            sent.insert(row.get_string(at[0])?.to_uppercase());
        }
        Ok(())
    })?;
    Ok(sent)
}

/// Holds what the page saw against what was sent and what is recorded.
///
/// # Errors
/// When something came that was not sent, did not come and did not expire either, or is recorded otherwise.
pub(super) fn judge(reports: &Path, seen: &Seen) -> anyhow::Result<()> {
    let sent = sent(reports)?;
    let (mut acknowledged, mut expired) = (BTreeSet::new(), BTreeSet::new());
    each_row(&reports.join("deliveries"), &["message_id", "outcome"], |row, at| {
        let id = row.get_string(at[0])?.to_uppercase();
        match row.get_string(at[1])?.as_str() {
            "acknowledged" => drop(acknowledged.insert(id)),
            "expired" => drop(expired.insert(id)),
            _ => {}
        }
        Ok(())
    })?;
    let strange = seen.came.iter().find(|id| !sent.contains(*id));
    ensure!(strange.is_none(), "{strange:?} came and was never sent");
    let unheard = seen.acknowledged.iter().find(|id| !acknowledged.contains(*id));
    ensure!(unheard.is_none(), "{unheard:?} was acknowledged, and that is not recorded");
    let lost = sent.iter().find(|id| !seen.came.contains(*id) && !expired.contains(*id));
    ensure!(lost.is_none(), "{lost:?} neither came nor expired");
    let Seen { came, again, .. } = seen;
    crate::say(&format!(
        "a page was sent {} messages: {} came, {again} of them again before they were acknowledged, \
         none behind it",
        sent.len(),
        came.len()
    ));
    ensure!(came.len() * 10 >= sent.len() * 9 && !came.is_empty(), "too few of them came");
    Ok(())
}
