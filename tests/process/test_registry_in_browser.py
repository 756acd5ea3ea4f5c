"""The registry example in a real browser changes by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.process.gunicorn_server import Gunicorn
from tests.process.registry import PATIENCE, kill, serving
from tests.support import ROOT, wait_until

FLAGS = """
--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars
--window-size=1000,840
"""
WORKERS = 3

# Where to write pictures for the documents; without it none are taken.
PICTURES = os.environ.get("REGISTRY_PICTURES")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """Give a Chromium that nobody has used before."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        message = "needs chromium and chromedriver: Debian's chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    options = ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'browser'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


class Page:
    """The registry as its reader sees it."""

    def __init__(self, browser: Chrome, server: Gunicorn) -> None:
        self._browser = browser
        self._server = server
        browser.get(server.url)
        browser.execute_script("window.neverReloaded = true")

    def workers(self) -> set[int]:
        """Return the process ids in the table."""
        return self._run("Array.from(document.querySelectorAll('tbody tr'), r => +r.dataset.pid)")

    def tagged(self, tag: str) -> int:
        """Return the process id of the worker with a tag."""
        pid: int = self._browser.execute_script(
            f"return +document.querySelector('tr:has(.{tag})').dataset.pid"
        )
        return pid

    def _run(self, script: str) -> set[int]:
        return set(self._browser.execute_script(f"return {script}"))

    def text(self, element: str) -> str:
        """Return what an element says."""
        return self._browser.find_element(By.ID, element).text

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self._browser.switch_to.active_element.send_keys(*keys)

    def focused(self) -> str:
        """Return the id of the element that has the focus."""
        return self._browser.switch_to.active_element.get_attribute("id") or ""

    def holds_an_update(self) -> bool:
        """Tell whether an update has come that is not shown yet."""
        return bool(self._browser.execute_script("return held !== null"))

    def wait_until(self, wanted: Callable[[], bool]) -> None:
        """Wait for the page to change by itself."""
        wait_until(
            wanted,
            timeout=PATIENCE,
            message=lambda: f"{self.text('status')} {self.workers()}\n{self._server.log}",
        )
        assert self._browser.execute_script("return window.neverReloaded")

    def picture(self, name: str, scheme: str) -> None:
        """Write a picture of the page in a colour scheme, if any are wanted."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        if PICTURES:
            assert self._browser.save_screenshot(str(ROOT / PICTURES / name))

    def background(self) -> str:
        """Return the colour of the page."""
        colour: str = self._browser.execute_script(
            "return getComputedStyle(document.body).backgroundColor"
        )
        return colour

    def complaints(self) -> list[str]:
        """Return what the browser's console says, but for streams that a dead worker cut."""
        entries = self._browser.execute("getLog", {"type": "browser"})["value"]
        messages = [entry["message"] for entry in entries]
        return [message for message in messages if "/events" not in message]


def test_a_killed_worker_vanishes_and_its_successor_appears(
    browser: Chrome, tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """The page shows departures and the leader; it outlives the worker that served it."""
    with serving(tmp_path, zookeeper_hosts + chroot, workers=WORKERS) as server:
        page = Page(browser, server)
        page.wait_until(lambda: page.text("status") == "Live" and len(page.workers()) == WORKERS)

        leader = page.tagged("leader")
        kill(leader)
        page.wait_until(lambda: leader not in page.workers() and len(page.workers()) == WORKERS)
        page.wait_until(lambda: page.text("status") == "Live")
        assert f"Worker {leader} left" in page.text("changes")
        assert f"Worker {page.tagged('leader')} leads" in page.text("changes")

        page.picture("registry.png", "light")
        light = page.background()
        page.picture("registry-dark.png", "dark")
        assert page.background() != light

        serving_worker = page.tagged("own")
        kill(serving_worker)
        page.wait_until(lambda: serving_worker not in page.workers())
        page.wait_until(lambda: len(page.workers()) == WORKERS and page.text("status") == "Live")
        assert page.tagged("own") != serving_worker
        assert not page.complaints()


def test_updates_can_be_paused_with_the_keyboard(
    browser: Chrome, tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """What comes meanwhile is shown when they go on."""
    with serving(tmp_path, zookeeper_hosts + chroot, workers=2) as server:
        page = Page(browser, server)
        page.wait_until(lambda: page.text("status") == "Live" and len(page.workers()) == 2)
        before = page.workers()
        page.press(Keys.TAB)
        assert page.focused() == "pause"
        page.press(Keys.SPACE)
        assert page.text("status") == "Paused"
        kill((before - {page.tagged("own")}).pop())
        page.wait_until(page.holds_an_update)
        assert page.workers() == before
        page.press(Keys.SPACE)
        assert page.workers() != before
        assert page.text("status") == "Live"
