//! Packages over HTTP: taken or refused whole, by who may.

use crate::support::{Answer, Bench, bench, config, get, post};
use beckon_engine::catalog::FolderPackage;
use beckon_engine::log::{Control, Refused};
use beckon_ingest::tokens::Scope;
use serde_json::{Value, json};

const PATH: &str = "/v1/rules/com.example.shop";

fn rule(query: &str) -> String {
    format!("name = \"each\"\nquery = '''{query}'''\n[action]\ntype = \"none\"\n")
}

fn files(query: &str) -> String {
    json!({ "files": { "each.toml": rule(query) } }).to_string()
}

async fn ask(bench: &Bench, token: &str, method: &'static str, path: &str, body: &str) -> Answer {
    post(body).method(method).path(path).bearer(token).send(bench).await
}

async fn put(bench: &Bench, token: &str, body: &str) -> Answer {
    ask(bench, token, "PUT", PATH, body).await
}

#[track_caller]
fn packages(answer: &Answer) -> Vec<(String, Value)> {
    let json = answer.json();
    let packages = json["packages"].as_array().expect("packages").iter();
    let one = |package: &Value| {
        (package["package"].as_str().expect("a name").to_owned(), package["site"].clone())
    };
    packages.map(one).collect()
}

#[tokio::test]
async fn a_package_is_deployed_shown_and_removed() {
    let bench = bench(&config());
    let (write, read) = (bench.token(Scope::RulesWrite), bench.token(Scope::RulesRead));
    let answer = put(&bench, &write, &files("any where eventType != null")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let deployed = answer.json();
    assert_eq!(deployed["rules"][0]["rule"], "each");
    assert_eq!((&deployed["site"], &deployed["is_unchanged"]), (&Value::Null, &false.into()));
    assert_eq!(
        put(&bench, &write, &files("any where eventType != null")).await.json()["is_unchanged"],
        true
    );
    assert_eq!(bench.log.controls().len(), 1);

    let listed = get("/v1/rules").bearer(&read).send(&bench).await;
    let listed = &listed.json()["packages"][0];
    assert_eq!((&listed["owner"], &listed["is_broken"]), (&"token".into(), &false.into()));
    assert!(listed["by"].as_str().is_some_and(|by| by.starts_with("test (")), "{listed}");
    assert_eq!(listed["rules"][0]["version"], deployed["rules"][0]["version"]);
    assert_eq!(listed["rules"][0]["acted_last_hour"], 3);
    let counts =
        json!({ "acted": 5, "suppressed": { "visit_ended": 4 }, "corrected": 6, "retracted": 8 });
    assert_eq!(listed["rules"][0]["since_start"], counts);
    assert_eq!(listed["rules"][0]["is_backfilling"], false);
    assert_eq!(listed["rules"][0]["backfilled_from"], "2024-01-01T00:00:00Z");
    assert_eq!(listed["rules"][0]["partial_visits"], 7);
    let shown = get(PATH).bearer(&read).send(&bench).await.json();
    assert_eq!(shown["files"]["each.toml"], rule("any where eventType != null"));

    assert_eq!(ask(&bench, &write, "DELETE", PATH, "").await.status, 200);
    get(PATH).bearer(&read).send(&bench).await.check_error(404, "package_unknown");
    ask(&bench, &write, "DELETE", PATH, "").await.check_error(404, "package_unknown");
    put(&bench, &read, &files("any where true")).await.check_error(403, "scope_missing");
}

#[tokio::test]
async fn a_wrong_package_is_refused_whole_with_everything_that_is_wrong() {
    let bench = bench(&config());
    let token = bench.token(Scope::RulesWrite);
    let good = rule("any where true").replace("each", "good");
    let wrong = rule("any where true and\n  nothing == 1");
    let body = json!({ "files": { "good.toml": good, "each.toml": wrong } }).to_string();
    let answer = put(&bench, &token, &body).await;
    answer.check_error(422, "rules_refused");
    let error = &answer.json()["error"];
    let found = error["diagnostics"].as_array().expect("a list");
    assert!(found.iter().all(|found| found["file"] == "com.example.shop/each.toml"), "{found:?}");
    let unknown = found.iter().find(|found| found["code"] == "unknown-field").expect("found");
    assert_eq!((&unknown["line"], &unknown["column"]), (&3.into(), &3.into()), "{unknown}");
    assert!(error["text"].as_str().is_some_and(|text| text.contains("nothing == 1")), "{error}");
    assert_eq!(bench.log.controls().len(), 0, "nothing was written");
}

#[tokio::test]
async fn what_is_no_package_is_refused() {
    let bench = bench(&config());
    let token = bench.token(Scope::RulesWrite);
    let empty = json!({ "files": {} }).to_string();
    let path = json!({ "files": { "../each.toml": rule("any where true") } }).to_string();
    let ending = json!({ "files": { "each.txt": rule("any where true") } }).to_string();
    for body in ["", "[]", "{\"rules\": []}", &empty, &path, &ending] {
        put(&bench, &token, body).await.check_error(400, "bad_request");
    }
    // An array is no object, whatever it holds.
    let array = json!([{ "each.toml": rule("any where true") }]).to_string();
    put(&bench, &token, &array).await.check_error(400, "bad_request");
    for body in ["[]", "[null]"] {
        let paused = ask(&bench, &token, "POST", "/v1/actions/pause", body).await;
        paused.check_error(400, "bad_request");
    }
    assert_eq!(bench.log.controls().len(), 0, "nothing was paused");
    let body = files("any where true");
    let odd = ask(&bench, &token, "PUT", "/v1/rules/shop", &body).await;
    odd.check_error(400, "bad_request");
    bench.log.refuse(Some(Refused::DiskFull));
    put(&bench, &token, &body).await.check_error(503, "disk_full");
}

#[tokio::test]
async fn a_package_sees_the_site_of_its_token() {
    let bench = bench(&config());
    let of = |site| bench.token_for(Scope::RulesWrite, site);
    let (shop, blog, all) = (of(Some("shop")), of(Some("blog")), of(None));
    assert_eq!(put(&bench, &shop, &files("any where true")).await.json()["site"], "shop");
    assert_eq!(put(&bench, &blog, &files("any where true")).await.json()["site"], "blog");
    put(&bench, &all, &files("any where true")).await.check_error(409, "name_taken");
    let elsewhere = ask(&bench, &shop, "DELETE", &format!("{PATH}?site=blog"), "").await;
    elsewhere.check_error(403, "other_site");

    let list = async |site: Option<&str>| {
        let token = bench.token_for(Scope::RulesRead, site);
        packages(&get("/v1/rules").bearer(&token).send(&bench).await)
    };
    let name = || "com.example.shop".to_owned();
    assert_eq!(list(Some("shop")).await, [(name(), "shop".into())]);
    assert_eq!(list(None).await, [(name(), "blog".into()), (name(), "shop".into())]);
    assert_eq!(ask(&bench, &all, "DELETE", &format!("{PATH}?site=blog"), "").await.status, 200);
    let left = get("/v1/rules").bearer(&bench.token_for(Scope::RulesRead, None)).send(&bench).await;
    let acted = &left.json()["packages"][0]["rules"][0]["since_start"]["acted"];
    assert_eq!(acted, 2, "a package of a site counts what is of its site");
    assert_eq!(list(None).await, [(name(), "shop".into())]);

    let global = files("any where true").replace("[action]", "window = \\\"global\\\"\\n[action]");
    let other = format!("{PATH}.other");
    for token in [&shop, &all] {
        let refused = ask(&bench, token, "PUT", &other, &global).await;
        refused.check_error(422, "rules_refused");
        assert_eq!(refused.json()["error"]["diagnostics"][0]["code"], "scope", "{}", refused.text);
    }
}

#[tokio::test]
async fn the_folder_owns_what_lies_in_it() {
    let bench = bench(&config());
    let token = bench.token(Scope::RulesWrite);
    let lay = |query: &str| {
        let files = [("each.toml".into(), rule(query).into())].into();
        let package = FolderPackage { name: "com.example.shop".into(), files };
        *bench.folder.0.lock().expect("no panic") = vec![package];
    };
    let reload = || ask(&bench, &token, "POST", "/v1/rules/reload", "");
    lay("any where true");
    assert_eq!(reload().await.json()["changes"], 1);
    assert_eq!(reload().await.json()["changes"], 0);
    put(&bench, &token, &files("any where true")).await.check_error(409, "owned_by_folder");
    ask(&bench, &token, "DELETE", PATH, "").await.check_error(409, "owned_by_folder");
    lay("any where nothing == 1");
    reload().await.check_error(422, "rules_refused");
    let of_site = bench.token_for(Scope::RulesWrite, Some("shop"));
    let refused = ask(&bench, &of_site, "POST", "/v1/rules/reload", "").await;
    refused.check_error(403, "other_site");
}

#[tokio::test]
async fn pauses_stand_until_they_are_taken_back() {
    let bench = bench(&config());
    let (all, shop) =
        (bench.token(Scope::RulesWrite), bench.token_for(Scope::RulesWrite, Some("shop")));
    let turn = async |token: &str, what: &str, body: &str| {
        let answer = ask(&bench, token, "POST", &format!("/v1/actions/{what}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let said = answer.json();
        (said["paused"].clone(), said["resumed"].clone())
    };
    let package = "{\"package\": \"com.example.shop\"}";
    let of_shop = json!([{ "package": "com.example.shop", "site": "shop" }]);
    let unknown = ask(&bench, &shop, "POST", "/v1/actions/pause", package).await;
    unknown.check_error(404, "package_unknown");
    put(&bench, &all, &files("any where true")).await;
    assert_eq!(turn(&shop, "resume", package).await, (json!([]), json!([])), "was not paused");
    assert_eq!(turn(&shop, "pause", package).await, (of_shop.clone(), json!([])));
    let everything = json!([{ "package": null, "site": null }, of_shop[0]]);
    assert_eq!(turn(&all, "pause", "").await, (everything.clone(), json!([])));
    // Of another site's pauses nothing is seen.
    let other = bench.token_for(Scope::RulesWrite, Some("blog"));
    let seen = (json!([everything[0]]), json!([]));
    assert_eq!(turn(&other, "resume", package).await, seen);
    let reads = bench.token_for(Scope::RulesRead, Some("blog"));
    let list = ask(&bench, &reads, "GET", "/v1/rules", "").await.json();
    assert_eq!(list["paused"], json!([everything[0]]));
    // They outlive the package.
    assert_eq!(ask(&bench, &all, "DELETE", PATH, "").await.status, 200);
    let again = put(&bench, &all, &files("any where true")).await.json();
    assert_eq!(again["paused"], everything);
    let own = (json!([everything[0]]), of_shop);
    assert_eq!(turn(&shop, "resume", "").await, own, "its own alone");
    assert_eq!(turn(&all, "resume", "{}").await, (json!([]), json!([everything[0]])));
    assert!(matches!(*bench.log.controls()[2], Control::Pause(..)));
}

#[tokio::test]
async fn a_deployment_is_answered_once_it_is_on_disk() {
    let bench = bench(&config());
    let token = bench.token(Scope::RulesWrite);
    bench.log.hold_back();
    let body = files("any where true");
    let answer = put(&bench, &token, &body);
    let mut answer = std::pin::pin!(answer);
    while bench.log.waiting() == 0 {
        let soon = tokio::task::yield_now();
        tokio::select! {
            biased;
            early = &mut answer => panic!("{} before it was on disk", early.text),
            () = soon => {}
        }
    }
    bench.log.release();
    assert_eq!(answer.await.status, 200);
}
