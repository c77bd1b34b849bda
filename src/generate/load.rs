//! Open-loop HTTP load: requests leave on schedule, whether or not earlier ones were answered.
//!
//! A latency counts from the time a request was meant to leave, so that a server that stalls
//! cannot hide it (no coordinated omission). What cannot leave because `outstanding_max` requests
//! wait is sent late, and its latency says so.

use super::visitors::Visitors;
use crate::http_client::HttpClient;
use hdrhistogram::Histogram;
use hyper::Method;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
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
    /// Events sent.
    pub(crate) events: u64,
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
            elapsed: Duration::ZERO,
        })
    }
}

/// Sends the load and waits for every answer.
///
/// # Errors
/// When the bookkeeping cannot be set up; what the server does is part of the outcome.
pub(crate) async fn run(
    client: HttpClient,
    mut visitors: Visitors,
    load: Load,
) -> anyhow::Result<Outcome> {
    let outcome = Arc::new(Mutex::new(Outcome::new()?));
    let permits = Arc::new(Semaphore::new(load.outstanding_max));
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for request in 0_u32.. {
        let batch = u32::try_from(load.batch_events)?;
        let intended =
            start + Duration::from_secs_f64(f64::from(request) * f64::from(batch) / load.rate);
        if intended - start >= load.duration {
            break;
        }
        let events: Vec<_> = (0..load.batch_events).map(|_| visitors.next_event()).collect();
        let body = serde_json::to_vec(&events)?;
        tokio::time::sleep_until(intended).await;
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let (client, outcome) = (client.clone(), Arc::clone(&outcome));
        tasks.spawn(async move {
            let answer = client.send(Method::POST, "/v1/events", body).await;
            let latency = intended.elapsed();
            drop(permit);
            let mut outcome = outcome.lock().expect("no holder panics");
            record(&mut outcome, answer, latency, u64::from(batch));
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    let mut outcome = Arc::try_unwrap(outcome)
        .map_err(|_| anyhow::anyhow!("a request is still under way"))?
        .into_inner()
        .expect("no holder panics");
    outcome.elapsed = start.elapsed();
    Ok(outcome)
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
    *outcome.statuses.entry(status).or_default() += 1;
    let Ok(answer) = answer else { return };
    let parsed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    for result in parsed["results"].as_array().into_iter().flatten() {
        let status = result["status"].as_str().unwrap_or("unknown").to_owned();
        *outcome.results.entry(status).or_default() += 1;
    }
}
