"""Clicks the demo in real Chromium: an invitation is earned, seen soon, once, and whatever breaks.

    python demo.py --binary target/debug/beckon --chromium /usr/bin/chromium --out target/e2e
"""

import argparse
import math
import pathlib
import shutil
import socket
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

from visitor import Server, Visitor

RUNS = 50
#: From the click that completes a rule to the painted invitation, on loopback.
P95_MS_MAX = 150
#: From the start of the server to the first invitation, with a person's clicks by a machine.
START_S_MAX = 60
NOTIFICATIONS, ACKNOWLEDGEMENTS = "**/notifications?*", "**/notifications/*"
EVENTS = "**/v1/events"


def the_invitation_is_painted_soon(bench):
    took = []
    with Visitor(bench.browser, bench.server) as visitor:
        visitor.come()
        for _ in range(RUNS):
            visitor.prices(2).page.evaluate("delete window.tookMs")
            visitor.click("#nav-prices")
            visitor.until(lambda: visitor.page.evaluate("'tookMs' in window"), "it is painted")
            took.append(visitor.page.evaluate("window.tookMs"))
            visitor.see("[role=dialog]", "Comparing our prices?").start_over()
    took.sort()
    rank = lambda share: took[math.ceil(share * len(took)) - 1]
    print(
        f"click to painted invitation, {RUNS} visitors: p50 {rank(0.5):.0f} ms, "
        f"p95 {rank(0.95):.0f} ms, most {took[-1]:.0f} ms (p95 at most {P95_MS_MAX} ms)"
    )
    assert rank(0.95) <= P95_MS_MAX, took


def a_visitor_is_invited_once(bench):
    with Visitor(bench.browser, bench.server) as visitor:
        visitor.come().prices(3).is_invited_once()


