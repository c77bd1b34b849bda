//! Clients that never give up: each sends a batch until it is acknowledged, and writes down what.
//!
//! A batch whose answer was lost is sent again with the same ids. So every id that a client noted
//! was acknowledged, and must be found exactly once in the end.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The server key that the torture's configuration has.
pub(crate) const KEY: &str = "torture-server-key";
const BATCH_EVENTS: u64 = 20;
const VISITS: u64 = 50;
/// How often a visit has its turn: four events each time, with the turns of all others in between.
pub(super) const ROUNDS: u64 = 20;

/// What all clients share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Ids that were acknowledged.
    pub(crate) acknowledged: Mutex<Vec<u128>>,
    /// Batches acknowledged so far.
    pub(crate) batches: AtomicU64,
    /// Batches that were sent again because no answer came.
    pub(crate) repeated: AtomicU64,
    /// Requests that had reached a server whose answer never came: kills in their middle.
    pub(crate) cut_off: AtomicU64,
    /// Events whose first copy had been stored although its answer was lost.
    pub(crate) duplicates: AtomicU64,
    /// Changes of what is deployed that were sent.
    pub(crate) changes: AtomicU64,
    /// Of them those whose answer never came.
    pub(crate) changes_cut_off: AtomicU64,
    /// Set while nothing is to be deployed.
    pub(crate) rests: AtomicBool,
    /// Set when the clients are to end.
    pub(crate) ends: AtomicBool,
}

/// Sends batches until the tally says to end.
///
/// # Errors
/// When the server refuses an event, which none of these deserves.
pub(crate) fn run(client: u64, base: &str, tally: &Arc<Tally>) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut number = 0;
    while !tally.ends.load(Ordering::Relaxed) {
        let batch = batch(client, number);
        number += 1;
        let body = serde_json::to_vec(&batch)?;
        let mut is_repeated = false;
        while let Some(()) = attempt(&agent, base, &body, &batch, tally)? {
            if !is_repeated {
                tally.repeated.fetch_add(1, Ordering::Relaxed);
                is_repeated = true;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// One try; `Some(())` when the batch has to be sent again.
fn attempt(
    agent: &ureq::Agent,
    base: &str,
    body: &[u8],
    batch: &[Value],
    tally: &Tally,
) -> anyhow::Result<Option<()>> {
    let sent = agent
        .post(format!("{base}/v1/events"))
        .header("authorization", format!("Bearer {KEY}"))
        .send(body);
    let mut answer = match sent {
        Ok(answer) => answer,
        Err(error) => {
            tally.cut_off.fetch_add(u64::from(is_cut_off(&error)), Ordering::Relaxed);
            return Ok(Some(()));
        }
    };
    let status = answer.status().as_u16();
    if status == 503 || status == 429 {
        return Ok(Some(()));
    }
    let Ok(text) = answer.body_mut().read_to_string() else {
        tally.cut_off.fetch_add(1, Ordering::Relaxed);
        return Ok(Some(()));
    };
    anyhow::ensure!(status == 200, "status {status}: {text}");
    let parsed: Value = serde_json::from_str(&text)?;
    let results = parsed["results"].as_array().map_or(&[][..], Vec::as_slice);
    anyhow::ensure!(results.len() == batch.len(), "{} results: {text}", results.len());
    let mut acknowledged = tally.acknowledged.lock().expect("no client panics");
    for (event, result) in batch.iter().zip(results) {
        match result["status"].as_str() {
            Some("ok") => {}
            Some("duplicate") => {
                tally.duplicates.fetch_add(1, Ordering::Relaxed);
            }
            _ => anyhow::bail!("an event was refused: {result}"),
        }
        acknowledged.push(u128::from_str_radix(event["eventID"].as_str().unwrap_or_default(), 16)?);
    }
    drop(acknowledged);
    tally.batches.fetch_add(1, Ordering::Relaxed);
    Ok(None)
}

/// Whether a connection broke, which a server that is not there or is slow does not say.
pub(super) fn is_cut_off(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let broken = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    matches!(error, ureq::Error::Io(error) if broken.contains(&error.kind()))
}

/// Whether a visit ends in a round: a third of them in the last one, and a third in the midst, so that they
/// go on as another instance. The others are left to their inactivity.
fn ends(visit: u64, round: u64) -> bool {
    match visit % 3 {
        0 => round == ROUNDS - 1,
        1 => round == ROUNDS / 2,
        _ => false,
    }
}

fn batch(client: u64, number: u64) -> Vec<Value> {
    let events = number * BATCH_EVENTS..(number + 1) * BATCH_EVENTS;
    let events = events.map(|event| {
        let (visit, round) = turn(event);
        json!({
            "eventName": name(event),
            "eventID": format!("{:016X}{event:016X}", client + 1),
            "visitID": format!("{:016X}{visit:016X}", client + 1),
            "category": "pricing",
            "url": "https://shop.example/pricing",
            "data": { "price": price(event), "round": round },
        })
    });
    events.collect()
}

/// The visit of a client's event, and its round.
fn turn(event: u64) -> (u64, u64) {
    let turn = event / 4;
    (turn % VISITS + turn / (VISITS * ROUNDS) * VISITS, turn / VISITS % ROUNDS)
}

fn name(event: u64) -> &'static str {
    let (visit, round) = turn(event);
    if ends(visit, round) && event % 4 == 3 {
        "VisitEnded"
    } else if event % 10 == 9 {
        "AddToCart"
    } else {
        "PageEntered"
    }
}

fn price(event: u64) -> u64 {
    event % 300
}

/// Whether an event is a cart of such a price or more, by its id.
pub(super) fn is_cart(id: u128, price_min: u64) -> bool {
    let event = u64::try_from(id & u128::from(u64::MAX)).expect("the lower half");
    name(event) == "AddToCart" && price(event) >= price_min
}
