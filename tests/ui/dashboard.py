"""The dashboard as a person uses it: pages by their names, a picture of each kept."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.served import Serve
from tests.flows.test_report_in_browser import FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 60_000
WINDOW = {"width": 1440, "height": 1000}


@dataclass
class Dashboard:
    """One tab of a real browser on a served platform."""

    page: "Page"
    served: Serve
    shots: Path

    def open(self, path: str) -> "Page":
        """A page of the dashboard that new users get."""
        self.page.goto(f"{self.served.status['url']}/v2{path}")
        return self.page

    def keep(self, name: str) -> Path:
        """A picture of the page as it stands, once it has faded in."""
        self.page.wait_for_timeout(700)
        path = self.shots / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def log_in(self, password: str | None = None) -> None:
        """As a person does it: the string that `stagegate serve` names."""
        self.page.goto(self.served.status["url"])
        self.page.get_by_placeholder("admin:pass").fill(password or ":".join(self.served.auth))
        self.page.get_by_role("button", name="Login").click()

    def ask(self, method: str, path: str, **json: object):
        """The API, for what a picture cannot tell."""
        with self.served.client() as client:
            return client.request(method, path, **({"json": json} if method == "POST" else {})).json()


@contextmanager
def tabs(served: Serve, shots: Path) -> Iterator[Callable[[], Dashboard]]:
    """A function that opens a tab of a browser without any history."""
    from playwright.sync_api import sync_playwright

    def new() -> Dashboard:
        page = browser.new_context(viewport=WINDOW, locale="en-US", timezone_id="UTC").new_page()
        page.set_default_timeout(PATIENCE_MS)
        return Dashboard(page, served, shots)

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield new
        finally:
            browser.close()
