//! Webhooks: the two threads of the sink, its cursor and state, and its Router before the HTTP side.

use super::notification::with_code;
use super::slowest::{Reader, Slowest};
use crate::config::Config;
use anyhow::Context;
use axum::middleware::map_response;
use beckon_engine::clock::Clock;
use beckon_engine::disk::{Disk, RealDisk};
use beckon_engine::log::{EmbeddedLog, Log};
use beckon_engine::model::Epoch;
use beckon_engine::outbox::{Cursor, Outbox, Position};
use beckon_ingest::Mounted;
use beckon_sinks::webhook::{Parts, SinkParts, Store, Webhooks, router, run, schemas, send};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The cursor's name.
pub(super) const CURSOR: &str = "webhook";
/// The state's folder.
const FOLDER: &str = "webhooks";

/// The calls of a log that held epochs up to `ready_at` at the start.
///
/// # Errors
/// When an endpoint's configuration does not make sense.
pub(super) fn webhooks(
    config: &Config,
    (log, clock): (&Arc<EmbeddedLog>, &Arc<dyn Clock>),
    ready_at: Epoch,
) -> anyhow::Result<Arc<Webhooks>> {
    Ok(Webhooks::new(Parts {
        log: Arc::clone(log) as Arc<dyn Log>,
        clock: Arc::clone(clock),
        config: config.webhooks.clone(),
        ready_at,
    })?)
}

/// The threads of webhooks.
pub(super) struct Threads {
    webhooks: Arc<Webhooks>,
    fold: JoinHandle<anyhow::Result<()>>,
    send: JoinHandle<anyhow::Result<()>>,
}

impl Threads {
    /// Starts them. A failure ends the process: going on would only fill the outbox.
    ///
    /// # Errors
    /// When there is no thread, or no folder.
    pub(super) fn start(
        config: &Config,
        webhooks: &Arc<Webhooks>,
        (outbox, slowest): (Outbox, Arc<Slowest>),
        (mut cursor, position): (Cursor, Position),
    ) -> anyhow::Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let parts = SinkParts {
            webhooks: Arc::clone(webhooks),
            outbox,
            position,
            store: Store::open(disk, &config.server.data.join(FOLDER))?,
            durable: Box::new(move |position| {
                cursor.advance(position)?;
                slowest.moved(Reader::Webhook, position.epoch)
            }),
        };
        let fold = move || -> anyhow::Result<()> {
            let ended = run(parts);
            if let Err(error) = &ended {
                super::back::fatal(&format!("the sink of webhooks failed: {error}"));
            }
            Ok(ended?)
        };
        let calling = Arc::clone(webhooks);
        let send = move || -> anyhow::Result<()> {
            let ended = send(&calling);
            if let Err(error) = &ended {
                super::back::fatal(&format!("no webhook can be called: {error}"));
            }
            Ok(ended?)
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        Ok(Self {
            webhooks: Arc::clone(webhooks),
            fold: thread("sink:webhook").spawn(fold)?,
            send: thread("webhook:calls").spawn(send)?,
        })
    }

    /// Lets no call begin any more, and waits for those that are under way, within bounds.
    ///
    /// # Errors
    /// When the thread failed.
    pub(super) fn stop_calls(self) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        self.webhooks.close();
        let ended =
            self.send.join().map_err(|_| anyhow::anyhow!("the calls of webhooks panicked"))?;
        ended.context("the calls of webhooks did not end well")?;
        Ok(self.fold)
    }
}

/// The Router as the HTTP side mounts it.
pub(super) fn mounted(webhooks: &Arc<Webhooks>) -> Mounted {
    let router = router(Arc::clone(webhooks));
    let router = router.layer(map_response(async |response| with_code(response)));
    Mounted { router, schemas: schemas() }
}
