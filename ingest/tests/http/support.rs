//! What the tests share: a log in memory, an engine that lags on demand, and requests.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use beckon_engine::catalog::{Deployer, FolderPackage, RuleBackfill, RulePlace, event_compiler};
use beckon_engine::clock::ManualClock;
use beckon_engine::disk::{Disk, SimDisk};
use beckon_engine::log::{
    Acknowledge, Appended, CommitMark, Control, Log, LogError, LogReader, LogStats, NewRecord,
    RecordBody, Refused, Standing,
};
use beckon_engine::model::{Epoch, Event, LogSeq, ServerTimeMs, SuppressReason, VisitId};
use beckon_engine::pipeline::RuleCounts;
use beckon_ingest::dead_letters::{DeadLetterLimits, DeadLetters};
use beckon_ingest::limits::Limits;
use beckon_ingest::sites::{KeyConfig, KeyKind, SiteConfig};
use beckon_ingest::tokens::{NewToken, Scope, TokenStore};
use beckon_ingest::visits::{VisitReach, VisitTokens};
use beckon_ingest::{
    EngineFigures, EngineStatus, EngineView, Mounted, Parts, Peer, RuleProgress, RulesFolder,
    Schemas, Server, ServerConfig, VisitProgress,
};
use futures_util::stream;
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::ServiceExt;

pub(crate) const VISIT: &str = "44D25DDB78174DEC8F33E28F96428336";
pub(crate) const SERVER_KEY: &str = "server-key-0123456789";
pub(crate) const BROWSER_KEY: &str = "browser-key";
pub(crate) const MATCHING_KEY: &str = "browser-key-that-matches";
pub(crate) const ORIGIN: &str = "https://shop.example";
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

#[derive(Debug, Default)]
struct Held {
    records: Vec<NewRecord>,
    ids: BTreeSet<u128>,
    refusal: Option<Refused>,
    holds_back: bool,
    waiting: Vec<(Vec<Appended>, Waiting)>,
}

struct Waiting(Acknowledge);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// A log in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryLog(Mutex<Held>);

impl MemoryLog {
    pub(crate) fn refuse(&self, refusal: Option<Refused>) {
        self.0.lock().expect("no panic").refusal = refusal;
    }

    /// Acknowledges nothing until [`MemoryLog::release`].
    pub(crate) fn hold_back(&self) {
        self.0.lock().expect("no panic").holds_back = true;
    }

    pub(crate) fn release(&self) {
        let waiting = {
            let mut held = self.0.lock().expect("no panic");
            held.holds_back = false;
            std::mem::take(&mut held.waiting)
        };
        for (appended, Waiting(done)) in waiting {
            done(Ok(appended));
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().expect("no panic").waiting.len()
    }

    /// What was decided.
    pub(crate) fn controls(&self) -> Vec<Arc<Control>> {
        let held = self.0.lock().expect("no panic");
        let control = |record: &NewRecord| match &record.body {
            RecordBody::Control(control) => Some(Arc::clone(control)),
            RecordBody::Event(_) | RecordBody::Notice(_) | RecordBody::Tombstone => None,
        };
        held.records.iter().filter_map(control).collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let held = self.0.lock().expect("no panic");
        let event = |record: &NewRecord| match &record.body {
            RecordBody::Event(packed) => packed.unpack().expect("a packed event"),
            body => panic!("no event: {body:?}"),
        };
        held.records.iter().map(event).collect()
    }
}

impl Log for MemoryLog {
    fn epoch_before(&self, _: ServerTimeMs) -> Epoch {
        Epoch(0)
    }

    fn admits(&self, _: usize) -> Result<(), Refused> {
        self.0.lock().expect("no panic").refusal.map_or(Ok(()), Err)
    }

    fn append(&self, records: Vec<NewRecord>, done: Acknowledge) -> Result<(), Refused> {
        let mut held = self.0.lock().expect("no panic");
        if let Some(refusal) = held.refusal {
            return Err(refusal);
        }
        let mut appended = Vec::new();
        for record in records {
            if record.dedup.is_some_and(|id| !held.ids.insert(id)) {
                appended.push(Appended::Duplicate);
                continue;
            }
            held.records.push(record);
            appended.push(Appended::Stored(LogSeq(held.records.len() as u64)));
        }
        if held.holds_back {
            held.waiting.push((appended, Waiting(done)));
            return Ok(());
        }
        drop(held);
        done(Ok(appended));
        Ok(())
    }

    fn tick(&self) {}

    fn durable(&self) -> Option<CommitMark> {
        None
    }

    fn reader(&self, _: Option<Epoch>) -> Result<Box<dyn LogReader>, LogError> {
        Err(LogError::Closed)
    }

    fn release(&self, _: Epoch) {}

    fn close(&self) {}

