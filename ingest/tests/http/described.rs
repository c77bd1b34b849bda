//! Holds every answer of these tests against `/openapi.json`: its status is one that the operation has,
//! and so is its kind. So no status slips in that is not described.

use crate::support::{bench, config};
use axum::body::Body;
use axum::http::{Request, StatusCode, header, response::Parts as Head};
use beckon_ingest::ServerConfig;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;

/// Whose answers are others' here: what stands for them answers as it likes.
const MOUNTED: [&str; 3] = ["notifications", "notify", "webhooks"];

/// Checks an answer.
///
/// # Panics
/// Where it is not described.
pub(crate) async fn check((method, path): (&str, &str), answer: &Head) {
    let (status, path) = (answer.status, path.split('?').next().unwrap_or_default());
    let is_mounted = path.split('/').any(|part| MOUNTED.contains(&part));
    if path == "/openapi.json" || method == "HEAD" || (is_mounted && status.is_success()) {
        return;
    }
    let is_missing = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&status);
    let Some(operation) = operation(document().await, method, path) else {
        assert!(is_missing, "{method} {path}: {status}, and no such operation");
        return;
    };
    if is_missing && operation["tags"][0] == "demo" {
        // Of a server that is none.
        return;
    }
    let described = &operation["responses"][status.as_str()];
    assert!(!described.is_null(), "{method} {path}: {status} is not described");
    let kind = answer.headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().expect("text"));
    let kinds = described["content"].as_object();
    let is_described = match (kind, kinds) {
        (None, None) => true,
        (Some(kind), Some(kinds)) => kinds.contains_key(kind),
        _ => false,
    };
    assert!(is_described, "{method} {path}: {status} as {kind:?} is not described");
}

/// That of a demo, which has all routes. It is asked for once, so that it is counted by no server.
async fn document() -> &'static Value {
    static DOCUMENT: OnceCell<Value> = OnceCell::const_new();
    let asked = || async {
        let demo = ServerConfig { demo_site: Some("demo".into()), ..config() };
        let request = Request::get("/openapi.json").body(Body::empty()).expect("a request");
        let answer = bench(&demo).server.router().oneshot(request).await;
        let body = answer.expect("a router never fails").into_body();
        let text = body.collect().await.expect("an answer").to_bytes();
        serde_json::from_slice(&text).expect("JSON")
    };
    DOCUMENT.get_or_init(asked).await
}

/// The operation of a path: of several the one with the most words of its own.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let is_part = |part: &str| part.starts_with('{');
    let is_of = |template: &str| {
        let (there, asked) = (template.split('/'), path.split('/'));
        there.clone().count() == asked.clone().count()
            && there.zip(asked).all(|(there, asked)| there == asked || is_part(there))
    };
    let paths = document["paths"].as_object().expect("paths").iter();
    let found = paths.filter(|(template, _)| is_of(template));
    let (_, item) =
        found.min_by_key(|(template, _)| template.split('/').filter(|p| is_part(p)).count())?;
    item.get(method.to_lowercase())
}
