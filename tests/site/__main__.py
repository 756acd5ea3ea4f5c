"""Checks the built documents in a real browser: no page is cut, and axe finds no fault.

    python -m tests.site [FOLDER] [--pictures FOLDER]

Each page of the site is opened as on a phone and as on a desk, in light and in dark colours. The
pages that show one source file are alike, so one of them stands for all.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SIZES: Final = {"phone": (390, 844), "desk": (1280, 900)}
PATIENCE: Final = 300_000  # milliseconds: the machine may be busy
SCHEMES: Final = ("light", "dark")
FLAGS: Final = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]

ONLY_FAULTS: Final = {"resultTypes": ["violations"]}
CUT: Final = """
() => Array.from(document.querySelectorAll("body, .md-content *:not(thead)"), element => {
    const cuts = ["hidden", "clip"].includes(getComputedStyle(element).overflowX);
    const room = element === document.body ? window.innerWidth : element.clientWidth;
    const is_cut = (cuts || element === document.body) && element.scrollWidth > room + 1;
    return is_cut ? element.outerHTML.slice(0, 100) : "";
}).filter(Boolean)
"""
"""What is wider than its room and cannot be scrolled. (A phone hides the head of a table.)"""

WHITE: Final = """
() => Array.from(document.images).filter(image => {
    if (!image.complete || !image.offsetWidth) return false;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 32;
    const context = canvas.getContext("2d");
    context.filter = getComputedStyle(image).filter;
    context.drawImage(image, 0, 0, 32, 32);
    const pixels = Array.from(new Uint32Array(context.getImageData(0, 0, 32, 32).data.buffer));
    return pixels.filter(pixel => pixel === 0xffffffff).length > pixels.length / 2;
}).map(image => image.src)
"""
"""Pictures that are mostly white."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each page")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("not checked: chromium is missing (Debian's package chromium)", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        pages = list(_pages(options.site))
        with _served(options.site) as url:
            faults = list(_faults(browser, url, pages, options.pictures))
    print(*faults, f"{len(pages)} pages, {len(faults)} faults", sep="\n")
    return 1 if faults or not pages else 0


@contextmanager
def _served(site: Path) -> Iterator[str]:
    """Serve the site for the length of a block; give its address."""
    handler = partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _pages(site: Path) -> Iterator[str]:
    """Yield the pages: those of docs/, the documents beside it, and one source file."""
    names = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    is_source = re.compile(r"source/.*\.(py|sh|toml)\.html").fullmatch
    yield from (name for name in names if not is_source(name))
    yield from [name for name in names if is_source(name)][:1]


def _faults(browser: Browser, url: str, pages: list[str], pictures: Path | None) -> Iterator[str]:
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            with browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            ) as context:
                context.set_default_timeout(PATIENCE)
                page = context.new_page()
                for name in pages:
                    page.goto(url + name)
                    for fault in _of_page(page, scheme):
                        yield f"{name}, {size}, {scheme}: {fault}"
                    if pictures:
                        picture = f"{name.replace('/', '-')}-{size}-{scheme}.png"
                        page.screenshot(path=pictures / picture, full_page=True)


def _of_page(page: Page, scheme: str) -> Iterator[str]:
    for element in page.evaluate(CUT):
        yield f"is cut: {element}"
    if scheme == "dark":
        for picture in page.evaluate(WHITE):
            yield f"is white in the dark: {picture.rpartition('/')[2]}"
    violations: list[dict[str, Any]] = Axe().run(page, options=ONLY_FAULTS).response["violations"]
    for violation in violations:
        for node in violation["nodes"]:
            why = " ".join(node["failureSummary"].split())
            yield f"axe {violation['id']} ({violation['impact']}): {node['html'][:120]}: {why}"


if __name__ == "__main__":
    sys.exit(main())
