//! Load that does not wait for the server: batches leave on schedule, and what is refused stays so.
//!
//! Each client has every n-th place of one schedule and sends late what it could not send in time,
//! so the load is open-loop up to one unanswered batch for each client. What became of an event is
//! written down: acknowledged, refused (503 with `Retry-After`, of which nothing may be stored), or
//! unknown, where no answer came.

use super::clients::KEY;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients, and so batches that wait for an answer.
pub(super) const CLIENTS: u64 = 32;
const BATCH_EVENTS: u64 = 10;
/// Bytes that each event has beside its fields, so that what is piled up anywhere shows in memory.
const PADDING_BYTES: usize = 4_000;

/// What became of the events.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) acknowledged: Mutex<Vec<u128>>,
    pub(super) refused: Mutex<Vec<u128>>,
    /// Batches refused, by the code that the answer gives.
    pub(super) refusals: Mutex<BTreeMap<String, u64>>,
    pub(super) batches_acknowledged: AtomicU64,
    pub(super) batches_refused: AtomicU64,
    /// Batches without an answer, by what was found instead.
    pub(super) unanswered: Mutex<BTreeMap<String, u64>>,
}

/// Running load; it ends when it is asked to.
pub(super) struct OpenLoad {
    pub(super) outcome: Arc<Outcome>,
    ends: Arc<AtomicBool>,
    clients: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl OpenLoad {
    /// Starts so many batches a second.
    pub(super) fn start(base: &str, batches_per_second: u32) -> Self {
        let (outcome, ends) = (Arc::<Outcome>::default(), Arc::<AtomicBool>::default());
        let begun = Instant::now();
        let clients = (0..CLIENTS).map(|client| {
            let client = Client {
                client,
                base: base.to_owned(),
                outcome: Arc::clone(&outcome),
                ends: Arc::clone(&ends),
            };
            std::thread::spawn(move || client.run(begun, batches_per_second))
        });
        let clients = clients.collect();
        Self { outcome, ends, clients }
    }

    /// Waits for the last answers.
    ///
    /// # Errors
    /// When a client was told what it should not be.
    pub(super) fn end(self) -> anyhow::Result<Arc<Outcome>> {
        self.ends.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(self.outcome)
    }
}

struct Client {
    client: u64,
    base: String,
    outcome: Arc<Outcome>,
    ends: Arc<AtomicBool>,
}

impl Client {
    fn run(self, begun: Instant, batches_per_second: u32) -> anyhow::Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .into();
        let interval = Duration::from_secs(1) / batches_per_second;
        for number in 0_u32.. {
            let place = u32::try_from(self.client)? + number * u32::try_from(CLIENTS)?;
            let intended = begun + interval * place;
            while let Some(left) = intended.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            if self.ends.load(Ordering::Relaxed) {
                break;
            }
            self.send(&agent, u64::from(number))?;
        }
        Ok(())
    }

    fn send(&self, agent: &ureq::Agent, number: u64) -> anyhow::Result<()> {
        let ids: Vec<_> = (0..BATCH_EVENTS)
            .map(|place| {
                u128::from(self.client + 1) << 64 | u128::from(number * BATCH_EVENTS + place)
            })
            .collect();
        let sent = agent
            .post(format!("{}/v1/events", self.base))
            .header("authorization", format!("Bearer {KEY}"))
            .send(body(self.client, &ids));
        let outcome = &self.outcome;
        let answered = sent.and_then(|mut answer| {
            let text = answer.body_mut().read_to_string()?;
            Ok((answer, text))
        });
        let (answer, text) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                let mut unanswered = outcome.unanswered.lock().expect("no client panics");
                *unanswered.entry(error.to_string()).or_default() += 1;
                return Ok(());
            }
        };
        let parsed: Value = serde_json::from_str(&text)?;
        match answer.status().as_u16() {
            200 => {
                let results = parsed["results"].as_array().map_or(&[][..], Vec::as_slice);
                let is_ok = results.iter().all(|result| result["status"] == "ok");
                anyhow::ensure!(is_ok && results.len() == ids.len(), "not all taken: {text}");
                outcome.acknowledged.lock().expect("no client panics").extend(ids);
                outcome.batches_acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            503 => {
                let later = answer.headers().get("retry-after");
                anyhow::ensure!(later.is_some(), "503 without Retry-After: {text}");
                let code = parsed["error"]["code"].as_str().unwrap_or_default().to_owned();
                outcome.refused.lock().expect("no client panics").extend(ids);
                let mut refusals = outcome.refusals.lock().expect("no client panics");
                *refusals.entry(code).or_default() += 1;
                drop(refusals);
                outcome.batches_refused.fetch_add(1, Ordering::Relaxed);
            }
            status => anyhow::bail!("status {status}: {text}"),
        }
        Ok(())
    }
}

/// A visit for each client, so that what is remembered of visits does not grow.
fn body(client: u64, ids: &[u128]) -> String {
    let mut body = String::with_capacity(ids.len() * (PADDING_BYTES + 200));
    for id in ids {
        let opening = if body.is_empty() { '[' } else { ',' };
        let padding = "x".repeat(PADDING_BYTES);
        let event = format!(
            "{opening}{{\"eventName\":\"AddToCart\",\"eventID\":\"{id:032X}\",\"visitID\":\"{client:032X}\",\
             \"data\":{{\"price\":100,\"note\":\"{padding}\"}}}}"
        );
        body.push_str(&event);
    }
    body.push(']');
    body
}
