//! Webhooks of a running server: from the rule that names an endpoint to the row of what became of the call.

use super::support::{
    Answer, STEP_MAX, Server, bearer, beckon, configured_with, figure, operator, printed,
    rows_in_parquet,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

/// Each order is told.
const RULE: &str = r#"name = "order"
fire = "every"
query = "Order where true"
[action]
type = "webhook"
endpoint = "crm"
data = { sku = "{{ event.data.sku }}" }
"#;
/// Calls that wait for the test.
const CALLS_MAX: usize = 1_000;

/// One call as it came: its headers in lower case, and its body.
struct Call {
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Call {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

/// Takes calls and answers with the status that is set.
struct Endpoint {
    url: String,
    status: Arc<Mutex<&'static str>>,
    calls: Receiver<Call>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let url = format!("http://{}/hooks", listener.local_addr().expect("bound"));
        let status = Arc::new(Mutex::new("204 No Content"));
        let (said, calls) = sync_channel(CALLS_MAX);
        let answer = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let Some(call) = read(&stream) else { continue };
                let status = *answer.lock().expect("whole");
                // A server that was killed does not hear it.
                drop(write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
                if said.send(call).is_err() {
                    return;
                }
            }
        });
        Self { url, status, calls }
    }

    fn answer(&self, status: &'static str) {
        *self.status.lock().expect("whole") = status;
    }

    fn next(&self) -> Call {
        self.calls.recv_timeout(STEP_MAX).expect("a call")
    }
}

fn read(stream: &std::net::TcpStream) -> Option<Call> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Call { headers, body: serde_json::from_slice(&body).ok()? })
}

/// A folder with the rule and the endpoint.
fn laid(endpoint: &Endpoint, sections: &str) -> tempfile::TempDir {
    let url = &endpoint.url;
    let folder = configured_with(&format!(
        "[webhooks]\n{sections}\n[webhooks.endpoints.crm]\nurl = \"{url}\"\nallow_private = true\n\
         secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n"
    ));
    let package = folder.path().join("rules/com.example.shop");
    std::fs::create_dir_all(&package).expect("a folder");
    std::fs::write(package.join("order.toml"), RULE).expect("a file");
    folder
}

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &["--data", "data", "--rules", "rules"])
}

fn order(server: &Server, sku: &str) {
    let event = format!(
        "{{\"eventName\":\"Order\",\"visitID\":\"{:032x}\",\"data\":{{\"sku\":\"{sku}\"}}}}",
        1
    );
    assert_eq!(server.send(&event).expect("an answer").ids("ok").len(), 1);
}

