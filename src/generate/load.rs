//! Open-loop HTTP load: requests leave on schedule, whether or not earlier ones were answered.
//!
//! A latency counts from the time a request was meant to leave, so that a server that stalls
//! cannot hide it (no coordinated omission). What cannot leave because `outstanding_max` requests
//! wait is sent late, and its latency says so.

use super::visitors::Visitors;
use crate::http_client::HttpClient;
use crate::output;
use hdrhistogram::Histogram;
use hyper::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What load is sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Events a second.
    pub(crate) rate: f64,
    /// Events a request.
    pub(crate) batch_events: usize,
    /// How long.
    pub(crate) duration: Duration,
    /// Requests that wait for an answer at most.
    pub(crate) outstanding_max: usize,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From the intended send time to the answer, microseconds.
    pub(crate) latency_us: Histogram<u64>,
    /// Answers by status; `error` where none came.
    pub(crate) statuses: BTreeMap<String, u64>,
    /// Events by result of the answers with 200.
    pub(crate) results: BTreeMap<String, u64>,
    /// Events sent and answered for, be it with an error.
    pub(crate) events: u64,
    /// What the server said to the first request or event that it did not take.
    pub(crate) first_refusal: Option<String>,
    /// Requests without an answer when the load was interrupted.
    pub(crate) broken_off: usize,
    /// From the first intended send to the last answer.
    pub(crate) elapsed: Duration,
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency_us: Histogram::new_with_bounds(1, 600_000_000, 3)?,
            statuses: BTreeMap::new(),
            results: BTreeMap::new(),
            events: 0,
            first_refusal: None,
            broken_off: 0,
            elapsed: Duration::ZERO,
        })
    }

    /// Requests that were answered, or failed.
    pub(crate) fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Those that were not served.
    pub(crate) fn requests_refused(&self) -> u64 {
        self.requests() - self.statuses.get("200").copied().unwrap_or_default()
    }
}

/// A load under way.
struct Sending {
    client: HttpClient,
    load: Load,
    start: Instant,
    outcome: Arc<Mutex<Outcome>>,
    bar: ProgressBar,
    tasks: JoinSet<()>,
}

/// Sends the load and waits for every answer, or until it is interrupted.
///
/// # Errors
/// When the bookkeeping cannot be set up; what the server does is part of the outcome.
pub(crate) async fn run(
    client: HttpClient,
    visitors: Visitors,
    load: Load,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<Outcome> {
    let bar = ProgressBar::new(load.duration.as_secs());
    bar.set_draw_target(output::progress_target());
    bar.set_style(ProgressStyle::with_template("sending  {wide_bar} {pos}/{len} s  {msg}")?);
    let (start, outcome) = (Instant::now(), Arc::new(Mutex::new(Outcome::new()?)));
    let tasks = JoinSet::new();
    let mut sending = Sending { client, load, start, outcome, bar, tasks };
    let broken_off = tokio::select! {
        sent = sending.send(visitors) => sent.map(|()| 0)?,
        () = interrupted => sending.break_off().await,
    };
    sending.bar.finish_and_clear();
    let mut outcome = Arc::try_unwrap(sending.outcome)
        .map_err(|_| anyhow::anyhow!("a request is still under way"))?
        .into_inner()
        .expect("no holder panics");
    outcome.broken_off = broken_off;
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

impl Sending {
    async fn send(&mut self, mut visitors: Visitors) -> anyhow::Result<()> {
        let permits = Arc::new(Semaphore::new(self.load.outstanding_max));
        let batch = u32::try_from(self.load.batch_events)?;
        for request in 0_u32.. {
            let after_s = f64::from(request) * f64::from(batch) / self.load.rate;
            let intended = self.start + Duration::from_secs_f64(after_s);
            if intended - self.start >= self.load.duration {
                break;
            }
            let events: Vec<_> =
                (0..self.load.batch_events).map(|_| visitors.next_event()).collect();
            let body = serde_json::to_vec(&events)?;
            tokio::time::sleep_until(intended).await;
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let (client, bar) = (self.client.clone(), self.bar.clone());
            let (outcome, start) = (Arc::clone(&self.outcome), self.start);
            self.tasks.spawn(async move {
                let answer = client.send(Method::POST, "/v1/events", body).await;
                let latency = intended.elapsed();
                drop(permit);
                let mut outcome = outcome.lock().expect("no holder panics");
                record(&mut outcome, answer, latency, u64::from(batch));
                bar.set_position(start.elapsed().as_secs());
                let refused = outcome.requests_refused();
                bar.set_message(format!("{} events, {refused} requests refused", outcome.events));
            });
            while self.tasks.try_join_next().is_some() {}
        }
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Ends what has no answer yet, and says how many requests that were.
    async fn break_off(&mut self) -> usize {
        while self.tasks.try_join_next().is_some() {}
        let broken_off = self.tasks.len();
        self.tasks.shutdown().await;
        broken_off
    }
}

fn record(
    outcome: &mut Outcome,
    answer: anyhow::Result<crate::http_client::Answer>,
    latency: Duration,
    events: u64,
) {
    outcome.events += events;
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    outcome.latency_us.saturating_record(latency_us.max(1));
    let status = match &answer {
        Ok(answer) => answer.status.as_u16().to_string(),
        Err(_) => "error".to_owned(),
    };
    *outcome.statuses.entry(status.clone()).or_default() += 1;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            outcome.first_refusal.get_or_insert_with(|| format!("{error:#}"));
            return;
        }
    };
    let parsed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != StatusCode::OK {
        let error = &parsed["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        let said = format!("{status}, {}; {}", text("message"), text("help"));
        outcome.first_refusal.get_or_insert(said);
    }
    for result in parsed["results"].as_array().into_iter().flatten() {
        let status = result["status"].as_str().unwrap_or("unknown").to_owned();
        if status == "rejected" {
            let message = result["message"].as_str().unwrap_or_default();
            outcome.first_refusal.get_or_insert_with(|| message.to_owned());
        }
        *outcome.results.entry(status).or_default() += 1;
    }
}
