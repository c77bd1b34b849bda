//! `GET /v1/live`: what happens now, as server-sent events.
//!
//! Each stream looks at the engine's version a few times a second and sends a whole snapshot when
//! it has changed. A client that reads slowly therefore misses snapshots and never holds memory:
//! the next one is made when the last has been taken. `live_streams_max` bounds the streams.
//!
//! A snapshot is JSON with a shape of its own ([`Live`]), so that the engine's types can
//! change: ids as text, times in milliseconds.

use crate::app::App;
use crate::reach::Reach;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use beckon_engine::live::{LIVE_MINUTES, LiveCount, LiveName, LiveSnapshot};
use beckon_engine::model::{ActionRow, EventRow, ValueView};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;

/// How often a stream looks at the version.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After so long without a snapshot a comment is sent, so that proxies keep the stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One client's stream.
struct Stream {
    app: Arc<App>,
    reach: Reach,
    looks: Interval,
    sent: Option<u64>,
    spoke: Instant,
    _place: Place,
}

/// A place among `live_streams_max`, given back when the stream ends.
struct Place {
    app: Arc<App>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.app.metrics.live_streams.dec();
    }
}

impl Stream {
    /// The next thing to say; `None` when the server shuts down.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.looks.tick().await;
            if self.app.is_draining() {
                return None;
            }
            let version = self.app.engine.live_version();
            if self.sent != Some(version) {
                self.sent = Some(version);
                self.spoke = Instant::now();
                let snapshot = self.app.engine.live(self.reach.site());
                return Some(format!("id: {version}\ndata: {snapshot}\n\n").into());
            }
            if self.spoke.elapsed() >= KEEP_ALIVE {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }
}

/// The handler.
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    Extension(reach): Extension<Reach>,
) -> Response {
    let Ok(permit) = Arc::clone(&app.live_streams).try_acquire_owned() else {
        let message = "too many streams are open";
        return app.unavailable("too_many_streams", message).into_response();
    };
    app.metrics.live_streams.inc();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let place = Place { app: Arc::clone(&app), _permit: permit };
    let stream = Stream { app, reach, looks, sent: None, spoke: Instant::now(), _place: place };
    let body = stream::unfold(stream, |mut stream| async move {
        let said = stream.next().await?;
        Some((Ok::<_, Infallible>(said), stream))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, axum::body::Body::from_stream(body)).into_response()
}

/// `GET /v1/live/snapshot`: one snapshot, for who does not want a stream.
pub(crate) async fn snapshot(
    State(app): State<Arc<App>>,
    Extension(reach): Extension<Reach>,
) -> Response {
    let text = app.engine.live(reach.site()).to_string();
    crate::answer::json_text(axum::http::StatusCode::OK, text)
}

/// What happens now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    /// Rises with every change.
    version: u64,
    /// The minute that it is, milliseconds since 1970.
    now_ms: i64,
    /// Open visits.
    visits_open: i64,
    /// The last hour, oldest first.
    minutes: Vec<LiveMinute>,
    /// Events of the hour by their names.
    names: Vec<NameCount>,
    /// The same by categories.
    categories: Vec<CategoryCount>,
    /// What acted in the hour, by rules.
    rules: Vec<RuleCount>,
    /// The latest events, oldest first.
    events: Vec<LiveEvent>,
    /// The latest actions, oldest first.
    actions: Vec<LiveAction>,
}

/// A minute.
#[derive(Serialize, ToSchema)]
struct LiveMinute {
    /// When it began, milliseconds since 1970.
    minute_ms: i64,
    /// Events in it.
    events: i64,
    /// Actions in it.
    actions: i64,
}

/// How often events of a name came.
#[derive(Serialize, ToSchema)]
struct NameCount {
    site: Arc<str>,
    name: Arc<str>,
    count: i64,
}

/// How often events of a category came.
#[derive(Serialize, ToSchema)]
struct CategoryCount {
    site: Arc<str>,
    category: Arc<str>,
    count: i64,
}

/// How often a rule acted.
#[derive(Serialize, ToSchema)]
struct RuleCount {
    site: Arc<str>,
    package: Arc<str>,
    rule: Arc<str>,
    count: i64,
}

/// An event that came.
#[derive(Serialize, ToSchema)]
struct LiveEvent {
    /// Its number in the log.
    seq: u64,
    event_id: String,
    site: String,
    name: String,
    /// Its visit.
    visit: String,
    /// When it happened, milliseconds since 1970.
    timestamp_ms: i64,
    #[schema(required)]
    url: Option<String>,
    categories: Vec<String>,
    /// What became of it: `matched`, or why it was not.
    fate: &'static str,
}

/// What a rule did.
#[derive(Serialize, ToSchema)]
struct LiveAction {
    action_id: String,
    /// `assert`, `retract`, `correct` or `suppress`.
    op: &'static str,
    site: Arc<str>,
    package: Arc<str>,
    rule: Arc<str>,
    /// The kind of action.
    kind: String,
    /// The visit that it goes to.
    visit: String,
    /// When its last event happened, milliseconds since 1970.
    timestamp_ms: i64,
    /// The events that made the match, by their ids.
    events: Vec<String>,
    /// Why it did not act.
    #[schema(required)]
    suppressed: Option<&'static str>,
    /// What its rule says with it.
    data: Value,
}

/// The JSON of a snapshot: a `Live` of the description of the API. With a `site` nothing of others is said.
#[must_use]
pub fn live_json(snapshot: &LiveSnapshot, site: Option<&str>) -> Value {
    serde_json::to_value(live_of(snapshot, site)).expect("texts and numbers have a JSON form")
}