/// What became of calls, in the order of the log: message, outcome, reason, attempt.
fn deliveries(folder: &Path) -> Vec<[String; 4]> {
    let columns = ["log_sequence", "message_id", "outcome", "reason", "attempt", "endpoint"];
    let mut rows: Vec<_> = rows_in_parquet(&folder.join("data/reports/deliveries"), &columns)
        .into_iter()
        .map(|[sequence, message, outcome, reason, attempt, endpoint]| {
            assert_eq!(endpoint, "crm");
            (sequence.parse::<u64>().expect("a number"), [message, outcome, reason, attempt])
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

fn post(server: &Server, path: &str, token: &str, body: &str) -> Answer {
    let headers = format!("{}content-type: application/json\r\n", bearer(token));
    server.ask(&format!("POST {path}"), &headers, body).expect("an answer")
}

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Waits until a metric has a value.
fn wait(server: &Server, token: &str, (name, value): (&str, u64)) {
    let begun = std::time::Instant::now();
    while figure(server, token, name) != value {
        assert!(begun.elapsed() < STEP_MAX, "never: {name} {value}");
        std::thread::yield_now();
    }
}

#[test]
fn a_call_is_signed_says_what_the_rule_says_and_is_recorded() {
    let endpoint = Endpoint::start();
    let folder = laid(&endpoint, "");
    let token = operator(folder.path());
    let server = start(folder.path());
    order(&server, "A1");
    let call = endpoint.next();
    let signature = &call.headers["webhook-signature"];
    assert!(signature.starts_with("v1,") && signature.len() == 47, "{signature}");
    assert!(call.headers["webhook-timestamp"].parse::<u64>().is_ok());
    assert_eq!(call.body["type"], "action.asserted");
    assert_eq!(call.body["data"]["action"], call.id());
    assert_eq!(call.body["data"]["data"]["sku"], "A1");
    wait(&server, &token, ("beckon_webhook_delivered_total{endpoint=\"crm\"}", 1));
    let shown = json(&server.get("/v1/webhooks", &bearer(&token)));
    assert_eq!(shown["endpoints"][0]["delivered"], 1, "{shown}");
    let id = call.id().to_owned();
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(deliveries(folder.path()), [[&*id, "delivered", "", "1"].map(str::to_owned)]);
    let actions = rows_in_parquet(&folder.path().join("data/reports/actions"), &["action_id"]);
    assert_eq!(actions, [[id]]);
    // The secret is shown nowhere.
    let config = printed(folder.path(), &["config"]);
    assert!(config.contains("webhooks.endpoints.crm.secrets") && !config.contains("MfKQ9r8"));
}

#[test]
fn what_an_endpoint_does_not_take_comes_again_under_its_id_also_after_a_kill() {
    let endpoint = Endpoint::start();
    let folder = laid(&endpoint, "retries_ms = [300, 300, 300, 300, 300, 300, 300, 300]");
    let server = start(folder.path());
    endpoint.answer("500 No");
    order(&server, "A1");
    let first = endpoint.next();
    // Dropping it kills it.
    drop(server);
    let server = start(folder.path());
    order(&server, "B2");
    let mut ids = vec![first.id().to_owned()];
    while ids.len() < 4 {
        ids.push(endpoint.next().id().to_owned());
    }
    endpoint.answer("200 OK");
    drop(server);
    let token = operator(folder.path());
    let server = start(folder.path());
    for figures in ["beckon_webhook_waiting{endpoint=\"crm\"}", "beckon_webhook_dead_letters"] {
        wait(&server, &token, ("beckon_webhook_delivered_total{endpoint=\"crm\"}", 2));
        assert_eq!(figure(&server, &token, figures), 0);
    }
    assert_eq!(server.stop().code, Some(0));
    ids.extend(endpoint.calls.try_iter().map(|call| call.id().to_owned()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "two orders, two ids: {ids:?}");
    let rows = deliveries(folder.path());
    for id in &ids {
        let of: Vec<_> = rows.iter().filter(|row| row[0] == *id).collect();
        let (last, failed) = of.split_last().expect("rows");
        assert_eq!(last[1], "delivered", "{rows:?}");
        assert!(failed.iter().all(|row| row[1] == "failed" && row[2] == "status_500"), "{rows:?}");
        let numbers: Vec<u32> = of.iter().map(|row| row[3].parse().expect("a number")).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{rows:?}");
    }
}

#[test]
fn dead_letters_are_listed_and_replayed() {
    let endpoint = Endpoint::start();
    let folder = laid(&endpoint, "retries_ms = []");
    let token = operator(folder.path());
    let server = start(folder.path());
    endpoint.answer("500 No");
    order(&server, "A1");
    let id = endpoint.next().id().to_owned();
    wait(&server, &token, ("beckon_webhook_dead_letters", 1));
    assert_eq!(server.stop().code, Some(0));
    // They are there after a restart.
    let server = start(folder.path());
    let list = || json(&server.get("/v1/webhooks/dead-letters?endpoint=crm", &bearer(&token)));
    let letters = list();
    assert_eq!(letters["letters"][0]["id"], *id, "{letters}");
    assert_eq!(letters["letters"][0]["reason"], "given_up");
    assert_eq!(letters["letters"][0]["body"]["data"]["data"]["sku"], "A1");
    let slip = server.get("/v1/webhooks/dead-letters?endpiont=crm", &bearer(&token));
    assert_eq!(slip.status, 400, "{}", slip.body);
    endpoint.answer("200 OK");
    let replay = "/v1/webhooks/dead-letters/replay";
    for body in ["{\"ids\":[\"x\"]}", "[", "[]", "{\"endpiont\":\"crm\"}"] {
        assert_eq!(post(&server, replay, &token, body).status, 400, "{body}");
    }
    let unknown = format!("{{\"ids\":[\"{:032X}\"]}}", 5);
    assert_eq!(json(&post(&server, replay, &token, &unknown))["results"][0]["status"], "unknown");
    let url = server.url();
    let command = |arguments: &[&str]| {
        let of_server = ["--server", &url, "--token", &token];
        printed(folder.path(), &[&["webhooks"], arguments, &of_server].concat())
    };
    assert!(command(&["dead-letters"]).contains("given_up"));
    assert!(command(&["list"]).ends_with("1 dead letters\n"));
    assert_eq!(command(&["replay", "--endpoint", "crm"]), "1 waiting\n");
    assert_eq!(command(&["replay"]), "nothing to replay\n");
    assert_eq!(endpoint.next().id(), id);
    wait(&server, &token, ("beckon_webhook_delivered_total{endpoint=\"crm\"}", 1));
    assert_eq!(list()["letters"].as_array().map(Vec::len), Some(0));
    assert_eq!(server.stop().code, Some(0));
    let outcomes: Vec<_> = deliveries(folder.path())
        .into_iter()
        .map(|[_, outcome, _, number]| (outcome, number))
        .collect();
    let expected = [("failed", "1"), ("failed", ""), ("delivered", "2")];
    assert_eq!(outcomes, expected.map(|(outcome, number)| (outcome.to_owned(), number.to_owned())));
}

#[test]
fn an_endpoint_that_is_gone_is_called_again_when_an_operator_says_so() {
    let endpoint = Endpoint::start();
    let folder = laid(&endpoint, "");
    let token = operator(folder.path());
    let server = start(folder.path());
    endpoint.answer("410 Gone");
    order(&server, "A1");
    let id = endpoint.next().id().to_owned();
    wait(&server, &token, ("beckon_webhook_gone{endpoint=\"crm\"}", 1));
    order(&server, "B2");
    wait(&server, &token, ("beckon_webhook_dead_letters", 2));
    endpoint.answer("200 OK");
    for endpoint in ["erp", "%FF"] {
        let answer = post(&server, &format!("/v1/webhooks/{endpoint}/enable"), &token, "");
        assert_eq!(answer.status, 404, "{}", answer.body);
        assert!(answer.body.contains("\"endpoint_unknown\""), "{}", answer.body);
    }
    let enable = ["webhooks", "enable", "crm", "--server", &server.url(), "--token", &token];
    assert_eq!(printed(folder.path(), &enable), "crm is called again\n");
    order(&server, "C3");
    assert_eq!(endpoint.next().body["data"]["data"]["sku"], "C3");
    let answer = json(&post(&server, "/v1/webhooks/dead-letters/replay", &token, "{}"));
    assert_eq!(answer["results"][0]["id"], *id);
    let skus =
        [endpoint.next(), endpoint.next()].map(|call| call.body["data"]["data"]["sku"].clone());
    assert!(skus.contains(&"A1".into()) && skus.contains(&"B2".into()), "{skus:?}");
}

#[test]
fn a_wrong_endpoint_is_refused_and_an_unknown_one_is_warned_of() {
    let endpoint = Endpoint::start();
    let folder = laid(&endpoint, "");
    let file = folder.path().join("beckon.toml");
    let good = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, good.replace("allow_private = true\n", "")).expect("a file");
    let error = Server::refused(beckon(folder.path()), &["--data", "data", "--rules", "rules"]);
    assert!(error.contains("webhooks.endpoints.crm.url: http is for endpoints in the"), "{error}");
    std::fs::write(&file, good.replace("endpoints.crm", "endpoints.crn")).expect("a file");
    let checked = printed(folder.path(), &["rules", "check", "rules"]);
    assert!(checked.contains("has no endpoint `crm`") && checked.contains("did you mean `crn`?"));
    // It runs all the same, and what it says waits to be replayed.
    let token = operator(folder.path());
    let server = start(folder.path());
    order(&server, "A1");
    wait(&server, &token, ("beckon_webhook_dead_letters", 1));
    assert_eq!(server.stop().code, Some(0));
    std::fs::write(&file, good).expect("a file");
    let server = start(folder.path());
    let answer = json(&post(&server, "/v1/webhooks/dead-letters/replay", &token, "{}"));
    assert_eq!(answer["results"][0]["status"], "waiting", "{answer}");
    assert_eq!(endpoint.next().body["data"]["data"]["sku"], "A1");
}
