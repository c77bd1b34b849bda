//! `cargo xtask torture --kills N`: `kill -9` under load, again and again.
//!
//! Clients send without pause and packages of rules come, change, go and pause, while the server is
//! killed at random moments, some of them while it still recovers, and started again with one or two
//! workers; some kills come while a snapshot is taken or behind one. What is deployed is held against
//! what was acknowledged all the time. In the end the server
//! is asked to stop, and the Parquet is held against it too: every acknowledged event once, none
//! twice, no action twice by its id, which all versions of a rule share. The seed is printed; it
//! decides when kills come, not what the machine's scheduler does in between.
//!
//! [`overload`] is the other half: nothing is killed, but more comes than is let through.

mod clients;
mod deployments;
mod memory;
mod open_load;
pub(super) mod overload;
mod reports;
mod server;
mod snapshots;

use anyhow::Context;
use clients::Tally;
use deployments::{Deployments, Figures, PREFIX};
use server::Server;
use snapshots::Snapshots;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bounds that make files short, so that kills come while one follows another, snapshots follow soon,
/// and the log loses what they have.
const BOUNDS: &str = "
[engine]
snapshot_records = 1000

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
    /// Says when kills come
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients that send at a time
    #[arg(long, default_value_t = 3)]
    clients: u64,
    /// More load than is let through instead, while reports cannot be written
    #[arg(long, conflicts_with_all = ["kills", "seed", "clients"])]
    overload: bool,
}

/// Runs the command.
///
/// # Errors
/// When something that was acknowledged is lost or stands twice, or the server misbehaves.
pub(crate) fn run(root: &Path, args: &TortureArgs) -> anyhow::Result<()> {
    let binary = super::build_beckon(root)?;
    if args.overload {
        return overload::run(root, &binary);
    }
    let folder = tempfile::Builder::new().prefix("beckon-torture-").tempdir()?;
    write_configuration(folder.path(), BOUNDS)?;
    super::say(&format!(
        "seed {}, {} kills, data in {}",
        args.seed,
        args.kills,
        folder.path().display()
    ));
    let mut server = Server::new(binary.clone(), folder.path(), super::free_address()?);
    let tally = Arc::new(Tally::default());
    let deployments =
        Deployments::new(&binary, &folder.path().join("data"), server.base(), args.seed)?;
    server.start(1)?;
    let deployer = {
        let tally = Arc::clone(&tally);
        std::thread::spawn(move || {
            let ended = deployments.run(&tally);
            tally.ends.store(true, Ordering::Relaxed);
            ended
        })
    };
    let clients: Vec<_> = (0..args.clients)
        .map(|client| {
            let (base, tally) = (server.base(), Arc::clone(&tally));
            std::thread::spawn(move || clients::run(client, &base, &tally))
        })
        .collect();
    let mut snapshots = Snapshots::new(folder.path(), args.seed);
    let killed = kill_often(&mut server, &tally, (args, &mut snapshots));
    tally.ends.store(true, Ordering::Relaxed);
    for client in clients {
        let ended = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        ended.with_context(|| server.last_words())?;
    }
    let deployed = deployer.join().map_err(|_| anyhow::anyhow!("the deployer panicked"))?;
    let deployed = deployed.with_context(|| server.last_words())?;
    killed?;
    server.stop()?;
    judge(folder.path(), &tally)?;
    judge_deployments(folder.path(), &deployed)?;
    snapshots.judge()
}

fn kill_often(
    server: &mut Server,
    tally: &Tally,
    (args, snapshots): (&TortureArgs, &mut Snapshots),
) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(args.seed);
    let seen = |count: &AtomicU64| count.load(Ordering::Relaxed);
    for kill in 1..=args.kills {
        match random.u8(..5) {
            4 => snapshots.wait(server, tally)?,
            0 => std::thread::park_timeout(Duration::from_millis(random.u64(..300))),
            1 => {
                // A change of what is deployed is under way.
                wait_for(server, tally, &tally.changes, seen(&tally.changes) + random.u64(1..10))?;
                std::thread::park_timeout(Duration::from_micros(random.u64(..3_000)));
            }
            _ => {
                wait_for(server, tally, &tally.batches, seen(&tally.batches) + random.u64(1..120))?
            }
        }
        server.kill()?;
        let workers = random.u32(1..=2);
        super::say(&format!(
            "kill {kill} of {}: {} batches acknowledged, {} changes of rules sent; starting with \
             {workers} workers",
            args.kills,
            seen(&tally.batches),
            seen(&tally.changes)
        ));
        server.start(workers)?;
    }
    wait_for(server, tally, &tally.batches, seen(&tally.batches) + 50)
}

fn wait_for(server: &Server, tally: &Tally, count: &AtomicU64, enough: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while count.load(Ordering::Relaxed) < enough {
        anyhow::ensure!(!tally.ends.load(Ordering::Relaxed), "the deployer gave up");
        anyhow::ensure!(Instant::now() < deadline, "no progress:\n{}", server.last_words());
        std::thread::park_timeout(Duration::from_micros(200));
    }
    Ok(())
}

fn judge(folder: &Path, tally: &Tally) -> anyhow::Result<()> {
    let acknowledged = tally.acknowledged.lock().expect("no client panics");
    let events = reports::count(&folder.join("reports/events"), "event_id", None)?;
    let asserts = ("op", "assert");
    let actions = reports::count(&folder.join("reports/actions"), "action_id", Some(asserts))?;
    let lost: Vec<_> = acknowledged.iter().filter(|id| !events.contains_key(*id)).collect();
    let doubled: Vec<_> = events.iter().filter(|(_, count)| **count > 1).collect();
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
    anyhow::ensure!(lost.is_empty(), "{} lost, such as {:?}", lost.len(), lost[0]);
    anyhow::ensure!(doubled.is_empty(), "{} doubled, such as {:?}", doubled.len(), doubled[0]);
    anyhow::ensure!(acted_twice.is_empty(), "acted twice: {:?}", acted_twice[0]);
    anyhow::ensure!(
        cut_off > 0 && duplicates > 0,
        "the run was too weak: {cut_off} requests cut off by a kill and {duplicates} duplicates \
         answered, so nothing was proven about either; take more kills or another seed"
    );
    super::say("nothing lost, nothing doubled");
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
         suppressed: {suppressed:?}; take more kills or another seed",
        deployed.cut_off
    );
    super::say("every acknowledged deployment stood");
    Ok(())
}

fn write_configuration(folder: &Path, bounds: &str) -> anyhow::Result<()> {
    let rules = folder.join("rules/com.example.torture");
    std::fs::create_dir_all(&rules)?;
    let rule = |name: &str, fire: &str, query: &str| {
        let text = format!(
            "name = \"{name}\"\nfire = \"{fire}\"\nquery = '''\n{query}\n'''\n[action]\ntype = \"none\"\n"
        );
        std::fs::write(rules.join(format!("{name}.toml")), text)
    };
    rule("every-cart", "every", "AddToCart where data.price >= 100")?;
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
