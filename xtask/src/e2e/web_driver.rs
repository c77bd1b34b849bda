//! A real browser by the W3C WebDriver protocol (<https://www.w3.org/TR/webdriver2/>), as far as
//! the tests need it: open a page, find, click, read, take a picture.

use anyhow::Context;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The key under which an element's id stands (W3C WebDriver, 12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser session; dropping it ends the browser.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    /// The browser's profile; lives as long as the browser.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a headless Chromium.
    ///
    /// # Errors
    /// When the driver or the browser does not start.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver")?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .into();
        let profile = tempfile::tempdir()?;
        let base = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, agent, session: base, _profile: profile };
        let id = browser.new_session()?;
        browser.session = format!("{}/{id}", browser.session);
        Ok(browser)
    }

    fn new_session(&self) -> anyhow::Result<String> {
        let profile = format!("--user-data-dir={}", self._profile.path().display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &profile,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": args }
        } } });
        let answer = wait_for(|| self.call("POST", "", &wanted))?;
        let id = answer["sessionId"].as_str().with_context(|| format!("no session: {answer}"))?;
        Ok(id.to_owned())
    }

    /// Opens an address.
    ///
    /// # Errors
    /// When the browser says no.
    pub(crate) fn open(&self, address: &str) -> anyhow::Result<()> {
        self.call("POST", "/url", &json!({ "url": address })).map(drop)
    }

    /// Opens an address once somebody answers there.
    ///
    /// # Errors
    /// When nobody does within half a minute.
    pub(crate) fn open_when_there(&self, address: &str) -> anyhow::Result<()> {
        wait_for(|| self.open(address))
    }

    /// Clicks what a CSS selector finds, once it is there.
    ///
    /// # Errors
    /// When it does not appear.
    pub(crate) fn click(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.find(selector)?;
        self.call("POST", &format!("/element/{element}/click"), &json!({})).map(drop)
    }

    /// Waits until the text of what a selector finds holds `part`, and returns it.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub(crate) fn wait_for_text(&self, selector: &str, part: &str) -> anyhow::Result<String> {
        wait_for(|| {
            let element = self.find(selector)?;
            let answer = self.call("GET", &format!("/element/{element}/text"), &Value::Null)?;
            let text = answer.as_str().unwrap_or_default().to_owned();
            anyhow::ensure!(text.contains(part), "{selector} says `{text}`, not `{part}`");
            Ok(text)
        })
    }

    /// A PNG of the window, written to a file.
    ///
    /// # Errors
    /// When the browser gives none.
    pub(crate) fn picture(&self, file: &std::path::Path) -> anyhow::Result<()> {
        let answer = self.call("GET", "/screenshot", &Value::Null)?;
        let encoded = answer.as_str().context("no picture")?;
        std::fs::write(file.with_extension("base64"), encoded)?;
        let input = file.with_extension("base64");
        let decoded = Command::new("base64").arg("-d").arg(&input).output()?;
        anyhow::ensure!(decoded.status.success(), "the picture is no base64");
        std::fs::remove_file(input)?;
        std::fs::write(file, decoded.stdout)?;
        Ok(())
    }

    fn find(&self, selector: &str) -> anyhow::Result<String> {
        let query = json!({ "using": "css selector", "value": selector });
        let answer = wait_for(|| self.call("POST", "/element", &query))?;
        Ok(answer[ELEMENT].as_str().context("no element")?.to_owned())
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let address = format!("{}{path}", self.session);
        let mut answer = if method == "GET" {
            self.agent.get(&address).call()?
        } else {
            self.agent
                .post(&address)
                .header("content-type", "application/json")
                .send(body.to_string())?
        };
        let text = answer.body_mut().read_to_string()?;
        let parsed: Value = serde_json::from_str(&text)?;
        anyhow::ensure!(answer.status().as_u16() == 200, "{path}: {}", parsed["value"]["message"]);
        Ok(parsed["value"].clone())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.agent.delete(&self.session).call());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// Asks again until it goes well or patience ends; the last error is returned.
fn wait_for<T>(mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}
