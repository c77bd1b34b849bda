//! The demo's page is shown to this machine only, and keeps to its own policy.

use crate::support::{Answer, Ask, Bench, bench, config, get};
use beckon_ingest::ServerConfig;

fn local(path: &str) -> Ask {
    get(path).from("127.0.0.1:9").header("host", "localhost:8080")
}

fn demo() -> Bench {
    bench(&ServerConfig { demo_site: Some("demo".into()), ..config() })
}

async fn check(path: &str, kind: &str) -> Answer {
    let answer = local(path).send(&demo()).await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.header("content-type"), Some(kind), "{path}");
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    answer
}

async fn check_json(path: &str) -> String {
    let answer = local(path).send(&demo()).await;
    assert_eq!(answer.status, 200, "{path}");
    answer.text
}

#[tokio::test]
async fn the_page_and_its_files_are_there() {
    let page = check("/", "text/html; charset=utf-8").await.text;
    for id in ["nav-prices", "search-form", "cart-open", "check-out", "sign-in", "start-over"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for id in ["events", "rules", "actions", "open-visits", "messages", "status"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    check("/demo/base.css", "text/css; charset=utf-8").await;
    let scripts = ["main", "dom", "visit", "outbox", "messages", "invitation", "shop", "inspector"];
    for name in scripts.into_iter().chain(["rules"]) {
        let path = format!("/demo/{name}.js");
        let script = check(&path, "text/javascript; charset=utf-8").await.text;
        assert!(!script.contains("innerHTML"), "what visitors send is never markup");
    }
    let progress = check_json("/demo/visits/0123456789abcdef0123456789abcdef").await;
    assert!(progress.contains("0123456789ABCDEF0123456789ABCDEF"), "{progress}");
    for file in ["other.js", "%FF"] {
        let answer = local(&format!("/demo/{file}")).send(&demo()).await;
        answer.check_error(404, "not_found");
    }
}

#[tokio::test]
async fn the_page_runs_under_its_policy() {
    let page = local("/").send(&demo()).await.text;
    for forbidden in ["<style", " style=", " onclick=", "http://", "https://", "<script>"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("src=\"demo/main.js\"") && page.contains("href=\"demo/base.css\""));
}

#[tokio::test]
async fn nobody_else_sees_it() {
    let demo = demo();
    for path in ["/", "/demo/base.css", "/demo/main.js", "/demo/visits/1"] {
        get(path).send(&demo).await.check_error(403, "demo_is_local");
        let rebound = get(path).from("127.0.0.1:9").header("host", "evil.example");
        rebound.send(&demo).await.check_error(403, "demo_is_local");
        let proxied = local(path).header("x-forwarded-for", "203.0.113.9");
        proxied.send(&demo).await.check_error(403, "demo_is_local");
        assert_eq!(local(path).send(&bench(&config())).await.status, 404, "{path}");
    }
}
