//! What all routes share.

use crate::answer::Refusal;
use crate::client::{Proxies, ProxyError};
use crate::dead_letters::DeadLetters;
use crate::figures::{EngineStatus, VisitProgress};
use crate::limits::{LimitError, Limits};
use crate::memory::Memory;
use crate::metrics::{Loads, Metrics};
use crate::normalise::{AddressPolicy, Normaliser, QueryPolicy};
use crate::openapi::Mounted;
use crate::rate::{Rates, sender_of};
use crate::refusals::Refusals;
use crate::sites::{Sites, SitesConfig, SitesError, WriteKey};
use crate::tls::{TlsError, TlsFiles};
use crate::tokens::TokenStore;
use crate::visits::VisitTokens;
use axum::http::{HeaderMap, StatusCode};
use beckon_engine::catalog::{Deployer, FolderPackage, RuleBackfill, RulePlace};
use beckon_engine::clock::Clock;
use beckon_engine::log::{Log, Refused};
use beckon_engine::model::{SiteName, VisitId};
use beckon_engine::pipeline::RuleCounts;
use bytes::Bytes;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// The configuration of the HTTP side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Every bound.
    pub limits: Limits,
    /// Sites and write keys.
    pub sites: SitesConfig,
    /// Query parameters that are kept besides `utm_*`.
    pub query_parameters: QueryPolicy,
    /// Addresses and networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// What is kept of visitors' addresses.
    pub addresses: AddressPolicy,
    /// The certificate; without one the server speaks HTTP alone.
    #[serde(skip)]
    pub tls: Option<TlsFiles>,
    /// The site of keyless events from this machine, in demo mode only.
    #[serde(skip)]
    pub demo_site: Option<String>,
}

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A limit cannot work.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Sites or keys are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Sites(Vec<SitesError>),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A proxy is no network.
    #[error(transparent)]
    Proxies(#[from] ProxyError),
}

/// What the HTTP side asks the engine; the binary adapts it.
pub trait EngineView: Send + Sync + std::fmt::Debug {
    /// Log records on disk that the engine has not worked through yet.
    fn lag_records(&self) -> u64;

    /// A number that changes when [`EngineView::live`] does.
    fn live_version(&self) -> u64;

    /// What happens now, on one site or on all, as [`crate::live_json`] says it: what `/v1/live`
    /// streams.
    fn live(&self, site: Option<&str>) -> serde_json::Value;

    /// How far each rule has come in a visit, as far as the live view remembers its events.
    fn progress(&self, site: &str, visit: &VisitId) -> VisitProgress;

    /// What a rule was shown of what was before it.
    fn backfill(&self, rule: &RulePlace) -> RuleBackfill;

    /// What became of the matches of a rule (a package's, by name) since the start, on one site or on
    /// all together.
    fn rule_counts(&self, package: &str, rule: &str, site: Option<&str>) -> RuleCounts;

    /// What `/v1/status` says beside the server and its log: rules, engine, sinks.
    fn status(&self) -> EngineStatus;
}

/// The server's folder of rules; the binary reads it.
pub trait RulesFolder: Send + Sync + std::fmt::Debug {
    /// What lies in it now.
    ///
    /// # Errors
    /// Why it cannot be read, in a sentence.
    fn read(&self) -> Result<Vec<FolderPackage>, String>;
}

/// The parts of Beckon that the HTTP side works with.
#[derive(Debug)]
pub struct Parts {
    /// Where events go.
    pub log: Arc<dyn Log>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What the engine says.
    pub engine: Arc<dyn EngineView>,
    /// Metrics of other parts; the HTTP side adds its own.
    pub registry: Registry,
    /// By a request's headers, gives its span a place in the trace that they name. Not called where no span is made.
    pub join_caller: fn(&HeaderMap, &tracing::Span),
    /// API tokens.
    pub tokens: Arc<TokenStore>,
    /// Where rejected events go.
    pub dead_letters: Arc<DeadLetters>,
    /// The way in for rules.
    pub deployer: Arc<Deployer>,
    /// The folder that owns rules, if there is one.
    pub folder: Option<Arc<dyn RulesFolder>>,
    /// Tokens of visits whose ids came from elsewhere.
    pub visit_tokens: Arc<VisitTokens>,
    /// Serves the messages of visits, by the paths of the table of routes. A request that comes to it
    /// has the [`VisitReach`](crate::visits::VisitReach) of its visit as an extension, and its whole
    /// body.
    pub notifications: Mounted,
    /// Shows webhooks and calls them again, by the paths of the table of routes.
    pub webhooks: Mounted,
}

/// The state of all routes.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) limits: Limits,
    pub(crate) sites: Sites,
    pub(crate) normaliser: Arc<Normaliser>,
    pub(crate) demo: Option<Arc<WriteKey>>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) engine: Arc<dyn EngineView>,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    pub(crate) join_caller: fn(&HeaderMap, &tracing::Span),
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) tokens: Arc<TokenStore>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) deployer: Arc<Deployer>,
    pub(crate) folder: Option<Arc<dyn RulesFolder>>,
    pub(crate) visit_tokens: Arc<VisitTokens>,
    pub(crate) notifications: Mounted,
    pub(crate) webhooks: Mounted,
    /// What `/openapi.json` says, once it was asked for; `None` where it cannot be written.
    pub(crate) document: OnceLock<Option<Bytes>>,
    proxies: Proxies,
    key_rates: Rates<Arc<str>>,
    address_rates: Arc<Rates<u64>>,
    pub(crate) live_streams: Arc<Semaphore>,
    is_draining: AtomicBool,
}

