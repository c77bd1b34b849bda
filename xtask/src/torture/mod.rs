//! `cargo xtask torture --kills N`: `kill -9` under load, again and again.
//!
//! Clients send without pause and packages of rules come, change, go and pause, while the server is
//! killed at random moments, some of them while it still recovers, and started again with one or two
//! workers; some kills come while a snapshot is taken or behind one ([`kills`]). What is deployed is held
//! against what was acknowledged all the time. In the end the server is asked to stop, and the Parquet is
//! held against it too: every acknowledged event once, none twice, no action twice by its id, which all
//! versions of a rule share; what must act did ([`carts`]); what became of messages ([`messages`]), what a page saw of them ([`pages`]), and webhooks ([`webhooks`]); and visits and epochs against the events
//! ([`tables`]). The seed is another
//! one each time, and is printed; it decides when kills come, not what the machine's scheduler does in
//! between.
//!
//! [`overload`] is the other half: nothing is killed, but more comes than is let through.

mod carts;
mod clients;
mod deployments;
mod kills;
mod memory;
mod messages;
mod open_load;
pub(super) mod overload;
mod pages;
mod reports;
mod server;
mod snapshots;
mod tables;
mod webhooks;

pub(crate) use self::server::Server;
use anyhow::Context;
use clients::Tally;
use deployments::{Deployments, Figures, PREFIX};
use kills::Kills;
use pages::Seen;
use snapshots::Snapshots;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use tables::{Tables, Visits};

/// Bounds that make files short, so that kills come while one follows another, snapshots follow soon,
/// the log loses what they have, and visits without events are over within seconds.
const BOUNDS: &str = "
[engine]
snapshot_records = 1000
lateness_ms = 1000
inactivity_ms = 1000

[log]
segment_bytes = 1000000
retention_ms = 1000