    fn stats(&self) -> LogStats {
        LogStats::default()
    }
}

/// An engine that lags as told.
#[derive(Debug, Default)]
pub(crate) struct FakeEngine {
    pub(crate) lag: AtomicU64,
    pub(crate) version: AtomicU64,
}

impl EngineView for FakeEngine {
    fn rule_counts(&self, package: &str, rule: &str, site: Option<&str>) -> RuleCounts {
        assert_eq!((package, rule), ("com.example.shop", "each"));
        let suppressed = [(SuppressReason::VisitEnded, 4)].into();
        RuleCounts {
            acted: if site.is_none() { 5 } else { 2 },
            suppressed,
            corrected: 6,
            retracted: 8,
        }
    }

    fn backfill(&self, (package, rule): &RulePlace) -> RuleBackfill {
        assert_eq!((&*package.name, &**rule), ("com.example.shop", "each"));
        let from = Some(ServerTimeMs(1_704_067_200_000));
        RuleBackfill { from, partial_visits: 7, ..RuleBackfill::default() }
    }

    fn progress(&self, site: &str, visit: &VisitId) -> VisitProgress {
        let (rule, package) = (visit.to_string(), site.to_owned());
        let rule = RuleProgress { rule, package, ..RuleProgress::default() };
        VisitProgress { whole: true, rules: vec![rule] }
    }

    fn lag_records(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    fn live_version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn live(&self, site: Option<&str>) -> Value {
        let count = serde_json::json!({
            "site": "shop", "package": "com.example.shop", "rule": "each", "count": 3,
        });
        serde_json::json!({ "version": self.live_version(), "site": site, "rules": [count] })
    }

    fn status(&self) -> EngineStatus {
        let engine = EngineFigures { visits_open: 7, ..EngineFigures::default() };
        EngineStatus { engine, ..EngineStatus::default() }
    }
}

/// A folder of rules in memory.
#[derive(Debug, Default)]
pub(crate) struct FakeFolder(pub(crate) Mutex<Vec<FolderPackage>>);

impl RulesFolder for FakeFolder {
    fn read(&self) -> Result<Vec<FolderPackage>, String> {
        Ok(self.0.lock().expect("no panic").clone())
    }
}

/// A server and what it works with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tokens: Arc<TokenStore>,
    pub(crate) letters: Arc<DeadLetters>,
    pub(crate) folder: Arc<FakeFolder>,
    /// Has the key of visits' tokens.
    pub(crate) _data: Arc<tempfile::TempDir>,
}

impl Bench {
    /// A new token with this scope.
    pub(crate) fn token(&self, scope: Scope) -> String {
        self.token_for(scope, None)
    }