/// The other end of the connection, put into each request by the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl App {
    pub(crate) fn new(config: &ServerConfig, parts: Parts) -> Result<Self, ServerError> {
        let limits = config.limits.clone();
        limits.check()?;
        let demo = config.demo_site.as_deref().map(WriteKey::demo).map(Arc::new);
        let memory = Memory::new(limits.in_flight_bytes_max);
        let normaliser = Normaliser::new(config.query_parameters.clone());
        let normaliser = Arc::new(normaliser.with_addresses(config.addresses));
        let address_rates =
            Rates::new(limits.address_requests_per_second_max, limits.addresses_max);
        let address_rates = Arc::new(address_rates);
        let loads = Loads {
            engine: Arc::clone(&parts.engine),
            memory: memory.clone(),
            normaliser: Arc::clone(&normaliser),
            addresses: Arc::clone(&address_rates),
            limits: limits.clone(),
        };
        let metrics = Metrics::new(parts.registry, &parts.log, &parts.dead_letters, loads);
        Ok(Self {
            sites: Sites::new(&config.sites).map_err(ServerError::Sites)?,
            normaliser,
            demo,
            log: parts.log,
            clock: parts.clock,
            engine: parts.engine,
            memory,
            metrics,
            join_caller: parts.join_caller,
            refusals: Refusals::logged(),
            tokens: parts.tokens,
            dead_letters: parts.dead_letters,
            deployer: parts.deployer,
            folder: parts.folder,
            visit_tokens: parts.visit_tokens,
            notifications: parts.notifications,
            webhooks: parts.webhooks,
            document: OnceLock::new(),
            proxies: Proxies::parse(&config.trusted_proxies)?,
            key_rates: Rates::new(limits.key_requests_per_second_max, limits.addresses_max),
            address_rates,
            live_streams: Arc::new(Semaphore::new(limits.live_streams_max)),
            is_draining: AtomicBool::new(false),
            limits,
        })
    }

    /// The site of a name.
    pub(crate) fn site_named(&self, name: &str) -> Option<SiteName> {
        self.site_names().find(|site| &***site == name).cloned()
    }

    /// The only site, where there are no others.
    pub(crate) fn only_site(&self) -> Option<SiteName> {
        let mut names = self.site_names();
        let first = names.next()?;
        names.next().is_none().then(|| Arc::clone(first))
    }

    fn site_names(&self) -> impl Iterator<Item = &SiteName> {
        self.sites.names().iter().chain(self.demo.iter().map(|demo| &demo.site))
    }

    /// The write key of a name: `site/name`.
    pub(crate) fn key_named(&self, name: &str) -> Option<&Arc<WriteKey>> {
        let demo = self.demo.as_ref().filter(|demo| &*demo.name == name);
        demo.or_else(|| self.sites.named(name))
    }

    /// The address of the visitor behind a request.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        self.proxies.client(peer.0.ip(), headers)
    }

    /// One request less for this address, or 429.
    pub(crate) fn admit_address(&self, client: IpAddr) -> Result<(), Refusal> {
        if self.address_rates.take(sender_of(client), self.clock.now()) {
            return Ok(());
        }
        Err(self.too_many("address", "limits.address_requests_per_second_max"))
    }

    /// One request less for this key, or 429.
    pub(crate) fn admit_key(&self, key: &WriteKey) -> Result<(), Refusal> {
        if self.key_rates.take(Arc::clone(&key.name), self.clock.now()) {
            return Ok(());
        }
        Err(self.too_many("key", "limits.key_requests_per_second_max"))
    }

    fn too_many(&self, whose: &str, help: &'static str) -> Refusal {
        let message = format!("too many requests of this {whose}");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message, help)
            .later(self.limits.retry_after_seconds)
    }

    /// 503, to be tried again.
    pub(crate) fn unavailable(&self, code: &'static str, message: &str) -> Refusal {
        let help = "try again after Retry-After seconds; nothing of this request was taken";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message, help)
            .later(self.limits.retry_after_seconds)
    }

    /// 503: the log takes nothing now.
    pub(crate) fn refuse_append(&self, refused: Refused) -> Refusal {
        let code = match refused {
            Refused::Busy => "log_busy",
            Refused::LogFull => "log_full",
            Refused::DiskFull => "disk_full",
            Refused::Closed => "log_closed",
        };
        self.unavailable(code, &refused.to_string())
    }

    /// 503 while the engine is far behind the log.
    pub(crate) fn admit_lag(&self) -> Result<(), Refusal> {
        if self.engine.lag_records() <= self.limits.engine_lag_records_max {
            return Ok(());
        }
        Err(self.unavailable("engine_behind", "the engine is behind the log"))
    }

    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }
}
