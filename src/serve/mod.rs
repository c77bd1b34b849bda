//! `beckon serve`: the parts put together, from start to drain.
//!
//! Order of start: rules, tables and cursors (what they name, the log must reach), log, what changed in
//! the folder of rules since the log was written, outbox, engine, sink, HTTP. The HTTP side listens while the engine still replays; `/readyz` says when
//! it has caught up. Order of the end: streams of messages end, HTTP drains, the log is closed, the engine works through
//! what is on disk, the sink finishes its files.

mod ahead;
mod back;
mod banner;
mod columns;
mod engine;
mod figures;
mod logging;
mod notification;
mod progress;
mod rules;
mod slowest;
mod traces;
mod view;
mod webhook;
mod webhook_figures;

use crate::config::{self, Config, ConfigArgs, Loaded};
use back::Back;
use beckon_engine::clock::{Clock, SystemClock};
use beckon_engine::disk::RealDisk;
use beckon_ingest::dead_letters::DeadLetters;
use beckon_ingest::tokens::TokenStore;
use beckon_ingest::visits::VisitTokens;
use beckon_ingest::{Parts, Server, ServerConfig};
use prometheus_client::registry::Registry;
use rules::Folder;
pub(crate) use rules::FolderRules;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use traces::Traces;

/// The site of keyless events in demo mode.
const DEMO_SITE: &str = "demo";

/// Arguments of `beckon serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A page to click on, rules to watch, keyless events from this machine, data that goes away
    #[arg(long)]
    demo: bool,
}

/// Runs the server until it is asked to end.
///
/// # Errors
/// When it cannot start, or its files cannot be finished at the end.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let mut loaded = config::load(&args.config, std::env::vars())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(loaded.config.server.http_threads)
        .thread_name("http")
        .enable_all()
        .build()?;
    let traces = Traces::start(&loaded.config.traces, runtime.handle())?;
    logging::start(&loaded.config.server, traces.as_ref())?;
    let demo_folder = if args.demo { demo_folder(&mut loaded)? } else { None };
    let config = loaded.config;
    let folder = FolderRules::load(&config, args.demo)?;
    let listener = runtime.block_on(listen(&config, args.demo))?;
    let address = listener.local_addr()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (data, reports) = (config.server.data.display(), config.reports());
    tracing::info!(rules = folder.rules.rules.len(), %data, reports = %reports.display(), "starting");
    if config.sites.is_empty() && !args.demo {
        tracing::warn!("no site has a write key, so every event is refused: sites.NAME.keys");
    }
    let mut back = Back::start(&config, &folder, &clock)?;
    let tokens = token_store(&config, &clock)?;
    let letters = dead_letters(&config, &clock)?;
    let server = Server::new(
        &server_config(&config, args.demo)?,
        Parts {
            log: back.log(),
            clock,
            engine: back.view(),
            registry: registry(&mut back, traces.as_ref()),
            join_caller: traces::join_caller,
            tokens: Arc::clone(&tokens),
            dead_letters: Arc::clone(&letters),
            deployer: back.deployer(),
            folder: config.server.rules.clone().map(|path| Arc::new(Folder(path)) as _),
            visit_tokens: Arc::new(VisitTokens::open(&config.server.data)?),
            notifications: notification::mounted(&back.notifications()),
            webhooks: webhook::mounted(&back.webhooks()),
        },
    )?;
    // From here on a signal drains; before, while recovery reads the log, it ends the process.
    let signals = runtime.block_on(async { EndSignals::receive() })?;
    if args.demo {
        banner::print(address, &config, &folder.rules, &tokens)?;
    }
    let notifications = back.notifications();
    let ended = async move {
        signals.ended().await;
        notifications.close();
    };
    let served = runtime.block_on(server.serve(listener, ended));
    tracing::info!("draining");
    let stopped = back.stop();
    // The last owner: letters that wait are written and synced here.
    drop(letters);
    drop(demo_folder);
    served?;
    stopped?;
    tracing::info!("ended");
    if let Some(traces) = traces {
        traces.finish();
    }
    Ok(())
}

/// The metrics of the parts that are no part of HTTP.
fn registry(back: &mut Back, traces: Option<&Traces>) -> Registry {
    let mut registry = back.registry();
    if let Some(traces) = traces {
        traces.register(&mut registry);
    }
    registry
}

/// In demo mode data goes to a temporary folder unless a flag or the environment names one. A
/// configuration file in the working folder names that of a real site, where keyless events have no
/// place.
fn demo_folder(loaded: &mut Loaded) -> anyhow::Result<Option<tempfile::TempDir>> {
    if !loaded.is_told("server.reports") {
        loaded.config.server.reports = None;
    }
    if loaded.is_told("server.data") {
        return Ok(None);
    }
    if !loaded.config.sites.is_empty() {
        // What they would be told is kept would go with the folder.
        tracing::warn!("the configured sites are not served: the demo's data goes when it ends");
        loaded.config.sites.clear();
    }
    let folder = tempfile::Builder::new().prefix("beckon-demo-").tempdir()?;
    folder.path().clone_into(&mut loaded.config.server.data);
    Ok(Some(folder))
}

async fn listen(config: &Config, is_demo: bool) -> anyhow::Result<TcpListener> {
    let listen = &config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "; another server runs there, --listen takes another address",
            ErrorKind::InvalidInput => "; expected an address and a port, such as 127.0.0.1:7700",
            _ => "",
        };
        anyhow::anyhow!("cannot listen on {listen}: {error}{advice}")
    })?;
    let address: SocketAddr = listener.local_addr()?;
    anyhow::ensure!(
        !is_demo || address.ip().is_loopback(),
        "--demo takes events without a key and therefore listens on loopback only, not on {address}"
    );
    anyhow::ensure!(
        address.ip().is_loopback() || config.tls()?.is_some() || config.server.tls.is_some(),
        "{address} is reached from other machines, and keys and tokens would cross the network as plain \
         text: set server.certificate and server.certificate_key, or server.tls = \"proxy\" where a \
         proxy in front speaks TLS"
    );
    if config.server.tls.is_some() && config.server.trusted_proxies.is_empty() {
        tracing::warn!(
            "server.tls is \"proxy\" without server.trusted_proxies: all visitors have the \
             proxy's address, and its rate"
        );
    }
    Ok(listener)
}

fn token_store(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<TokenStore>> {
    let folder: PathBuf = config.server.data.join("tokens");
    Ok(Arc::new(TokenStore::open(Arc::new(RealDisk), folder, Arc::clone(clock))?))
}

fn dead_letters(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<DeadLetters>> {
    let folder = config.server.data.join("dead-letters");
    let limits = config.dead_letters.clone();
    Ok(Arc::new(DeadLetters::open(Arc::new(RealDisk), &folder, limits, Arc::clone(clock))?))
}

fn server_config(config: &Config, is_demo: bool) -> anyhow::Result<ServerConfig> {
    Ok(ServerConfig {
        limits: config.limits.clone(),
        sites: config.sites.clone(),
        query_parameters: config.server.query_parameters.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        addresses: config.server.addresses,
        tls: config.tls()?,
        demo_site: is_demo.then(|| DEMO_SITE.to_owned()),
    })
}

/// What asks the process to end: ctrl-c and SIGTERM.
struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl EndSignals {
    /// Takes the signals, which end the process at once until then.
    fn receive() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Done when one comes, or came since they are received.
    async fn ended(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("ctrl-c"),
        }
    }
}
