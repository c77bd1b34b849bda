//! The server against its own description: schemathesis reads `/openapi.json`, asks what it allows and
//! what it does not, and holds every answer against it.
//!
//! What it asks follows from [`SEED`]; what it checks stands in `openapi.toml`, with a reason for what
//! it does not.

use super::tools;
use crate::status::{Status, wait};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const PYTHON_PACKAGES: &[&str] = &["schemathesis==4.32.5"];
const SETTINGS: &str = include_str!("openapi.toml");
const SEED: &str = "20261127";
const KEY: &str = "e2e-openapi-server-key";
/// A secret, and the visit that it proves: the first half of its SHA-256.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const VISIT: &str = "630dcd2966c4336691125448bbb25b4f";
const SCOPES: [&str; 9] = [
    "events:write",
    "dead-letters",
    "events:replay",
    "rules:read",
    "rules:write",
    "live:read",
    "notify:write",
    "visits:token",
    "metrics:read",
];
/// Its calls go where nobody listens, and are given up at once.
const RULE: &str = "name = \"order\"\nquery = 'Order where true'\n[action]\ntype = \"webhook\"\n\
                    endpoint = \"nobody\"\n";
/// Rates and waits that are no part of the question are out of the way.
const CONFIG: &str = "
[limits]
key_requests_per_second_max = 0
address_requests_per_second_max = 0
[notification]
poll_ms_max = 20
notify_expires_ms = 600000
visit_messages_max = 10000
[webhooks]
retries_ms = []
[webhooks.endpoints.nobody]
url = \"http://127.0.0.1:9/\"
allow_private = true
secrets = [\"whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldw==\"]
[sites.shop]
keys = [
  { name = \"backend\", kind = \"server\", key = \"e2e-openapi-server-key\" },
  { name = \"web\", kind = \"browser\", key = \"e2e-web\", origins = [\"https://shop.example\"] },
]
";

/// Runs the test over a server that has some of everything.
///
/// # Errors
/// When an answer is none that the description has, or is 5xx.
pub(crate) fn run(root: &Path, binary: &Path) -> anyhow::Result<()> {
    let programs = tools::python(&root.join("target/e2e-openapi"), PYTHON_PACKAGES)?;
    let folder = tempfile::tempdir()?;
    let package = folder.path().join("rules/com.example.e2e");
    std::fs::create_dir_all(&package)?;
    std::fs::write(package.join("order.toml"), RULE)?;
    std::fs::write(folder.path().join("beckon.toml"), CONFIG)?;
    std::fs::write(folder.path().join("schemathesis.toml"), SETTINGS)?;
    let address = crate::free_address()?;
    let base = format!("http://{address}");
    let status = Status::new(binary, &folder.path().join("data"), &base)?;
    let tokens = Tokens::new(binary, folder.path())?;
    let _server = super::serve(binary, folder.path(), &address)?;
    status.wait_for_answer()?;
    let (visit_token, message) = fill(&base, &tokens, &status)?;
    crate::say(&format!("schemathesis of seed {SEED}"));
    let started = Instant::now();
    let asked = Command::new(programs.join("schemathesis"))
        .args(["--config-file", "schemathesis.toml", "run", &format!("{base}/openapi.json")])
        .args(["--seed", SEED, "--no-color"])
        .current_dir(folder.path())
        .env("TOKEN", &tokens.of_all)
        .env("SITE_TOKEN", &tokens.of_site)
        .env("KEY", KEY)
        .env("SECRET", SECRET)
        .env("VISIT", VISIT)
        .env("VISIT_TOKEN", visit_token)
        .env("MESSAGE", message)
        .status()
        .context("schemathesis does not start")?;
    crate::say(&format!("it took {} s", started.elapsed().as_secs()));
    ensure!(asked.success(), "the server does not answer as it says, or as it should");
    ensure!(status.number("/log/records")? > 0, "it lives");
    Ok(())
}

/// API tokens: of all scopes on the site, and an operator's.
struct Tokens {
    of_site: String,
    of_all: String,
}

impl Tokens {
    fn new(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let create = |args: &[&str]| -> anyhow::Result<String> {
            let scopes = SCOPES.iter().flat_map(|scope| ["--scope", *scope]);
            let output = Command::new(binary)
                .args(["token", "create", "--data", "data"])
                .args(scopes)
                .args(args)
                .current_dir(folder)
                .output()?;
            let text = String::from_utf8(output.stdout)?;
            Ok(text.lines().next().context("no token was made")?.to_owned())
        };
        Ok(Self {
            of_site: create(&["--site", "shop"])?,
            of_all: create(&["--scope", "operator"])?,
        })
    }
}

/// Gives the server an event, a rejected one, a message to a page, and a call that is given up. Says a
/// token of the visit, and the message.
fn fill(base: &str, tokens: &Tokens, status: &Status) -> anyhow::Result<(String, String)> {
    let post = |path: &str, bearer: &str, body: &str| -> anyhow::Result<String> {
        let request = ureq::post(format!("{base}{path}"));
        let mut answer = request.header("authorization", format!("Bearer {bearer}")).send(body)?;
        Ok(answer.body_mut().read_to_string()?)
    };
    let order = format!("{{\"eventName\":\"Order\",\"visitID\":\"{VISIT}\"}}");
    post("/v1/events", KEY, &format!("[{order},{{\"eventName\":\"Lost\"}}]"))?;
    let message = "[{\"channel\":\"chat\",\"data\":{\"text\":\"hello\"}}]";
    post(&format!("/server/data/notification/notify/{VISIT}"), &tokens.of_site, message)?;
    let token = post(&format!("/v1/visits/{VISIT}/token"), &tokens.of_site, "")?;
    let token = text_at(&token, "/token")?;
    wait("a call is given up", || Ok(status.number("/webhook/dead_letters")? == 1))?;
    wait("the message is there", || Ok(status.number("/notification/messages")? == 1))?;
    let mut heard = ureq::get(format!("{base}/v1/visits/{VISIT}/notifications"))
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/json")
        .call()?;
    let message = text_at(&heard.body_mut().read_to_string()?, "/messages/0/id")?;
    Ok((token, message))
}

fn text_at(json: &str, pointer: &str) -> anyhow::Result<String> {
    let value: Value = serde_json::from_str(json)?;
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("{pointer} of {json}"))
}
