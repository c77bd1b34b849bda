//! Every route says who may use it, and is held to it.

use crate::support::{bench, config, get};
use beckon_ingest::{Access, ServerConfig};

/// What anyone may ask for. A new name here is a decision.
const PUBLIC: [(&str, &str); 8] = [
    ("OPTIONS", "/v1/events"),
    ("OPTIONS", "/server/data/visits"),
    ("OPTIONS", "/server/data/visits/1/events"),
    ("GET", "/openapi.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("OPTIONS", "/v1/visits/1/notifications"),
    ("OPTIONS", "/v1/visits/1/notifications/1"),
];

/// And in demo mode, from this machine.
const PUBLIC_IN_DEMO: [(&str, &str); 3] =
    [("GET", "/"), ("GET", "/demo/main.js"), ("GET", "/demo/visits/1")];

/// What a demo shows on its own machine without a token.
const OPEN_TO_DEMO: [&str; 2] = ["/v1/live", "/v1/live/snapshot"];

#[tokio::test]
async fn every_route_is_held_to_its_access() {
    for demo_site in [None, Some("demo".to_owned())] {
        let demo = if demo_site.is_some() { &PUBLIC_IN_DEMO[..] } else { &[] };
        let bench = bench(&ServerConfig { demo_site, ..config() });
        let is_demo = !demo.is_empty();
        let (mut public, mut open_to_demo) = (Vec::new(), Vec::new());
        for (method, path, access) in bench.server.routes() {
            let method: &'static str = String::leak(method.to_string());
            let path = path.replace("{id}", "1").replace("{package}", "com.example.shop");
            let path = path.replace("{visitID}", "1").replace("{endpoint}", "crm");
            let path = path.replace("{file}", "main.js");
            // The peer of the tests is no local one.
            let ask = || get(&path).method(method);
            if matches!(access, Access::SiteTokenOrDemo(_)) {
                let local = ask().from("127.0.0.1:40000").header("host", "localhost:7700");
                // An open stream has no end; `live.rs` listens to it.
                if !is_demo || path != "/v1/live" {
                    let status = local.send(&bench).await.status;
                    assert_eq!(status, if is_demo { 200 } else { 401 }, "{path}");
                }
                open_to_demo.push(path.clone());
            }
            match access {
                Access::Public => public.push((method, path)),
                Access::WriteKey => {
                    let wrong = ask().bearer("wrong").send(&bench).await;
                    wrong.check_error(401, "key_unknown");
                }
                Access::Visit => {
                    let key = crate::support::SERVER_KEY;
                    let path = format!("{path}?key={key}");
                    let ask = || get(&path).method(method);
                    ask().send(&bench).await.check_error(401, "visit_refused");
                    ask().bearer(key).send(&bench).await.check_error(401, "visit_refused");
                }
                Access::Token(_)
                | Access::SiteToken(_)
                | Access::SiteTokenOrDemo(_)
                | Access::SiteTokenOrOrigin(_)
                | Access::SiteVisit(_) => {
                    ask().send(&bench).await.check_error(401, "token_missing");
                    let key = crate::support::SERVER_KEY;
                    ask().bearer(key).send(&bench).await.check_error(401, "token_unknown");
                }
            }
        }
        let listed = PUBLIC.iter().chain(demo);
        let listed: Vec<_> = listed.map(|(method, path)| (*method, (*path).to_owned())).collect();
        assert_eq!(public, listed);
        assert_eq!(open_to_demo, OPEN_TO_DEMO);
    }
}

/// Who may use a route, as the README says it.
fn said_of(access: Access) -> String {
    match access {
        Access::Public => "anyone".to_owned(),
        Access::WriteKey => "a write key".to_owned(),
        Access::Visit => "the visit's secret or token".to_owned(),
        Access::Token(scope) | Access::SiteToken(scope) | Access::SiteVisit(scope) => {
            format!("token `{scope}`")
        }
        Access::SiteTokenOrDemo(scope) => {
            format!("token `{scope}`; of a demo who is on its machine")
        }
        Access::SiteTokenOrOrigin(scope) => {
            format!("token `{scope}` of a site; a page of a default origin")
        }
    }
}

/// The rows of the README's table: `| `GET /a`, `/b` | who | what |`.
fn routes_of_readme() -> Vec<(String, String, String)> {
    let readme = include_str!("../../../README.md");
    let section = readme.split("\n## HTTP\n").nth(1).expect("the section");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let mut routes = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let mut method = "";
        for route in cells[1].split(", ").map(|route| route.trim_matches('`')) {
            let (named, path) = route.split_once(' ').unwrap_or((method, route));
            method = named;
            let who = cells[2].trim_end_matches(", with `--demo`");
            routes.push((method.to_owned(), path.to_owned(), who.to_owned()));
        }
    }
    routes.sort();
    routes
}

#[test]
fn the_readme_lists_every_route_and_who_may_use_it() {
    let bench = bench(&ServerConfig { demo_site: Some("demo".into()), ..config() });
    let routes = bench.server.routes().into_iter();
    let mut routes: Vec<_> = routes
        .map(|(method, path, access)| (method.to_string(), path.to_owned(), said_of(access)))
        .collect();
    routes.sort();
    assert_eq!(routes_of_readme(), routes);
}

/// The table is the only place where routes are made.
#[test]
fn no_route_is_made_beside_the_table() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut made = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(source)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let makes = [".route(", ".route_service(", ".nest(", ".nest_service(", "Router::new("];
            if makes.iter().any(|makes| text.contains(makes)) {
                made.push(path.strip_prefix(source).expect("inside").to_path_buf());
            }
        }
    }
    assert_eq!(made, [std::path::PathBuf::from("routes.rs")]);
}
