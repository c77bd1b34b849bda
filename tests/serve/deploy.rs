//! Rules that change while visitors are on the site, over the commands and over HTTP.

use super::support::{Answer, Server, bearer, beckon, column_in_parquet, configured, event};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const PACKAGE: &str = "com.example.shop";

fn rule(name: &str, query: &str) -> String {
    format!(
        "name = \"{name}\"\nfire = \"every\"\nquery = '''{query}'''\n[action]\ntype = \"notify\"\n\
         channel = \"test\"\n"
    )
}

/// A folder with one package of these rules.
fn lay(folder: &Path, package: &str, rules: &[(&str, &str)]) {
    let dir = folder.join(package);
    drop(std::fs::remove_dir_all(&dir));
    std::fs::create_dir_all(&dir).expect("a folder");
    for (name, query) in rules {
        std::fs::write(dir.join(format!("{name}.toml")), rule(name, query)).expect("a file");
    }
}

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &["--data", "data"])
}

fn token(folder: &Path) -> String {
    let scopes = ["--scope", "rules:write", "--scope", "rules:read", "--scope", "live:read"];
    let create = [&["token", "create", "--data", "data"], &scopes[..]].concat();
    let output = beckon(folder).args(create).output().expect("the binary");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().next().expect("a token").to_owned()
}

/// Runs a command against the server.
fn run(folder: &Path, server: &Server, token: &str, arguments: &[&str]) -> Output {
    let address = format!("http://{}", server.address());
    let mut command = beckon(folder);
    command.args(arguments).args(["--server", &address, "--token", token]);
    command.output().expect("the binary")
}

