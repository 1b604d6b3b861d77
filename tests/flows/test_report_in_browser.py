"""report.html in a real browser: complete, self-contained, readable on a desk and on a phone."""

import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def page(twin_run, tmp_path_factory):
    from playwright.sync_api import sync_playwright

    _, report = twin_run
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
        page.on(
            "request", lambda request: page.problems.append(request.url) if request.url.startswith("http") else None
        )
        page.goto((Path(report.run_folder) / "report.html").resolve().as_uri())
        yield page
        browser.close()


def test_nothing_is_fetched_and_nothing_fails(page):
    assert page.problems == []


def test_every_picture_has_loaded(page):
    sizes = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(sizes) >= 8
    assert min(sizes) > 300


def test_sections_that_a_hydrogeologist_looks_for_are_there(page):
    text = page.inner_text("body").lower()
    for words in (
        "what to trust",
        "what not to trust",
        "skill against baselines",
        "last value",
        "handshake",
        "lineage",
    ):
        assert words in text, words


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_not_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_screenshot_is_kept(page, tmp_path_factory):
    page.set_viewport_size({"width": 1280, "height": 900})
    shot = tmp_path_factory.mktemp("shots") / "report.png"
    page.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 100_000