def a_reload_before_the_event_has_gone_loses_nothing(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.come().prices(2)
        visitor.page.route(EVENTS, lambda route: route.abort())
        visitor.click("#nav-prices").see("#events .badge[data-status=waiting]")
        visitor.page.reload()
        visitor.page.unroute(EVENTS)
        visitor.is_invited_once()
        assert visitor.events("PageEntered", "pricing") == 3


def a_reload_before_the_message_has_come_loses_nothing(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.page.route(NOTIFICATIONS, lambda route: route.abort())
        visitor.come(state="lost").prices(3)
        assert visitor.painted == []
        visitor.page.unroute(NOTIFICATIONS)
        visitor.page.reload()
        visitor.is_invited_once()


def a_lost_network_loses_nothing_and_doubles_nothing(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.come().prices(2)
        visitor.context.set_offline(True)
        visitor.click("#nav-prices").see("#events .badge[data-status=waiting]")
        visitor.context.set_offline(False)
        visitor.is_invited_once()
        assert visitor.events("PageEntered", "pricing") == 3


def a_lost_answer_doubles_nothing(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.come().prices(2)

        def lose_the_answer(route):
            route.fetch()
            route.abort()

        visitor.page.route(EVENTS, lose_the_answer, times=1)
        visitor.click("#nav-prices").see("#events .badge[data-status=duplicate]")
        visitor.is_invited_once()
        assert visitor.events("PageEntered", "pricing") == 3


def killed_before_the_message_has_come(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.page.route(NOTIFICATIONS, lambda route: route.abort())
        visitor.come(state="lost").prices(3)
        bench.server.kill()
        visitor.page.unroute(NOTIFICATIONS)
        bench.server.start()
        visitor.is_invited_once()


def killed_before_it_heard_that_the_message_was_seen(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.page.route(ACKNOWLEDGEMENTS, lambda route: route.abort())
        visitor.come().prices(3).see("[role=dialog]")
        visitor.until(lambda: visitor.painted, "it is painted")
        bench.server.kill()
        visitor.see("#status[data-state=lost]")
        bench.server.start()
        with visitor.page.expect_response(ACKNOWLEDGEMENTS) as heard:
            visitor.page.unroute(ACKNOWLEDGEMENTS)
            visitor.reload()
        assert heard.value.status == 204, heard.value.status
        visitor.is_invited_once()


def killed_before_the_event_has_gone(bench):
    with Visitor(bench.browser, bench.server, loses=True) as visitor:
        visitor.come().prices(2)
        bench.server.kill()
        visitor.click("#nav-prices").see("#events .badge[data-status=waiting]")
        bench.server.start()
        visitor.is_invited_once()
        assert visitor.events("PageEntered", "pricing") == 3


def a_message_that_is_taken_back_goes(bench):
    with Visitor(bench.browser, bench.server) as visitor:
        bulb = {"sku": "B-4", "name": "the spare bulb", "price": 4}
        visitor.come().did("AddToCart", 40, bulb)
        visitor.see("[role=dialog]", "Is anything unclear about the spare bulb?")
        visitor.until(lambda: visitor.painted, "it is painted")
        # The checkout was there all the time; it comes late.
        visitor.did("Checkout", 20, {"price": 4})
        visitor.page.locator("[role=dialog]").wait_for(state="detached")
        visitor.reload().click("#nav-prices")
        assert visitor.page.locator("[role=dialog]").count() == 0
        assert len(visitor.painted) == 1, visitor.painted


def the_keyboard_is_enough(bench):
    with Visitor(bench.browser, bench.server) as visitor:
        visitor.come().tab_to("#nav-prices")
        for _ in range(3):
            before = visitor.stored()
            visitor.press("Enter").until(lambda: visitor.stored() > before, "it is answered")
        visitor.see("[role=dialog]").until(lambda: visitor.painted, "it is painted")
        assert visitor.has_focus("#nav-prices"), "an invitation takes no focus"
        visitor.tab_to("[role=dialog] .primary").press("Enter")
        visitor.see("[role=dialog]", "the chat opens here")
        assert visitor.has_focus("[role=dialog] button"), "the way out has it"
        visitor.press("Escape").page.locator("[role=dialog]").wait_for(state="detached")


def who_wants_no_motion_sees_none(bench):
    moves = "getComputedStyle(document.querySelector('[role=dialog]')).animationName != 'none'"
    for wish, is_moving in (("no-preference", True), ("reduce", False)):
        with Visitor(bench.browser, bench.server, reduced_motion=wish) as visitor:
            visitor.come().prices(3).see("[role=dialog]")
            assert visitor.page.evaluate(moves) == is_moving, wish
            running = visitor.page.evaluate("document.getAnimations().length")
            assert is_moving or running == 0, f"{running} animations"


def a_newcomer_is_invited_within_a_minute(bench):
    bench.server.kill()
    began = time.monotonic()
    bench.server.start()
    with Visitor(bench.browser, bench.server) as visitor:
        visitor.come().prices(3).see("[role=dialog]")
        visitor.until(lambda: visitor.painted, "it is painted")
    took = time.monotonic() - began
    print(f"from the start of the server to the invitation: {took:.1f} s (at most {START_S_MAX} s)")
    assert took <= START_S_MAX


def rules_are_seen_to_advance(bench):
    with Visitor(bench.browser, bench.server) as visitor:
        rule = lambda name, more: f".rule{more}:has(strong:text-is('{name}'))"
        visitor.come().see(rule("hot-lead", "[data-filled='0']"))
        visitor.prices(1).see(rule("hot-lead", "[data-filled='1']"), "1 of 3")
        visitor.see(rule("big-cart", "[data-filled='1']"), "next: AddToCart where data.price >= 100")
        visitor.prices(1).see(rule("hot-lead", "[data-filled='2']"), "2 of 3")
        visitor.prices(1).see(rule("hot-lead", "[data-state='fired']"), "fired")
        visitor.see(".actions .own", "Painted in the shop")
        visitor.click("#nav-home").click("[data-sku=L-120]")
        visitor.see(rule("hesitates", ""), "fires unless Checkout within")
        # The visit has its invitation: the next one is held back, and it is said why.
        visitor.see(rule("big-cart", "[data-state='held back']"))
        visitor.see(".actions .own", "Because this visit has had its invitation")
        visitor.click("#send-broken").see("#events .badge[data-status=rejected]", "refused")
        visitor.click("#start-over").see(rule("hot-lead", "[data-filled='0']"), "0 of 3")


def the_page_fits(bench):
    for width, height in ((1280, 900), (390, 844)):
        for colours in ("light", "dark"):
            options = {"viewport": {"width": width, "height": height}, "color_scheme": colours}
            with Visitor(bench.browser, bench.server, **options) as visitor:
                visitor.come().prices(3).see("[role=dialog]").click("#nav-home")
                visitor.click("[data-sku=L-120]").see(".actions .own", "Because")
                visitor.page.wait_for_timeout(600)  # the end of the animations
                wide = visitor.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{wide} pixels at {width}"
                file = bench.out / f"demo-{width}-{colours}.png"
                visitor.page.screenshot(path=file, full_page=width < 600)
                print(f"picture: {file}")


TESTS = [
    the_invitation_is_painted_soon,
    a_visitor_is_invited_once,
    a_reload_before_the_event_has_gone_loses_nothing,
    a_reload_before_the_message_has_come_loses_nothing,
    a_lost_network_loses_nothing_and_doubles_nothing,
    a_lost_answer_doubles_nothing,
    killed_before_the_message_has_come,
    killed_before_it_heard_that_the_message_was_seen,
    killed_before_the_event_has_gone,
    a_message_that_is_taken_back_goes,
    the_keyboard_is_enough,
    who_wants_no_motion_sees_none,
    a_newcomer_is_invited_within_a_minute,
    rules_are_seen_to_advance,
    the_page_fits,
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--filter", default="")
    bench = parser.parse_args()
    bench.out.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    failed, tests = 0, [test for test in TESTS if bench.filter in test.__name__]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        bench.server = Server(bench.binary, pathlib.Path(folder) / "data", address)
        bench.server.start()
        bench.browser = playwright.chromium.launch(
            executable_path=shutil.which(bench.chromium), args=["--no-sandbox", "--disable-quic"]
        )
        for test in tests:
            began = time.monotonic()
            try:
                test(bench)
                print(f"ok: {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as error:  # the other tests still say something
                failed += 1
                print(f"FAILED: {test.__name__}: {error!r}", flush=True)
                if bench.server.process.poll() is not None:
                    bench.server.start()
        bench.browser.close()
        bench.server.kill()
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
