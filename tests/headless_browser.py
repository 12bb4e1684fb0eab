"""A real browser without a window, which requests nothing that a page does not."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000  # on a machine that does other things too


@contextmanager
def launch_browser(*switches: str) -> Iterator[Any]:
    """Yield a browser of playwright; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with playwright.sync_playwright() as driver:
        arguments = [*SWITCHES, *switches]
        browser = driver.chromium.launch(executable_path=BROWSER, args=arguments)
        yield browser
        browser.close()


def new_page(browser: Any, width: int = 375) -> Any:
    """Return a page of this width, in pixels, to be closed at the end of its test.

    All pages of a browser are of one context, as tabs are: each has its own session storage, and
    a context of its own would be a new process, most of a second.
    """
    context = browser.contexts[0] if browser.contexts else browser.new_context()
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.set_default_timeout(PATIENCE_MS)
    return page


@contextmanager
def watched_page(browser: Any, address: str, width: int = 375) -> Iterator[Any]:
    """Yield an opened page. At its end: no error in its console, no request to another address.

    Args:
        browser: of :func:`launch_browser`.
        address: of the server, without the last slash; its first page is opened.
        width: of the window, in pixels.
    """
    page = new_page(browser, width)
    problems, requested = [], []
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{address}/")
    yield page
    page.close()
    ours = f"{address}/", f"blob:{address}/"
    assert [url for url in requested if not url.startswith(ours)] == []
    # The browser itself notes each refused request.
    refused = "the server responded with a status of 4"
    problems = [line for line in problems if refused not in line]
    assert not problems, problems