    /// A new token with this scope for one site.
    pub(crate) fn token_for(&self, scope: Scope, site: Option<&str>) -> String {
        let scopes = [scope].into();
        let new = NewToken { name: "test".into(), scopes, site: site.map(Into::into) };
        self.tokens.create(new).expect("written").0.as_str().to_owned()
    }
}

impl Bench {
    /// Whether `/metrics` has each of these lines.
    pub(crate) async fn check_figures(&self, lines: &[&str]) {
        let token = self.token(Scope::MetricsRead);
        let text = get("/metrics").bearer(&token).send(self).await.text;
        for line in lines {
            assert!(text.lines().any(|there| there == *line), "{line} not in {text}");
        }
    }
}

pub(crate) fn config() -> ServerConfig {
    let key = |name: &str, key: &str, kind: KeyKind| KeyConfig {
        name: name.into(),
        kind,
        key: Some(key.into()),
        key_sha256: None,
        origins: match kind {
            KeyKind::Browser => vec![ORIGIN.into()],
            KeyKind::Server => Vec::new(),
        },
        unproven: beckon_ingest::normalise::Unproven::Record,
    };
    let mut matching = key("matching", MATCHING_KEY, KeyKind::Browser);
    matching.unproven = beckon_ingest::normalise::Unproven::Match;
    let keys = vec![
        key("server", SERVER_KEY, KeyKind::Server),
        key("web", BROWSER_KEY, KeyKind::Browser),
        matching,
    ];
    ServerConfig {
        sites: BTreeMap::from([("shop".to_owned(), SiteConfig { keys, ..SiteConfig::default() })]),
        ..ServerConfig::default()
    }
}

pub(crate) fn limited(limits: Limits) -> Bench {
    bench(&ServerConfig { limits, ..config() })
}

pub(crate) fn bench(config: &ServerConfig) -> Bench {
    bench_with(config, None)
}

/// With the dead letters of another server.
pub(crate) fn bench_with(config: &ServerConfig, letters: Option<Arc<DeadLetters>>) -> Bench {
    let log = Arc::new(MemoryLog::default());
    let engine = Arc::new(FakeEngine::default());
    let clock = Arc::new(ManualClock::new(ServerTimeMs(NOW_MS)));
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let letters = letters.unwrap_or_else(|| {
        let (folder, limits) = (Path::new("/data/dead-letters"), DeadLetterLimits::default());
        let opened = DeadLetters::open(Arc::clone(&disk), folder, limits, Arc::clone(&clock) as _);
        Arc::new(opened.expect("opened"))
    });
    let tokens = TokenStore::open(disk, "/data/tokens", Arc::clone(&clock) as _);
    let tokens = Arc::new(tokens.expect("opened"));
    let log_of_rules = Arc::clone(&log) as _;
    let deployer = Deployer::new(log_of_rules, event_compiler(), Standing::default());
    let folder = Arc::new(FakeFolder::default());
    let data = Arc::new(tempfile::tempdir().expect("a folder"));
    let parts = Parts {
        log: Arc::clone(&log) as _,
        clock: Arc::clone(&clock) as _,
        engine: Arc::clone(&engine) as _,
        registry: Default::default(),
        join_caller: |_, _| (),
        tokens: Arc::clone(&tokens),
        dead_letters: Arc::clone(&letters),
        deployer: Arc::new(deployer),
        folder: Some(Arc::clone(&folder) as _),
        visit_tokens: Arc::new(VisitTokens::open(data.path()).expect("a key")),
        notifications: mounted(Router::new().fallback(echo)),
        webhooks: mounted(Router::new().fallback(async || axum::Json(Value::Null))),
    };
    let server = Server::new(config, parts).expect("a good configuration");
    Bench { server, log, engine, clock, tokens, letters, folder, _data: data }
}

fn mounted(router: Router) -> Mounted {
    Mounted { router, schemas: Schemas::new() }
}

/// Stands for who serves messages: says for which visit it was asked, and what with.
async fn echo(request: axum::extract::Request) -> axum::Json<Value> {
    let (head, body) = request.into_parts();
    let visit = head.extensions.get::<VisitReach>().expect("who was let through has one");
    let body = axum::body::HttpBody::size_hint(&body).exact();
    let said = serde_json::json!({
        "site": visit.site, "visit": visit.visit.to_string(), "body_bytes": body,
    });
    axum::Json(said)
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// `ok`, `duplicate`, or the reason of a rejection, for each event.
    pub(crate) fn results(&self) -> Vec<String> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        let json = self.json();
        let results = json["results"].as_array().expect("results");
        let word = |result: &Value| {
            let status = result["status"].as_str().expect("a status");
            result["reason"].as_str().unwrap_or(status).to_owned()
        };
        results.iter().map(word).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Status and code of an error.
    #[track_caller]
    pub(crate) fn check_error(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{}", self.text);
        for part in ["message", "help"] {
            assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{}", self.text);
        }
        let retry = matches!(status, 408 | 429 | 503);
        assert_eq!(self.headers.contains_key("retry-after"), retry, "{}", self.text);
    }
}

/// A request to be built.
pub(crate) struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    peer: &'static str,
    body: Vec<u8>,
}

pub(crate) fn post(body: impl Into<Vec<u8>>) -> Ask {
    Ask {
        method: "POST",
        path: "/v1/events".into(),
        headers: Vec::new(),
        peer: "192.0.2.1:1000",
        body: body.into(),
    }
}

pub(crate) fn get(path: &str) -> Ask {
    Ask { method: "GET", path: path.into(), ..post("") }
}

impl Ask {
    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn path(self, path: &str) -> Self {
        Self { path: path.into(), ..self }
    }

    pub(crate) fn from(self, peer: &'static str) -> Self {
        Self { peer, ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bearer(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// With the site's server key.
    pub(crate) fn by_server(self) -> Self {
        self.bearer(SERVER_KEY)
    }

    pub(crate) async fn send(self, bench: &Bench) -> Answer {
        self.send_to(bench.server.router()).await
    }

    /// With a body that nobody may read: whoever is refused is refused before.
    pub(crate) async fn send_unread(self, bench: &Bench) -> Answer {
        let read = |_: &mut Context<'_>| -> Poll<Option<Result<Bytes, Infallible>>> {
            panic!("the body was read")
        };
        let body = Body::from_stream(stream::poll_fn(read));
        self.send_body(bench.server.router(), body).await
    }

    pub(crate) async fn send_to(mut self, router: Router) -> Answer {
        let body = Body::from(std::mem::take(&mut self.body));
        self.send_body(router, body).await
    }

    async fn send_body(self, router: Router, body: Body) -> Answer {
        let mut request = Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let peer = Peer(self.peer.parse().expect("an address"));
        let request = request.extension(peer).body(body).expect("a well-formed request");
        let response = router.oneshot(request).await.expect("a router never fails");
        let (head, body) = response.into_parts();
        crate::described::check((self.method, &self.path), &head).await;
        let bytes = body.collect().await.expect("a whole answer").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: head.status, headers: head.headers, text }
    }
}

/// An event's JSON with more fields.
pub(crate) fn event(rest: &str) -> String {
    format!(r#"{{"eventName":"PageEntered","visitID":"{VISIT}"{rest}}}"#)
}

/// An event with an id.
pub(crate) fn numbered(id: u32) -> String {
    event(&format!(r#","eventID":"{id:032x}""#))
}
