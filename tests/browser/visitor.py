"""What the browser tests stand on: a demo server that can be killed, and a visitor in Chromium."""

import contextlib
import hashlib
import json
import pathlib
import signal
import subprocess
import time
import urllib.request

PATIENCE_S = 30

# Counts what is painted, and measures it from outside of the page's own scripts: from the click's
# own timestamp to a task behind the frame that shows the message.
WATCH = """
addEventListener("beckon:painted", (painted) => beckonPainted(painted.detail.id), true);
addEventListener("click", (clicked) => { window.clickedAt = clicked.timeStamp; }, true);
addEventListener("DOMContentLoaded", () => {
  new MutationObserver((changes) => {
    if (!changes.some((change) => change.addedNodes.length > 0)) return;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => { window.tookMs = performance.now() - window.clickedAt; };
      channel.port2.postMessage(null);
    });
  }).observe(document.getElementById("messages"), { childList: true });
});
"""


class Server:
    """`serve --demo` in a folder of its own."""

    def __init__(self, binary: pathlib.Path, data: pathlib.Path, address: str) -> None:
        self.command = [binary, "serve", "--demo", "--data", data, "--listen", address]
        self.url = f"http://{address}"
        self.log = (data.parent / "server.log").open("ab")
        self.process = None

    def start(self) -> None:
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, stdin=null, stdout=null, stderr=self.log)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).close()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the demo does not start; see {self.log.name}")
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def live(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/v1/live/snapshot", timeout=5) as answer:
            return json.load(answer)


class Visitor:
    """A person with a browser of their own."""

    def __init__(self, browser, server: Server, *, loses: bool = False, **options) -> None:
        """`loses`: requests of this one are lost, which the browser may say."""
        self.server, self.loses = server, loses
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_S * 1000)
        #: Ids of messages, one for each time that the page painted one.
        self.painted = []
        self.errors = []
        self.context.expose_binding("beckonPainted", lambda _, id: self.painted.append(id))
        self.context.add_init_script(WATCH)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message) -> None:
        is_loss = self.loses and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not is_loss:
            self.errors.append(message.text)

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, failed, *_) -> None:
        self.context.close()
        assert failed or not self.errors, f"the page complains: {self.errors}"

    def come(self, state: str = "live") -> "Visitor":
        self.page.goto(self.server.url)
        return self.see(f"#status[data-state={state}]").see("#events .own .badge[data-status=ok]")

    def reload(self) -> "Visitor":
        self.page.reload()
        return self.see("#status[data-state=live]")

    def start_over(self) -> "Visitor":
        """Is somebody new, in the same page."""
        self.click("#start-over").page.locator("[role=dialog]").wait_for(state="detached")
        self.see("#status[data-state=live]")
        return self.see("#events .own .badge[data-status=ok]")

    def see(self, selector: str, text: str = "") -> "Visitor":
        self.page.locator(selector, has_text=text).first.wait_for()
        return self

    def click(self, selector: str) -> "Visitor":
        self.page.click(selector)
        return self

    def press(self, key: str) -> "Visitor":
        self.page.keyboard.press(key)
        return self

    def has_focus(self, selector: str) -> bool:
        return self.page.evaluate("it => document.activeElement.matches(it)", selector)

    def tab_to(self, selector: str) -> "Visitor":
        """Presses Tab until something has the focus."""
        for _ in range(100):
            if self.has_focus(selector):
                return self
            self.press("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    def did(self, name: str, seconds_ago: int, data: dict) -> "Visitor":
        """An event of this visit that is told only now."""
        at = int((time.time() - seconds_ago) * 1000)
        event = {"eventName": name, "visitID": self.visit(), "timestamp": at, "data": data}
        body = json.dumps({"visitSecret": self.secret(), "events": [event]}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.server.url}/v1/events", body, headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            results = json.load(answer)["results"]
        assert [result["status"] for result in results] == ["ok"], results
        return self

    def prices(self, times: int) -> "Visitor":
        """Opens the prices; each time is answered before the next."""
        for _ in range(times):
            before = self.stored()
            self.click("#nav-prices")
            self.until(lambda: self.stored() > before, "the event is answered")
        return self

    def stored(self) -> int:
        answered = "#events .own .badge:is([data-status=ok], [data-status=duplicate])"
        return self.page.locator(answered).count()

    def until(self, is_so, what: str) -> "Visitor":
        """Waits in small steps, in which the browser's messages are taken."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, f"never: {what}"
            self.page.wait_for_timeout(5)
        return self

    def events(self, name: str, category: str) -> int:
        """How many such events of this visit the server has."""
        visit, events = self.visit(), self.server.live()["events"]
        return sum((e["visit"], e["name"]) == (visit, name) and category in e["categories"] for e in events)

    def secret(self) -> str:
        return json.loads(self.page.evaluate("sessionStorage.getItem('beckon-secret')"))

    def visit(self) -> str:
        return hashlib.sha256(bytes.fromhex(self.secret())).hexdigest()[:32].upper()

    def is_invited_once(self) -> "Visitor":
        """The invitation is seen, is one, stays one over a reload, and goes when it is declined."""
        self.see("[role=dialog]", "Comparing our prices?")
        self.until(lambda: self.painted, "something is painted")
        self.reload().see("[role=dialog]", "Comparing our prices?")
        assert self.page.locator("#messages > *").count() == 1
        self.page.get_by_role("button", name="Not now").click()
        # A later message comes behind all earlier ones: once it is here, none of those comes again.
        self.reload().click("#sign-in").click("#nav-home").click("[data-sku=B-4]")
        self.click("#cart-open").click("#check-out").see(".strip", "Thank you, ada")
        self.until(lambda: len(self.painted) >= 2, "the notice is painted")
        assert self.page.locator("[role=dialog]").count() == 0
        assert len(self.painted) == len(set(self.painted)) == 2, self.painted
        return self
