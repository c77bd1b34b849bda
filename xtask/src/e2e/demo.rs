//! A person opens the demo page in a real browser, earns an invitation, and sees it once, whatever
//! breaks in between: `tests/browser/demo.py`, run by Playwright in Debian's Chromium.

use super::tools;
use anyhow::Context;
use std::path::Path;
use std::process::Command;

/// Drives the browser; pinned. It brings no browser of its own.
const PYTHON_PACKAGES: &[&str] = &["playwright==1.65.2"];

/// Runs the tests. Pictures of the page are left in `target/e2e`.
///
/// # Errors
/// When the page does not show what it should, or not soon enough.
pub(crate) fn run(root: &Path, binary: &Path) -> anyhow::Result<()> {
    tools::program("chromium", &["chromium"])?;
    let programs = tools::python(&root.join("target/e2e-browser"), PYTHON_PACKAGES)?;
    let status = Command::new(programs.join("python"))
        .arg(root.join("tests/browser/demo.py"))
        .arg("--binary")
        .arg(binary)
        .args(["--chromium", "chromium", "--out"])
        .arg(root.join("target/e2e"))
        .status()
        .context("the browser tests do not start")?;
    anyhow::ensure!(status.success(), "the browser tests failed");
    Ok(())
}