[reports]
rotation_ms_max = 1000
";

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct TortureArgs {
    /// How often the server is killed
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Says when kills come; another one each time unless it is given
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that send at a time
    #[arg(long, default_value_t = 3)]
    clients: u64,
    /// More load than is let through instead, while reports cannot be written
    #[arg(long, conflicts_with_all = ["kills", "seed", "clients"])]
    overload: bool,
    /// Repeats the overload for so long, and prints the memory of each minute
    #[arg(long, requires = "overload")]
    minutes: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// When something that was acknowledged is lost or stands twice, or the server misbehaves.
pub(crate) fn run(root: &Path, args: &TortureArgs) -> anyhow::Result<()> {
    let binary = super::build_beckon(root)?;
    match args.minutes {
        Some(minutes) => return overload::run_for(&binary, minutes),
        None if args.overload => return overload::run(root, &binary),
        None => {}
    }
    // Short enough to be typed.
    let seed = args.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let folder = tempfile::Builder::new().prefix("beckon-torture-").tempdir()?;
    let receiver = webhooks::Receiver::start(seed)?;
    let bounds = format!("{BOUNDS}{}{}", messages::BOUNDS, receiver.configuration());
    write_configuration(folder.path(), &bounds)?;
    messages::lay_rule(folder.path())?;
    pages::lay_rule(folder.path())?;
    webhooks::lay_rule(folder.path())?;
    super::say(&format!(
        "{} kills, data in {}; again with --kills {} --seed {seed}",
        args.kills,
        folder.path().display(),
        args.kills
    ));
    let mut server = Server::new(binary.clone(), folder.path(), super::free_address()?);
    let tally = Arc::new(Tally::default());
    let deployments = Deployments::new(&binary, &folder.path().join("data"), server.base(), seed)?;
    server.start(1)?;
    let deployer = {
        let tally = Arc::clone(&tally);
        std::thread::spawn(move || {
            let ended = deployments.run(&tally);
            tally.ends.store(true, Ordering::Relaxed);
            ended
        })
    };
    let clients: Vec<_> = (0..args.clients).map(|it| send(it, server.base(), &tally)).collect();
    let page = listen(server.base(), &tally);
    let mut snapshots = Snapshots::new(folder.path(), seed);
    let random = fastrand::Rng::with_seed(seed);
    let mut kills = Kills { server: &mut server, tally: &tally, snapshots: &mut snapshots, random };
    let killed = kills.run(args.kills);
    tally.ends.store(true, Ordering::Relaxed);
    for client in clients {
        let ended = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        ended.with_context(|| server.last_words())?;
    }
    let seen = page.join().map_err(|_| anyhow::anyhow!("the page panicked"))?;
    let seen = seen.with_context(|| server.last_words())?;
    let deployed = deployer.join().map_err(|_| anyhow::anyhow!("the deployer panicked"))?;
    let deployed = deployed.with_context(|| server.last_words())?;
    killed?;
    receiver.wait_until_quiet().with_context(|| server.last_words())?;
    server.stop()?;
    judge(folder.path(), &tally)?;
    receiver.judge(&folder.path().join("reports"))?;
    pages::judge(&folder.path().join("reports"), &seen)?;
    judge_deployments(folder.path(), &deployed)?;
    snapshots.judge()
}

/// A client that sends.
fn send(client: u64, base: String, tally: &Arc<Tally>) -> JoinHandle<anyhow::Result<()>> {
    let tally = Arc::clone(tally);
    std::thread::spawn(move || clients::run(client, &base, &tally))
}

/// A page that listens.
fn listen(base: String, tally: &Arc<Tally>) -> JoinHandle<anyhow::Result<Seen>> {
    let tally = Arc::clone(tally);
    std::thread::spawn(move || {
        let ended = pages::run(&base, &tally);
        tally.ends.store(true, Ordering::Relaxed);
        ended
    })
}

fn judge(folder: &Path, tally: &Tally) -> anyhow::Result<()> {
    let acknowledged = tally.acknowledged.lock().expect("no client panics");
    let tables = Tables::read(&folder.join("reports"))?;
    let events = tables.event_ids();
    let asserts = ("op", "assert");
    let actions = reports::count(&folder.join("reports/actions"), "action_id", Some(asserts))?;
    let lost: Vec<_> = acknowledged.iter().filter(|id| events.binary_search(id).is_err()).collect();
    let doubled = events.windows(2).find(|pair| pair[0] == pair[1]);
    let acted_twice: Vec<_> = actions.iter().filter(|(_, count)| **count > 1).collect();
    let cut_off = tally.cut_off.load(Ordering::Relaxed);
    let duplicates = tally.duplicates.load(Ordering::Relaxed);
    super::say(&format!(
        "{} events acknowledged, {} in Parquet, {} actions; {} batches sent again, {cut_off} \
         requests cut off, {duplicates} duplicates",
        acknowledged.len(),
        events.len(),
        actions.len(),
        tally.repeated.load(Ordering::Relaxed)
    ));
    anyhow::ensure!(!actions.is_empty(), "no rule fired, so nothing was proven about actions");
    anyhow::ensure!(lost.is_empty(), "{} lost, such as {:X}", lost.len(), lost[0]);
    anyhow::ensure!(doubled.is_none(), "doubled: {doubled:X?}");
    anyhow::ensure!(acted_twice.is_empty(), "acted twice: {:?}", acted_twice[0]);
    anyhow::ensure!(
        cut_off > 0 && duplicates > 0,
        "the run was too weak: {cut_off} requests cut off by a kill and {duplicates} duplicates \
         answered, so nothing was proven about either; take more kills"
    );
    super::say("nothing lost, nothing doubled");
    judge_carts(folder, &acknowledged, &tables)?;
    tables.check_epochs()?;
    messages::judge(&folder.join("reports"))?;
    judge_visits(&tables)
}

fn judge_carts(folder: &Path, sent: &[u128], tables: &Tables) -> anyhow::Result<()> {
    let late = tables.late_ids();
    let is_asked = |id: &&u128| clients::is_cart(**id, carts::PRICE_MIN) && !late.contains(*id);
    let mut must: Vec<u128> = sent.iter().filter(is_asked).copied().collect();
    must.sort_unstable();
    carts::check(&carts::acted(&folder.join("reports"))?, &must)?;
    anyhow::ensure!(!must.is_empty(), "the run was too weak: nothing had to act");
    super::say(&format!(
        "{} carts had to act, and did once each; {} events late",
        must.len(),
        late.len()
    ));
    Ok(())
}

fn judge_visits(tables: &Tables) -> anyhow::Result<()> {
    let Visits { opened, resumed, closed } = tables.check_visits()?;
    super::say(&format!("{opened} visits opened, {resumed} of them again; closed: {closed:?}"));
    let reasons = ["ended", "inactive"];
    anyhow::ensure!(
        resumed > 0 && reasons.iter().all(|reason| closed.contains_key(*reason)),
        "the run was too weak: {resumed} visits went on, closed: {closed:?}; take more kills"
    );
    super::say("visits and epochs are what the events say");
    Ok(())
}

fn judge_deployments(folder: &Path, deployed: &Figures) -> anyhow::Result<()> {
    let asserts = Some(("op", "assert"));
    let actions = reports::count(&folder.join("reports/actions"), "package", asserts)?;
    let suppressed = ("op", "suppress");
    let suppressed =
        reports::count(&folder.join("reports/actions"), "suppress_reason", Some(suppressed))?;
    let of_deployed = actions.iter().filter(|(package, _)| package.starts_with(PREFIX));
    let acted: u64 = of_deployed.map(|(_, count)| count).sum();
    super::say(&format!(
        "{} changes of deployed rules acknowledged, {} cut off, looked at {} times; {acted} actions \
         of theirs, suppressed: {suppressed:?}",
        deployed.acknowledged, deployed.cut_off, deployed.looks
    ));
    anyhow::ensure!(
        acted > 0 && deployed.cut_off > 0 && suppressed.contains_key("once"),
        "the run was too weak: {acted} actions of deployed rules, {} changes cut off by a kill, \
         suppressed: {suppressed:?}; take more kills",
        deployed.cut_off
    );
    super::say("every acknowledged deployment stood");
    Ok(())
}

fn write_configuration(folder: &Path, bounds: &str) -> anyhow::Result<()> {
    let rules = folder.join("rules").join(carts::PACKAGE);
    std::fs::create_dir_all(&rules)?;
    let rule = |name: &str, fire: &str, query: &str| {
        let text = format!(
            "name = \"{name}\"\nfire = \"{fire}\"\nquery = '''\n{query}\n'''\n[action]\ntype = \"none\"\n"
        );
        std::fs::write(rules.join(format!("{name}.toml")), text)
    };
    let dear = format!("AddToCart where data.price >= {}", carts::PRICE_MIN);
    rule(carts::RULE, "every", &dear)?;
    rule(
        "three-pages",
        "once",
        "sequence [ PageEntered where category == \"pricing\" ] with runs=3",
    )?;
    let text = format!(
        r#"
[server]
data = "{folder}/data"
rules = "{folder}/rules"
reports = "{folder}/reports"

{bounds}

[sites.torture]
keys = [{{ name = "clients", kind = "server", key = "{key}" }}]
"#,
        folder = folder.display(),
        key = clients::KEY
    );
    Ok(std::fs::write(folder.join("beckon.toml"), text)?)
}
