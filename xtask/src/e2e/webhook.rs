//! Webhooks as a receiver sees them that checks them by another's library.

use super::Running;
use crate::status::Status;
use anyhow::{Context, ensure};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What checks the calls.
const RECEIVER: &str = include_str!("webhook_receiver.py");
/// Two secrets, of which the receiver has the second: they are being exchanged.
const SECRETS: [&str; 2] = [
    "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldw==",
    "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZA==",
];
const KEY: &str = "e2e-webhook-server-key";
const RULE: &str = "name = \"order\"\nquery = 'Order where true'\n[action]\ntype = \"webhook\"\n\
                    endpoint = \"python\"\ndata = { sku = \"{{ event.data.sku }}\" }\n";
/// With what is no ASCII, which is signed as bytes.
const EVENT: &str = "{\"eventName\":\"Order\",\"visitID\":\"0123456789abcdef0123456789abcdef\",\
                     \"data\":{\"sku\":\"caf\\u00e9 \\u2615\"}}";

/// Runs the test: one call that is refused first, and comes again.
///
/// # Errors
/// When the library does not take a call, or it has another id.
pub(crate) fn run(root: &Path, binary: &Path) -> anyhow::Result<()> {
    let python = super::python(root)?;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("receiver.py");
    std::fs::write(&script, RECEIVER)?;
    let mut receiver = Command::new(python)
        .arg(&script)
        .arg(SECRETS[1])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = receiver.stdout.take().context("its output")?;
    let _receiver = Running(receiver);
    let mut lines = BufReader::new(said).lines();
    let port: u16 = lines.next().context("a port")??.parse()?;
    let address = crate::free_address()?;
    lay(folder.path(), port)?;
    let data = folder.path().join("data");
    let status = Status::new(binary, &data, &format!("http://{address}"))?;
    let _server = super::serve(binary, folder.path(), &address)?;
    status.wait_for_answer()?;
    ureq::post(format!("http://{address}/v1/events"))
        .header("authorization", format!("Bearer {KEY}"))
        .send(EVENT)?;
    let (first, second) = (lines.next().context("a call")??, lines.next().context("another")??);
    let words: Vec<_> = first.split(' ').collect();
    let [verdict, id, kind, action] = words[..] else { anyhow::bail!("{first}") };
    ensure!((verdict, kind) == ("right", "action.asserted") && id == action, "{first}");
    ensure!(first == second, "refused and called again: {first} and {second}");
    crate::say(&format!("standardwebhooks of Python takes both calls of {id}"));
    Ok(())
}

fn lay(folder: &Path, port: u16) -> anyhow::Result<()> {
    let package = folder.join("rules/com.example.e2e");
    std::fs::create_dir_all(&package)?;
    std::fs::write(package.join("order.toml"), RULE)?;
    let [new, old] = SECRETS;
    let text = format!(
        "[webhooks]\nretries_ms = [200]\n[webhooks.endpoints.python]\n\
         url = \"http://127.0.0.1:{port}/hooks\"\nallow_private = true\n\
         secrets = [\"{new}\", \"{old}\"]\n[sites.shop]\n\
         keys = [{{ name = \"backend\", kind = \"server\", key = \"{KEY}\" }}]\n"
    );
    Ok(std::fs::write(folder.join("beckon.toml"), text)?)
}
