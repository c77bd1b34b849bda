//! A server with nothing to do uses next to no processor: at most half a percent of a core.

use anyhow::Context;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long is watched; processor time, not this, is what is judged.
const WATCHED: Duration = Duration::from_secs(10);
/// Processor time in it, in the kernel's ticks of 10 ms.
const TICKS_MAX: u64 = 5;

/// Runs the test.
///
/// # Errors
/// When the server uses more.
pub(crate) fn run(_root: &Path, binary: &Path) -> anyhow::Result<()> {
    let mut server = Command::new(binary)
        .args(["serve", "--demo", "--listen", &crate::free_address()?])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait(Duration::from_secs(2));
    let before = ticks(server.id());
    wait(WATCHED);
    let after = ticks(server.id());
    server.kill()?;
    server.wait()?;
    let used = after? - before?;
    crate::say(&format!("{used} ticks of 10 ms in {} s", WATCHED.as_secs()));
    anyhow::ensure!(used <= TICKS_MAX, "an idle server used {used} ticks, more than {TICKS_MAX}");
    Ok(())
}

fn wait(span: Duration) {
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