fn live_of(snapshot: &LiveSnapshot, site: Option<&str>) -> Live {
    let is_asked = |of: &str| site.is_none_or(|site| site == of);
    let counts: Vec<_> =
        snapshot.counts.iter().filter(|count| is_asked(site_of(&count.name))).collect();
    let mut live = Live {
        version: snapshot.version,
        now_ms: snapshot.minute.0.saturating_mul(60_000),
        visits_open: 0,
        minutes: minutes(snapshot, &counts),
        names: Vec::new(),
        categories: Vec::new(),
        rules: Vec::new(),
        events: snapshot.events.iter().filter_map(|row| live_event(row, is_asked)).collect(),
        actions: Vec::new(),
    };
    let open_visits = snapshot.open_visits.iter().filter(|(of, _)| is_asked(of));
    live.visits_open = open_visits.map(|(_, visits)| visits).sum();
    let actions = snapshot.actions.iter().filter(|row| is_asked(&row.fact.site));
    live.actions = actions.map(live_action).collect();
    for LiveCount { name, total: count, .. } in counts {
        let count = *count;
        match name.clone() {
            LiveName::Event { site, name } => live.names.push(NameCount { site, name, count }),
            LiveName::Category { site, category } => {
                live.categories.push(CategoryCount { site, category, count });
            }
            LiveName::Rule { site, package, rule } => {
                live.rules.push(RuleCount { site, package, rule, count });
            }
        }
    }
    live
}

fn site_of(name: &LiveName) -> &str {
    match name {
        LiveName::Event { site, .. }
        | LiveName::Category { site, .. }
        | LiveName::Rule { site, .. } => site,
    }
}

/// Events and actions of each minute of the last hour.
fn minutes(snapshot: &LiveSnapshot, counts: &[&LiveCount]) -> Vec<LiveMinute> {
    let first = snapshot.minute.first_shown();
    let sum = |minute: usize, wanted: fn(&LiveName) -> bool| -> i64 {
        let counts = counts.iter().filter(|count| wanted(&count.name));
        counts.filter_map(|count| count.per_minute.get(minute)).sum()
    };
    (0..LIVE_MINUTES)
        .zip(first.0..)
        .map(|(index, minute)| LiveMinute {
            minute_ms: minute.saturating_mul(60_000),
            events: sum(index, |name| matches!(name, LiveName::Event { .. })),
            actions: sum(index, |name| matches!(name, LiveName::Rule { .. })),
        })
        .collect()
}

/// A damaged event is not shown (the log says what is wrong with it), nor one of a site that is not
/// asked for.
fn live_event(row: &EventRow, is_asked: impl Fn(&str) -> bool) -> Option<LiveEvent> {
    let view = row.event.view().ok().filter(|view| is_asked(view.site))?;
    let (mut url, mut categories) = (None, Vec::new());
    view.for_each_field(|name, value| match (name.as_str(), value) {
        ("url", ValueView::Str(text)) => url = Some(text.to_owned()),
        ("category", ValueView::Str(text)) => categories.push(text.to_owned()),
        ("category", ValueView::List(values)) => {
            categories.extend(values.filter_map(|value| match value {
                Ok(ValueView::Str(text)) => Some(text.to_owned()),
                _ => None,
            }));
        }
        _ => {}
    })
    .ok()?;
    Some(LiveEvent {
        seq: row.seq.0,
        event_id: view.id().to_string(),
        site: view.site.to_owned(),
        name: view.name.to_owned(),
        visit: view.visit().to_string(),
        timestamp_ms: view.timestamp.0,
        url,
        categories,
        fate: row.fate.as_str(),
    })
}

fn live_action(row: &ActionRow) -> LiveAction {
    let fact = &row.fact;
    let data = fact.data.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    LiveAction {
        action_id: format!("{:032X}", fact.action.0),
        op: row.op.as_str(),
        site: Arc::clone(&fact.site),
        package: Arc::clone(&fact.package),
        rule: Arc::clone(&fact.rule),
        kind: fact.kind.to_string(),
        visit: fact.visit.to_string(),
        timestamp_ms: fact.timestamp.0,
        events: fact.events.iter().map(ToString::to_string).collect(),
        suppressed: fact.suppressed.map(|reason| reason.as_str()),
        data: data.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beckon_engine::live::Minute;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn a_snapshot_is_said_in_its_own_words() {
        let mut per_minute = vec![0; LIVE_MINUTES];
        per_minute[LIVE_MINUTES - 1] = 2;
        let count = |name| LiveCount { name, total: 2, per_minute: per_minute.clone() };
        let (site, name) = ("shop".into(), "PageEntered".into());
        let snapshot = LiveSnapshot {
            version: 7,
            minute: Minute(1_000),
            open_visits: BTreeMap::from([("shop".into(), 3), ("blog".into(), 1)]),
            counts: vec![
                count(LiveName::Event { site, name }),
                count(LiveName::Rule {
                    site: "shop".into(),
                    package: "com.example".into(),
                    rule: "hot-lead".into(),
                }),
            ],
            events: Vec::new(),
            actions: Vec::new(),
        };
        let json = live_json(&snapshot, None);
        assert_eq!(json["version"], 7);
        assert_eq!(json["visits_open"], 4);
        assert_eq!(json["names"][0]["count"], 2);
        assert_eq!(json["rules"][0]["rule"], "hot-lead");
        let minutes = json["minutes"].as_array().expect("a list");
        assert_eq!(minutes.len(), LIVE_MINUTES);
        let last = json!({ "minute_ms": 60_000_000, "events": 2, "actions": 2 });
        assert_eq!(minutes.last(), Some(&last));
    }
}