#[track_caller]
fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn get(server: &Server, token: &str, path: &str) -> Value {
    let answer = server.get(path, &format!("authorization: Bearer {token}\r\n"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Sends an event, and waits until the live page shows it.
fn send(server: &Server, token: &str, name: &str, visit: u32) {
    assert_eq!(server.send(&event(name, visit)).expect("an answer").ids("ok").len(), 1);
    loop {
        let live = get(server, token, "/v1/live/snapshot");
        let last = live["events"].as_array().and_then(|events| events.last());
        if last.is_some_and(|last| last["name"] == name && number(last) == visit) {
            return;
        }
        std::thread::yield_now();
    }
}

/// The visit of an event or an action.
fn number(said: &Value) -> u32 {
    u32::from_str_radix(said["visit"].as_str().expect("a visit"), 16).expect("small")
}

/// What acted, as `rule visit`.
fn acted(server: &Server, token: &str) -> Vec<String> {
    let live = get(server, token, "/v1/live/snapshot");
    let actions = live["actions"].as_array().expect("actions").iter();
    let line =
        |action: &Value| format!("{} {}", action["rule"].as_str().expect("a rule"), number(action));
    actions.map(line).collect()
}

/// What became of the matches of a package's first rule, once one was suppressed.
fn suppressed(server: &Server, token: &str, package: &str) -> Value {
    loop {
        let shown = get(server, token, &format!("/v1/rules/{package}"));
        let counts = &shown["rules"][0]["since_start"];
        if counts["suppressed"].as_object().is_some_and(|suppressed| !suppressed.is_empty()) {
            return counts.clone();
        }
        std::thread::yield_now();
    }
}

#[test]
fn rules_change_while_visitors_are_on_the_site() {
    let site = configured();
    let folder = site.path();
    let rules = folder.join("mine");
    let token = token(folder);
    let server = start(folder);
    let deploy = |server: &Server| run(folder, server, &token, &["rules", "deploy", "mine"]);

    send(&server, &token, "A", 1);
    let pair = "sequence [ A where true ] [ B where true ]";
    lay(&rules, PACKAGE, &[("pair", pair)]);
    assert_eq!(said(&deploy(&server)), "com.example.shop: deployed, 1 rule\n");
    // Where the server is, the configuration says as well.
    let mut local = beckon(folder);
    local.env("BECKON_SERVER__LISTEN", server.address()).env("BECKON_TOKEN", &token);
    let unchanged = local.args(["rules", "deploy", "mine"]).output().expect("the binary");
    assert_eq!(said(&unchanged), "com.example.shop: unchanged, 1 rule\n");
    send(&server, &token, "A", 2);

    // Another package, and a new version of its own, while visit 2 has half of the pair.
    lay(&rules, "com.example.blog", &[("each", "C where true")]);
    lay(&rules, PACKAGE, &[("another", "D where true"), ("pair", pair)]);
    let both = said(&deploy(&server));
    assert!(both.contains("com.example.blog: deployed") && both.contains("2 rules"), "{both}");
    for (name, visit) in [("B", 2), ("C", 3)] {
        send(&server, &token, name, visit);
    }
    assert_eq!(acted(&server, &token), ["pair 2", "each 3"]);

    // A wrong version is refused, and what ran runs on.
    lay(&rules, PACKAGE, &[("pair", "sequence [ A where nothing == 1 ] [ B where true ]")]);
    let refused = deploy(&server);
    assert_eq!(refused.status.code(), Some(1));
    let picture = String::from_utf8_lossy(&refused.stdout);
    assert!(picture.contains("nothing == 1") && picture.contains("refused"), "{picture}");
    send(&server, &token, "A", 4);

    // The same rules after a restart, with what visit 4 has half finished.
    assert_eq!(server.stop().code, Some(0));
    let server = start(folder);
    send(&server, &token, "B", 4);
    let replayed = acted(&server, &token);
    assert_eq!(replayed.last().map(String::as_str), Some("pair 4"), "{replayed:?}");

    let path = format!("DELETE /v1/rules/{PACKAGE}");
    let removed = server.ask(&path, &format!("authorization: Bearer {token}\r\n"), "");
    assert_eq!(removed.expect("an answer").status, 200);
    for name in ["A", "B", "C"] {
        send(&server, &token, name, 5);
    }
    let left = acted(&server, &token);
    assert_eq!(left.last().map(String::as_str), Some("each 5"));
    assert_eq!(left.iter().filter(|line| line.starts_with("pair 5")).count(), 0, "{left:?}");

    let pause = run(folder, &server, &token, &["actions", "pause"]);
    assert_eq!(said(&pause), "paused: everything\n");
    send(&server, &token, "C", 6);
    let counts = suppressed(&server, &token, "com.example.blog");
    assert_eq!(counts["suppressed"], json!({ "paused": 1 }), "{counts}");
    assert!(counts["acted"].as_u64() >= Some(1), "{counts}");
    let resume = |arguments: &[&str]| {
        said(&run(folder, &server, &token, &[&["actions", "resume"], arguments].concat()))
    };
    assert_eq!(
        resume(&[PACKAGE]),
        format!("{PACKAGE} is not paused by itself\npaused: everything\n")
    );
    assert_eq!(resume(&[]), "resumed: everything\n");
    assert_eq!(resume(&[PACKAGE]), "nothing is paused\n");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn the_servers_folder_is_taken_at_start_and_when_it_is_asked() {
    let site = configured();
    let folder = site.path();
    let rules = folder.join("mine");
    lay(&rules, PACKAGE, &[("each", "A where true")]);
    let start = || Server::start(beckon(folder), &["--data", "data", "--rules", "mine"]);
    let token = token(folder);
    let server = start();
    send(&server, &token, "A", 1);
    assert_eq!(acted(&server, &token), ["each 1"], "the first event meets it");
    let body = json!({ "files": { "each.toml": rule("each", "B where true") } }).to_string();
    let path = format!("PUT /v1/rules/{PACKAGE}");
    let put = server.ask(&path, &format!("authorization: Bearer {token}\r\n"), &body);
    assert_eq!(put.expect("an answer").status, 409);

    lay(&rules, PACKAGE, &[("each", "B where true")]);
    let deployed = run(folder, &server, &token, &["rules", "deploy", "mine"]);
    assert_eq!(
        said(&deployed),
        "com.example.shop: not sent, the server has it from its own folder\n\
         the server took 1 change from its own folder\n"
    );
    send(&server, &token, "B", 2);
    assert_eq!(acted(&server, &token), ["each 1", "each 2"]);
    assert_eq!(server.stop().code, Some(0));

    lay(&rules, PACKAGE, &[("each", "C where true")]);
    let server = start();
    send(&server, &token, "C", 3);
    assert_eq!(
        acted(&server, &token),
        ["each 1", "each 2", "each 3"],
        "each by the rules of its time"
    );
    assert_eq!(server.stop().code, Some(0));
}

/// The first contradicts a column, the second does not compile: the third is taken all the same.
#[test]
fn a_package_that_is_refused_keeps_no_other_from_being_deployed() {
    let site = configured();
    let folder = site.path();
    let rules = folder.join("mine");
    let token = token(folder);
    let server = start(folder);
    let taken = put_priced(&server, &token, (PACKAGE, "float"));
    assert_eq!(taken.status, 200, "{}", taken.body);
    for package in ["com.example.a", "com.example.c"] {
        lay(&rules, package, &[("each", "A where true")]);
    }
    let types = "[types]\ndata.price = \"string\"\n";
    std::fs::write(rules.join("com.example.a/package.toml"), types).expect("a file");
    lay(&rules, "com.example.b", &[("each", "A where nothing == 1")]);
    let path = format!("DELETE /v1/rules/{PACKAGE}");
    let removed = server.ask(&path, &bearer(&token), "").expect("an answer");
    assert_eq!(removed.status, 200, "{}", removed.body);

    let deployed = run(folder, &server, &token, &["rules", "deploy", "mine"]);
    assert_eq!(deployed.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&deployed.stdout);
    let lines: Vec<_> = printed.lines().collect();
    let [first, .., last] = &lines[..] else { panic!("{printed}") };
    assert!(first.starts_with("com.example.a: refused: 409 Conflict: the column"), "{printed}");
    assert!(printed.contains("nothing == 1"), "{printed}");
    assert!(lines.contains(&"com.example.b: refused"), "{printed}");
    assert_eq!(*last, "com.example.c: deployed, 1 rule");
    let error = String::from_utf8_lossy(&deployed.stderr);
    assert!(error.contains("2 of 3 packages refused"), "{error}");
    let list = get(&server, &token, "/v1/rules");
    let names = list["packages"].as_array().expect("packages").iter();
    assert_eq!(names.map(|one| &one["package"]).collect::<Vec<_>>(), ["com.example.c"]);
    assert_eq!(server.stop().code, Some(0));
}

/// Who may not deploy is told so once.
#[test]
fn who_may_not_deploy_sends_one_package() {
    let site = configured();
    let folder = site.path();
    for package in ["com.example.a", "com.example.b"] {
        lay(&folder.join("mine"), package, &[("each", "A where true")]);
    }
    let server = start(folder);
    let deployed = run(folder, &server, "no-token", &["rules", "deploy", "mine"]);
    assert_eq!(deployed.status.code(), Some(1));
    let error = String::from_utf8_lossy(&deployed.stderr);
    assert_eq!(error.matches("401").count(), 1, "{error}");
    assert_eq!(String::from_utf8_lossy(&deployed.stdout), "");
    assert_eq!(server.stop().code, Some(0));
}

/// Puts a package that declares what a price is.
fn put_priced(server: &Server, token: &str, (package, kind): (&str, &str)) -> Answer {
    put_typed(server, token, package, &format!("data.price = \"{kind}\""))
}

/// Puts a package that declares a type.
fn put_typed(server: &Server, token: &str, package: &str, declared: &str) -> Answer {
    let types = format!("[types]\n{declared}\n");
    let files = json!({ "each.toml": rule("each", "A where true"), "package.toml": types });
    let body = json!({ "files": files }).to_string();
    let asked = server.ask(&format!("PUT /v1/rules/{package}"), &bearer(token), &body);
    asked.expect("an answer")
}

#[track_caller]
fn check_contradicted(answer: &Answer) {
    assert_eq!(answer.status, 409, "{}", answer.body);
    let said: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(said["error"]["code"], "column_contradicted", "{said}");
    let message = said["error"]["message"].as_str().expect("a sentence");
    let sentence = "the column data_price of the table events is `data.price` as float, and \
                    `data.price` as string is asked for";
    assert!(message.starts_with(sentence), "{message}");
}

#[test]
fn a_field_that_is_declared_over_http_has_a_column_of_its_type_for_ever() {
    let site = configured();
    let folder = site.path();
    let token = token(folder);
    let send = |server: &Server, price: &str| {
        let event = event("A", 1).replace('}', &format!(",\"data\":{{\"price\":{price}}}}}"));
        assert_eq!(server.send(&event).expect("an answer").ids("ok").len(), 1);
    };
    let server = start(folder);
    send(&server, "0.5");
    let answer = put_priced(&server, &token, (PACKAGE, "float"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    send(&server, "1.5");
    check_contradicted(&put_priced(&server, &token, (PACKAGE, "string")));
    // With `kill -9` the column may not be written down yet; the package declares it again.
    drop(server);

    let server = start(folder);
    send(&server, "2.5");
    let removed = server.ask(&format!("DELETE /v1/rules/{PACKAGE}"), &bearer(&token), "");
    assert_eq!(removed.expect("an answer").status, 200);
    check_contradicted(&put_priced(&server, &token, ("com.example.blog", "string")));
    assert_eq!(server.stop().code, Some(0));

    // No package declares it any more, and files have it.
    let server = start(folder);
    send(&server, "3.5");
    check_contradicted(&put_priced(&server, &token, (PACKAGE, "string")));
    assert_eq!(put_priced(&server, &token, (PACKAGE, "float")).status, 200);
    send(&server, "\"much\"");
    assert_eq!(server.stop().code, Some(0));
    let prices = column_in_parquet(&folder.join("data"), "A", "data_price");
    let prices: Vec<_> = prices.iter().map(|price| price.as_deref().unwrap_or("none")).collect();
    assert!(["none", "0.5"].contains(&prices[0]), "it came before: {prices:?}");
    assert_eq!(prices[1..], ["1.5", "2.5", "3.5", "null"]);
}

#[test]
fn a_date_that_is_declared_over_http_has_a_column_of_time() {
    let site = configured();
    let folder = site.path();
    let token = token(folder);
    let server = start(folder);
    let put = |kind: &str| put_typed(&server, &token, PACKAGE, &format!("data.at = \"{kind}\""));
    assert_eq!(put("date").status, 200);
    for at in ["\"1969-12-31T23:59:58.5+01:00\"", "1504126053250", "\"tomorrow\""] {
        let event = event("A", 1).replace('}', &format!(",\"data\":{{\"at\":{at}}}}}"));
        assert_eq!(server.send(&event).expect("an answer").ids("ok").len(), 1);
    }
    for kind in ["string", "integer"] {
        let refused = put(kind);
        assert_eq!(refused.status, 409, "{}", refused.body);
        let declared = format!("`data.at` as date, and `data.at` as {kind} is asked for");
        assert!(refused.body.contains("column_contradicted"), "{}", refused.body);
        assert!(refused.body.contains(&declared), "{}", refused.body);
    }
    assert_eq!(put("date").status, 200);
    assert_eq!(server.stop().code, Some(0));
    let times = column_in_parquet(&folder.join("data"), "A", "data_at");
    let times: Vec<_> = times.iter().map(|time| time.as_deref().unwrap_or("none")).collect();
    assert_eq!(
        times,
        ["1969-12-31 22:59:58.500000 +00:00", "2017-08-30 20:47:33.250000 +00:00", "null"]
    );
}
