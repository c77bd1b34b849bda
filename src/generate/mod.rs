//! `beckon generate`: a realistic, seeded stream of visitors, as NDJSON or as HTTP load.

mod load;
mod visitors;
mod zipf;

use crate::command::server::local_server;
use crate::http_client::HttpClient;
use crate::output;
use beckon_engine::clock::{Clock, SystemClock};
use clap::Args;
use comfy_table::Table;
use hyper::Method;
use std::io::Write;
use std::time::Duration;
use visitors::{Profile, Visitors};

/// Events a second: one in a quarter of an hour, and more than any server takes.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e7;

/// Arguments of `beckon generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Events to write (without --target)
    #[arg(long, default_value_t = 10_000)]
    events: u64,
    /// Says which stream it is: the same seed gives the same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Visits under way at a time
    #[arg(long, default_value_t = 1_000)]
    visits: usize,
    /// Pages of the shop, visited by Zipf's law
    #[arg(long, default_value_t = 2_000)]
    pages: u32,
    /// Mean events of a visit
    #[arg(long, default_value_t = 12.0)]
    visit_events: f64,
    /// Share of late events
    #[arg(long, default_value_t = 0.01)]
    late: f64,
    /// Share of duplicate events
    #[arg(long, default_value_t = 0.005)]
    duplicates: f64,
    /// Share of visits that are bots
    #[arg(long, default_value_t = 0.02)]
    bots: f64,
    /// Send load to this server instead; without a URL, to where the configuration says that it
    /// listens. (Commands that ask a server something call it --server.)
    #[arg(long, value_name = "URL")]
    target: Option<Option<String>>,
    /// Write key for --target
    #[arg(long, requires = "target")]
    key: Option<String>,
    /// Events a second; without --target it is event time
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Events a request
    #[arg(long, default_value_t = 100, requires = "target")]
    batch: usize,
    /// Seconds of load
    #[arg(long, default_value_t = 10, requires = "target")]
    seconds: u64,
    /// Requests that may wait for an answer
    #[arg(long, default_value_t = 1_000, requires = "target")]
    outstanding: usize,
}

/// Runs the command.
///
/// # Errors
/// When the output or the server cannot be reached, or what was sent was not all taken.
pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        (RATE_MIN..=RATE_MAX).contains(&args.rate),
        "--rate must be from {RATE_MIN} to {RATE_MAX} events a second"
    );
    let shares = [("late", args.late), ("duplicates", args.duplicates), ("bots", args.bots)];
    for (name, share) in shares {
        anyhow::ensure!((0.0..=1.0).contains(&share), "--{name} is a share, from 0 to 1");
    }
    anyhow::ensure!(args.visits > 0 && args.pages > 0, "--visits and --pages must be above zero");
    anyhow::ensure!(
        args.visit_events.is_finite() && args.visit_events >= 1.0,
        "--visit-events must be 1 or more"
    );
    anyhow::ensure!(args.batch > 0, "--batch must be above zero");
    let mut profile = Profile {
        seed: args.seed,
        events_per_second: args.rate,
        visits_open: args.visits,
        pages: args.pages,
        visit_events_mean: args.visit_events,
        late_share: args.late,
        duplicate_share: args.duplicates,
        bot_share: args.bots,
        ..Profile::default()
    };
    match &args.target {
        None => write_events(args.events, Visitors::new(profile)),
        Some(target) => {
            let target = target.clone().map_or_else(local_server, Ok)?;
            profile.start_ms = SystemClock::default().now().0;
            send_events(args, &target, Visitors::new(profile))
        }
    }
}

fn write_events(events: u64, mut visitors: Visitors) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for _ in 0..events {
        serde_json::to_writer(&mut out, &visitors.next_event())?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn send_events(args: &GenerateArgs, target: &str, visitors: Visitors) -> anyhow::Result<()> {
    let client = HttpClient::new(target, args.key.clone(), None)?;
    let load = load::Load {
        rate: args.rate,
        batch_events: args.batch,
        duration: Duration::from_secs(args.seconds),
        outstanding_max: args.outstanding.max(1),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Said at once, and with its cause; once load runs, what fails is counted.
    runtime.block_on(client.send(Method::GET, "/healthz", ""))?;
    let outcome = runtime.block_on(load::run(client, visitors, load, interrupted()))?;
    report(&outcome)?;
    check(&outcome)
}

/// Done at ctrl-c.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Whether everything that was sent was taken.
fn check(outcome: &load::Outcome) -> anyhow::Result<()> {
    anyhow::ensure!(outcome.events > 0, "nothing was sent");
    let Some(first) = &outcome.first_refusal else { return Ok(()) };
    let (requests, refused) = (outcome.requests(), outcome.requests_refused());
    let rejected = outcome.results.get("rejected").copied().unwrap_or_default();
    anyhow::bail!(
        "{refused} of {requests} requests were not served, and {rejected} events rejected; \
         the first: {first}{}",
        if outcome.statuses.contains_key("401") { " (here: --key KEY)" } else { "" }
    )
}

fn report(outcome: &load::Outcome) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    let seconds = outcome.elapsed.as_secs_f64();
    table.add_row(["events sent".to_owned(), outcome.events.to_string()]);
    table.add_row(["seconds".to_owned(), format!("{seconds:.2}")]);
    for (status, count) in &outcome.statuses {
        table.add_row([format!("answers {status}"), count.to_string()]);
    }
    if outcome.broken_off > 0 {
        table.add_row(["requests broken off".to_owned(), outcome.broken_off.to_string()]);
    }
    for (result, count) in &outcome.results {
        table.add_row([format!("events {result}"), count.to_string()]);
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        let latency_us = outcome.latency_us.value_at_quantile(quantile);
        let text = format!("{}.{:03} ms", latency_us / 1_000, latency_us % 1_000);
        table.add_row([format!("latency {name}"), text]);
    }
    output::line(&table.to_string())
}
