//! A server with nothing to do uses next to no processor, also while a rule waits for a time: at most
//! half a percent of a core.

use super::Running;
use crate::status::{Status, wait};
use anyhow::Context;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long is watched; processor time, not this, is what is judged.
const WATCHED: Duration = Duration::from_secs(10);
/// Processor time in it, in the kernel's ticks of 10 ms.
const TICKS_MAX: u64 = 5;

/// A rule that waits for what does not happen, for much longer than is watched.
const WAITING_RULE: &str = "
name = \"leaves-the-cart\"
query = '''
sequence with maxspan=10m
  [ AddToCart where true ] ![ Checkout where true ]
'''
[action]
type = \"none\"
";

/// Runs the test: with nothing open, then with a visit open and a rule that waits in it.
///
/// # Errors
/// When the server uses more.
pub(crate) fn run(_root: &Path, binary: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let package = folder.path().join("rules/com.example.idle");
    std::fs::create_dir_all(&package)?;
    std::fs::write(package.join("leaves-the-cart.toml"), WAITING_RULE)?;
    let address = crate::free_address()?;
    let status = Status::new(binary, &folder.path().join("data"), &format!("http://{address}"))?;
    let server = Command::new(binary)
        .args(["serve", "--demo", "--listen", &address, "--data"])
        .arg(folder.path().join("data"))
        .arg("--rules")
        .arg(folder.path().join("rules"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Running(server);
    status.wait_for_answer()?;
    watch("nothing open", &server)?;
    let event = r#"{"eventName":"AddToCart","visitID":"0123456789abcdef0123456789abcdef"}"#;
    ureq::post(format!("http://{address}/v1/events")).send(event)?;
    wait("the visit is open", || Ok(status.number("/engine/visits_open")? == 1))?;
    // The rules were deployed at the start: while they go from partition to partition an epoch comes
    // every millisecond, since a visit is open now. That ends.
    wait("the rules have reached all partitions", || {
        let before = status.number("/engine/epoch")?;
        rest(Duration::from_secs(1));
        Ok(status.number("/engine/epoch")? - before <= 5)
    })?;
    let epoch = status.number("/engine/epoch")?;
    watch("a visit open and a rule waiting", &server)?;
    let epochs = status.number("/engine/epoch")? - epoch;
    anyhow::ensure!(epochs > 0, "nobody looked at what time it is");
    anyhow::ensure!(status.number("/engine/visits_open")? == 1, "the visit is not open");
    crate::say(&format!("{epochs} epochs meanwhile"));
    Ok(())
}

/// Lets it settle, then measures.
fn watch(what: &str, server: &Running) -> anyhow::Result<()> {
    rest(Duration::from_secs(2));
    let before = ticks(server.0.id())?;
    rest(WATCHED);
    let used = ticks(server.0.id())? - before;
    crate::say(&format!("{what}: {used} ticks of 10 ms in {} s", WATCHED.as_secs()));
    anyhow::ensure!(used <= TICKS_MAX, "{what}: {used} ticks, more than {TICKS_MAX}");
    Ok(())
}

fn rest(span: Duration) {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// User and system time of a process (`proc_pid_stat(5)`, fields 14 and 15).
fn ticks(process: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, behind_name) = stat.rsplit_once(") ").context("a name in parentheses")?;
    let fields: Vec<&str> = behind_name.split(' ').collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    Ok(field(11).context("user time")? + field(12).context("system time")?)
}
