//! Every webhook is called until it is taken, whatever was killed meanwhile, and under one id.
//!
//! A rule of the folder calls a receiver of the torture at some carts. The receiver takes most calls, says no
//! to some and hangs up on others. What a kill cuts off between its answer and the log is called again: such
//! a call has the id that it had.

use super::carts::PACKAGE;
use super::reports::each_row;
use anyhow::ensure;
use parquet::record::RowAccessor;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The rule that calls.
const RULE: &str = "dear-cart";
/// The least price of the carts that it calls at: one event in 60.
const PRICE_MIN: u64 = 250;
/// Who waits is called within a third of this, whatever failed before: so long without a call, and all are
/// taken.
const QUIET: Duration = Duration::from_secs(3);
/// How long that is waited for.
const QUIET_MAX: Duration = Duration::from_secs(120);
/// The signature's secret; the unit tests of the sink check signatures.
const SECRET: &str = "whsec_dG9ydHVyZS10b3J0dXJlLXRvcnR1cmUtdG9ydHVyZQ==";

/// Takes calls.
#[derive(Debug)]
pub(super) struct Receiver {
    url: String,
    /// How often each id was asked for, and how often it was taken.
    heard: Arc<Mutex<BTreeMap<String, (u64, u64)>>>,
}

impl Receiver {
    /// One that answers from now on.
    ///
    /// # Errors
    /// When there is no address.
    pub(super) fn start(seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hooks", listener.local_addr()?);
        let heard = Arc::<Mutex<BTreeMap<String, (u64, u64)>>>::default();
        let (tally, mut random) = (Arc::clone(&heard), fastrand::Rng::with_seed(seed));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A server that was killed says nothing more.
                drop(serve(&stream, &tally, &mut random));
            }
        });
        Ok(Self { url, heard })
    }

    /// Its part of the configuration. Calls that fail come again soon, and are not given up.
    pub(super) fn configuration(&self) -> String {
        let waits = vec!["300"; 30].join(", ");
        format!(
            "\n[webhooks]\nretries_ms = [{waits}]\nbreaker_open_ms = 200\nsave_interval_ms = 100\n\
             waiting_max = 1000000\nwaiting_bytes_max = 1000000000\nin_flight_max = 16\n\n\
             [webhooks.endpoints.torture]\nurl = \"{}\"\nallow_private = true\n\
             secrets = [\"{SECRET}\"]\n",
            self.url
        )
    }

    /// Waits until nothing is called any more, by a server that nobody sends anything.
    ///
    /// # Errors
    /// When that does not come.
    pub(super) fn wait_until_quiet(&self) -> anyhow::Result<()> {
        let asked = || {
            let heard = self.heard.lock().expect("the receiver does not panic");
            heard.values().map(|(asked, _)| asked).sum::<u64>()
        };
        let begun = Instant::now();
        let (mut before, mut since) = (asked(), begun);
        while since.elapsed() < QUIET {
            ensure!(begun.elapsed() < QUIET_MAX, "webhooks are called again and again");
            std::thread::park_timeout(Duration::from_millis(50));
            let now = asked();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Holds what was heard against the actions and what became of them.
    ///
    /// # Errors
    /// When a call is lost, was given up, or was of no action.
    pub(super) fn judge(&self, reports: &Path) -> anyhow::Result<()> {
        let heard = self.heard.lock().expect("the receiver does not panic");
        let actions = actions(reports)?;
        let (mut said, mut attempts) = (BTreeMap::<String, u64>::new(), 0_u64);
        let columns = ["message_id", "outcome", "sink", "reason"];
        each_row(&reports.join("deliveries"), &columns, |row, at| {
            if row.get_string(at[2])? != "webhook" {
                return Ok(());
            }
            let (message, outcome) = (row.get_string(at[0])?, row.get_string(at[1])?);
            if outcome == "delivered" {
                *said.entry(message.clone()).or_default() += 1;
                return Ok(());
            }
            attempts += 1;
            let reason = row.get_string(at[3])?;
            let is_tried = ["status_500", "broken_off", "not_connected", "timeout"];
            ensure!(is_tried.contains(&reason.as_str()), "{message}: {outcome} {reason}");
            Ok(())
        })?;
        let taken = |id: &str| heard.get(id).map_or(0, |(_, taken)| *taken);
        let lost: Vec<_> = actions.iter().filter(|id| taken(id) == 0).collect();
        ensure!(lost.is_empty(), "{} calls lost, such as {}", lost.len(), lost[0]);
        let unsaid = actions.iter().find(|id| !said.contains_key(*id));
        ensure!(unsaid.is_none(), "taken, and the log does not say so: {unsaid:?}");
        let strange = heard.keys().find(|id| !actions.contains(*id));
        ensure!(strange.is_none(), "a call of no action: {strange:?}");
        let unheard = said.iter().find(|(id, count)| taken(id) == 0 || **count != 1);
        ensure!(unheard.is_none(), "said to be delivered, and not taken once: {unheard:?}");
        let again = heard.values().filter(|(_, taken)| *taken > 1).count();
        let all = heard.values().map(|(asked, _)| asked).sum::<u64>();
        ensure!(attempts > 0, "the run was too weak: no call failed");
        crate::say(&format!(
            "{} webhooks taken by {all} calls, {attempts} failures recorded; {again} taken again behind \
             a kill, under their ids",
            actions.len(),
        ));
        Ok(())
    }
}

/// The ids of the rule's asserted actions.
fn actions(reports: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut actions = BTreeSet::new();
    each_row(&reports.join("actions"), &["action_id", "rule", "op"], |row, at| {
        if row.get_string(at[1])? == RULE && row.get_string(at[2])? == "assert" {
            actions.insert(row.get_string(at[0])?.clone());
        }
        Ok(())
    })?;
    ensure!(!actions.is_empty(), "the run was too weak: no webhook acted");
    Ok(actions)
}

/// Lays the rule into the server's folder of rules.
///
/// # Errors
/// When it cannot be written.
pub(super) fn lay_rule(folder: &Path) -> anyhow::Result<()> {
    let text = format!(
        "name = \"{RULE}\"\nfire = \"every\"\nquery = 'AddToCart where data.price >= {PRICE_MIN}'\n\
         [action]\ntype = \"webhook\"\nendpoint = \"torture\"\n"
    );
    let path = folder.join("rules").join(PACKAGE).join(format!("{RULE}.toml"));
    Ok(std::fs::write(path, text)?)
}

/// Answers one call: most are taken, some refused, some hung up on.
fn serve(
    mut stream: &TcpStream,
    heard: &Mutex<BTreeMap<String, (u64, u64)>>,
    random: &mut fastrand::Rng,
) -> std::io::Result<()> {
    // Who was killed may have sent half of it.
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(stream);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim_end().split_once(": ") {
            Some(("webhook-id", value)) => value.clone_into(&mut id),
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let fate = random.u32(..10);
    let mut heard = heard.lock().expect("the receiver does not panic");
    let (asked, taken) = heard.entry(id).or_default();
    *asked += 1;
    *taken += u64::from(fate > 1);
    drop(heard);
    match fate {
        0 => Ok(()),
        1 => stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        _ => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"),
    }
}
