//! Administration: health is open, everything else needs a token with its scope.

use crate::support::{bench, config, get};
use beckon_ingest::tokens::Scope;

#[tokio::test]
async fn health_is_open() {
    let bench = bench(&config());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(path).send(&bench).await.status, 200, "{path}");
    }
    get("/nothing").send(&bench).await.check_error(404, "not_found");
    get("/v1/events").send(&bench).await.check_error(405, "method_not_allowed");
}

#[tokio::test]
async fn a_scope_opens_its_routes_only() {
    let bench = bench(&config());
    get("/v1/status").send(&bench).await.check_error(401, "token_missing");
    get("/v1/status").bearer("beckon_x").send(&bench).await.check_error(401, "token_unknown");
    let rules = bench.token(Scope::RulesRead);
    let refused = get("/v1/status").bearer(&rules).send(&bench).await;
    refused.check_error(403, "scope_missing");
    let error = &refused.json()["error"];
    assert_eq!(error["message"], "the token has not the scope metrics:read");
    let help = error["help"].as_str().expect("a text");
    assert!(help.starts_with("make one with beckon token create --scope metrics:read,"), "{help}");
    let metrics = bench.token(Scope::MetricsRead);
    let status = get("/v1/status").bearer(&metrics).send(&bench).await;
    let status = status.json();
    assert_eq!(status["engine"]["visits_open"], 7, "made while the server runs");
    assert_eq!((&status["lag_records"], &status["log"]["bytes"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_token_may_be_a_basic_password() {
    use base64::Engine as _;
    let bench = bench(&config());
    let token = bench.token(Scope::Operator);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anyone:{token}"));
    let answer = get("/v1/status").header("authorization", &format!("Basic {basic}"));
    assert_eq!(answer.send(&bench).await.status, 200);
}
