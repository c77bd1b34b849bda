//! The table of routes: each says who may use it, and what it is for.
//!
//! The router and the description of the API (`/openapi.json`) are made of this table and of nothing
//! else, and a [`Route`] cannot be written without its [`Access`] and its [`About`].

use crate::app::App;
use crate::demo;
use crate::events;
use crate::gwe;
use crate::health;
use crate::letters;
use crate::live;
use crate::openapi::{self, About, Mounted, about};
use crate::routes::Access;
use crate::rules;
use crate::tokens::Scope;
use crate::visits;
use Access::{
    Public, SiteToken, SiteTokenOrDemo, SiteTokenOrOrigin, SiteVisit, Token, Visit, WriteKey,
};
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on, on_service};
use std::sync::Arc;

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) about: About,
    /// Another part serves it.
    pub(crate) is_mounted: bool,
    pub(crate) handler: MethodRouter<Arc<App>>,
}

const EVENTS: &str = "/v1/events";
const GWE_VISITS: &str = "/server/data/visits";
const GWE_EVENTS: &str = "/server/data/visits/{id}/events";
const LETTERS: &str = "/v1/dead-letters";
const LETTER: &str = "/v1/dead-letters/{id}";
const LETTERS_REPLAY: &str = "/v1/dead-letters/replay";
const PACKAGE: &str = "/v1/rules/{package}";
const VISIT_TOKEN: &str = "/v1/visits/{visitID}/token";
const NOTIFICATIONS: &str = "/v1/visits/{visitID}/notifications";
const NOTIFICATION: &str = "/v1/visits/{visitID}/notifications/{id}";
const NOTIFY: &str = "/server/data/notification/notify/{visitID}";
const WEBHOOKS: &str = "/v1/webhooks";
const CALLS: &str = "/v1/webhooks/dead-letters";
const CALLS_REPLAY: &str = "/v1/webhooks/dead-letters/replay";
const ENABLE: &str = "/v1/webhooks/{endpoint}/enable";

/// All routes. In demo mode the page at `/` is one of them.
pub(crate) fn table(app: &App) -> Vec<Route> {
    let demo = if app.demo.is_some() { of_demo() } else { Vec::new() };
    let routes = [of_events(), of_server(), of_letters(), of_rules(), of_visits(app)];
    routes.into_iter().chain([of_webhooks(&app.webhooks), demo]).flatten().collect()
}

fn of_events() -> Vec<Route> {
    use about::events as said;
    let gwe_access = SiteTokenOrOrigin(Scope::EventsWrite);
    vec![
        post(EVENTS, WriteKey, said::post(), events::post),
        options(EVENTS, said::preflight_post(), events::preflight),
        post(GWE_VISITS, gwe_access, said::gwe_visit(), gwe::visit),
        options(GWE_VISITS, said::preflight_gwe_visit(), events::preflight),
        post(GWE_EVENTS, gwe_access, said::gwe_events(), gwe::events),
        options(GWE_EVENTS, said::preflight_gwe_events(), events::preflight),
    ]
}

fn of_server() -> Vec<Route> {
    use about::server as said;
    let (figures, live_access) = (Token(Scope::MetricsRead), SiteTokenOrDemo(Scope::LiveRead));
    vec![
        get("/openapi.json", Public, said::document(), openapi::document),
        get("/healthz", Public, said::healthz(), health::healthz),
        get("/readyz", Public, said::readyz(), health::readyz),
        get("/metrics", figures, said::metrics(), health::metrics),
        get("/v1/status", figures, said::status(), health::status),
        get("/v1/live", live_access, said::live(), live::live),
        get("/v1/live/snapshot", live_access, said::snapshot(), live::snapshot),
    ]
}

fn of_letters() -> Vec<Route> {
    use about::letters as said;
    let reads = SiteToken(Scope::DeadLetters);
    vec![
        get(LETTERS, reads, said::list(), letters::list),
        get(LETTER, reads, said::show(), letters::show),
        post(LETTERS_REPLAY, SiteToken(Scope::EventsReplay), said::replay(), letters::replay),
    ]
}

fn of_rules() -> Vec<Route> {
    use about::rules as said;
    let (reads, writes) = (SiteToken(Scope::RulesRead), SiteToken(Scope::RulesWrite));
    vec![
        get("/v1/rules", reads, said::list(), rules::list),
        get(PACKAGE, reads, said::show(), rules::show),
        route(Method::PUT, PACKAGE, writes, (said::put(), rules::put)),
        route(Method::DELETE, PACKAGE, writes, (said::remove(), rules::remove)),
        post("/v1/rules/reload", Token(Scope::RulesWrite), said::reload(), rules::reload),
        post("/v1/actions/pause", writes, said::pause(), rules::pause),
        post("/v1/actions/resume", writes, said::resume(), rules::resume),
    ]
}

fn of_visits(app: &App) -> Vec<Route> {
    use about::visits as said;
    let at = &app.notifications;
    vec![
        post(VISIT_TOKEN, SiteVisit(Scope::VisitsToken), said::token(), visits::token),
        options(NOTIFICATIONS, said::preflight_listen(), visits::preflight),
        options(NOTIFICATION, said::preflight_word(), visits::preflight),
        mounted(Method::GET, NOTIFICATIONS, Visit, (said::listen(), at)),
        mounted(Method::POST, NOTIFICATION, Visit, (said::word(), at)),
        mounted(Method::POST, NOTIFY, SiteVisit(Scope::NotifyWrite), (said::notify(), at)),
    ]
}

fn of_webhooks(at: &Mounted) -> Vec<Route> {
    use about::webhooks as said;
    let reads = Token(Scope::DeadLetters);
    vec![
        mounted(Method::GET, WEBHOOKS, reads, (said::endpoints(), at)),
        mounted(Method::GET, CALLS, reads, (said::letters(), at)),
        mounted(Method::POST, CALLS_REPLAY, Token(Scope::EventsReplay), (said::replay(), at)),
        mounted(Method::POST, ENABLE, Token(Scope::Operator), (said::enable(), at)),
    ]
}

fn of_demo() -> Vec<Route> {
    use about::demo as said;
    vec![
        get("/", Public, said::page(), demo::page),
        get("/demo/{file}", Public, said::part(), demo::part),
        get("/demo/visits/{visitID}", Public, said::progress(), demo::progress),
    ]
}

fn get<H, T>(path: &'static str, access: Access, about: About, handler: H) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    route(Method::GET, path, access, (about, handler))
}

fn post<H, T>(path: &'static str, access: Access, about: About, handler: H) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    route(Method::POST, path, access, (about, handler))
}

/// What a browser asks before it asks for another: anyone may.
fn options<H, T>(path: &'static str, about: About, handler: H) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    route(Method::OPTIONS, path, Public, (about, handler))
}

fn route<H, T>(
    method: Method,
    path: &'static str,
    access: Access,
    (about, handler): (About, H),
) -> Route
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let handler = on(filter(&method), handler);
    Route { method, path, access, about, is_mounted: false, handler }
}

/// A route that another part serves; who may use it and what it is for is said here all the same.
fn mounted(
    method: Method,
    path: &'static str,
    access: Access,
    (about, at): (About, &Mounted),
) -> Route {
    let handler = on_service(filter(&method), at.router.clone());
    Route { method, path, access, about, is_mounted: true, handler }
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("a method that HTTP itself has")
}
