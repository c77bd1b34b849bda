//! A person opens the demo page, clicks, and sees rules fire.

use super::tools;
use super::web_driver::Browser;
use anyhow::Context;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A demo server; dropping it ends it.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs the test. A picture of the page is left in `target/e2e-demo.png`.
///
/// # Errors
/// When the page does not show what it should.
pub(crate) fn run(root: &Path, binary: &Path) -> anyhow::Result<()> {
    tools::program("chromium", &["chromium"])?;
    tools::program("chromedriver", &["chromium-driver"])?;
    let address = crate::free_address()?;
    let child = Command::new(binary)
        .args(["serve", "--demo", "--listen", &address])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("the demo does not start")?;
    let _demo = Demo(child);
    let browser = Browser::start()?;
    browser.open_when_there(&format!("http://{address}/"))?;
    browser.wait_for_text("#status", "Live")?;
    for _ in 0..3 {
        browser.click("#view-pricing")?;
    }
    browser.wait_for_text("#events", "PageEntered")?;
    browser.wait_for_text("#categories", "pricing")?;
    browser.wait_for_text("#actions", "hot-lead")?;
    browser.click("#add-to-cart")?;
    browser.wait_for_text("#events", "AddToCart")?;
    let picture = root.join("target/e2e-demo.png");
    browser.picture(&picture)?;
    crate::say(&format!("picture: {}", picture.display()));
    Ok(())
}
