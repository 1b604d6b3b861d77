"""The report of a run over tiles: says what happened, hides no copy and no failure, trusts no name."""

import re
import shutil
from html import unescape

import pytest

from tasks.contracts.tiles import OomEvent
from tasks.tiles.flow.charts import charts
from tasks.tiles.flow.numbers import duration, rate, share, shown
from tasks.tiles.flow.page_words import headline, reservations
from tests.tiles.flow.finished_run import HOSTILE

CHROMIUM = shutil.which("chromium")


def text_of(page: str) -> str:
    """What a reader sees, in one line."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_copies_cannot_be_overlooked(copies):
    page = copies.page()
    assert '<div class="verdict stop" role="alert">\n    <strong>No refinement</strong>' in page
    assert "<title>No refinement" in page
    said = text_of(page)
    assert "4 of 4 tiles equal their input bit for bit" in said
    assert "Do not hand them on as opt_v2" in said
    assert "What to trust Nothing in this run has earned trust." in said
    assert "Here they are the figures of copies, not of a refinement." in said


def test_a_refinement_does_not_get_the_banner_of_copies(noisy):
    assert "verdict stop" not in noisy.page()


def test_failures_and_figures_are_both_in_the_verdict(noisy):
    found = headline(noisy.summary, noisy.quality)
    assert (found.tone, found.title) == ("caution", "Incomplete")
    assert found.sentence.startswith(
        "Of 6 tiles 2 failed (TileEmptyError). Of the others: preservation targets missed."
    )
    assert "Median PSNR against clean tiles before a known degradation: −" in found.sentence


def test_what_was_preserved_is_no_benefit(gentle):
    found = headline(gentle.summary, gentle.quality)
    assert (found.tone, found.title) == ("plain", "Plausible; benefit not measured")
    said = text_of(gentle.page())
    assert "Not measured: PSNR; SSIM; EVI RMSE; Spectral angle; Largest edge shift." in said
    assert "--reference_dir" in said


def test_closer_to_a_reference_is_good_only_where_the_reference_is_no_filter(gentle, noisy):
    against = noisy.quality["against_reference"]
    gained = {**against, "refined_minus_identity": {"psnr_db": {"median": 1.5}}}
    quality = {**gentle.quality, "against_reference": gained, "oracle_strength": "human_labels"}
    assert headline(gentle.summary, quality)[:2] == ("good", "Closer to the reference than the input")
    assert "Against optical images of the user: median PSNR +1.50 dB" in reservations(gentle.summary, quality).trust[-1]
    filtered = quality | {"oracle_strength": "classical_method"}
    assert headline(gentle.summary, filtered).tone == "plain"
    assert "agreement with a filter, not truth" in reservations(gentle.summary, filtered).doubt[-1]


def test_the_model_stands_beside_what_needs_no_model(noisy):
    said = text_of(noisy.page())
    edges = noisy.quality["summary"]["edge_correlation"]
    low, high = (shown("edge_correlation", edges[key]) for key in ("p5", "p95"))
    median = shown("edge_correlation", edges["median"])
    assert f"Edge correlation this model {median} {low} {high} > 0.9 {share(edges['share_meeting_target'])}" in said
    assert "opt_v1 unchanged 0 0 0 100 % unsharp filter" in said


def test_each_figure_against_the_reference_says_whether_the_input_is_closer(noisy):
    page = noisy.page()
    assert page.count('<span class="chip worse">worse</span>') == 6
    assert "4 of 4 tiles have one" in text_of(page)


def test_names_of_tiles_are_text(noisy):
    page = noisy.page("<script>alert(1)</script>")
    assert "tile_&lt;b&gt;bold&amp;" in page
    assert HOSTILE not in page
    assert "<script" not in page
    assert f"{HOSTILE} TileEmptyError read" in text_of(page)


def test_only_the_first_failures_are_listed(noisy, monkeypatch):
    monkeypatch.setattr("tasks.tiles.flow.page.SHOWN_FAILURES", 1)
    assert "The first 1 of 2; all are in .stagegate/errors.jsonl." in text_of(noisy.page())


def test_a_page_without_any_output_is_whole(failed):
    page = failed.page()
    said = text_of(page)
    assert "No tile was refined All 2 tiles failed (TileEmptyError)." in said
    assert "There is no output to show." in said
    assert "Device cpu nothing was computed" in said
    assert page.count(HOSTILE) == 0
    assert page.endswith("</html>")


def test_pictures_are_inside_with_their_figures(noisy, gentle):
    page = noisy.page()
    assert page.count('src="data:image/png;base64,') == 4
    assert "tile_00000 · first tile · 32 × 32 px · NDVI RMSE 0." in text_of(page)
    assert "No picture was asked for." in text_of(gentle.page())


def test_a_picture_that_could_not_be_made_is_named(noisy):
    quality = noisy.quality | {"quicklooks": [{"id": "tile_1", "role": "last", "file": "", "error": "OSError: full"}]}
    assert "No picture of tile_1: OSError: full" in text_of(noisy.page(quality=quality))


def test_what_ran_stands_beside_what_was_asked_for(noisy):
    event = OomEvent(action="CPU fallback", device="cuda:0", batch_size=4, tiles=("tile_00001",))
    summary = noisy.summary.model_copy(
        update={"oom_events": (event,), "cpu_fallbacks": 1, "device": ("cpu", "cuda:0"), "precision": ("bf16", "fp32")}
    )
    said = text_of(noisy.page(summary=summary, request=noisy.request.model_copy(update={"device": "cuda"})))
    assert "Device cuda cpu, cuda:0" in said
    assert "1 batches fell back to the CPU when memory ran out." in said
    assert "Tiles ran in different precisions: bf16, fp32." in said
    assert "CPU fallback cuda:0 4 tile_00001" in said


def test_long_tables_are_folded(noisy):
    month = noisy.quality["by_month"]
    row = next(iter(month.values()))
    folded = noisy.page(quality=noisy.quality | {"by_month": {str(number): row for number in (10, 2, 1, 3, 4, 5, 6)}})
    assert "<summary>7 months</summary>" in folded
    assert folded.index(">February<") < folded.index(">October<")
    assert "months</summary>" not in noisy.page()


def test_audit_lineage_and_settings_are_there(noisy):
    said = text_of(noisy.page("disk is slow"))
    assert "Made before the first tile was refined: 3 warn, 3 pass." in said
    assert "S-02 warn 2 of 6 tiles do not give month" in said
    assert re.search(r"audit-tiles ran 0\.10 s tiles\.json \w{8} handshake_audit\.json \w{8} new here", said)
    assert "Warnings disk is slow" in said
    assert "Skip finished tiles yes default" in said
    assert f"References {noisy.request.reference_dir} given" in said
    assert f"{noisy.request.output_dir}/inference.log" in said


def test_of_many_steps_the_first_and_the_last_are_shown(noisy):
    steps = [noisy.steps[0].model_copy(update={"step": f"step-{number}"}) for number in range(500)]
    said = text_of(noisy.page(steps=steps))
    assert "500 steps, 120 of them shown: the first and the last" in said
    assert "step-99 ran" in said and "step-499 ran" in said
    assert "step-100 ran" not in said


def test_histograms_need_tiles(noisy):
    assert charts(noisy.quality) == []
    many = noisy.quality | {"per_tile": noisy.quality["per_tile"] * 2}
    found = {chart.title: chart for chart in charts(many)}
    assert set(found) == {"NDVI RMSE", "Edge correlation", "RMS change", "PSNR gain over the input, dB"}
    assert sum(int(bar.label.rpartition(" ")[2]) for bar in found["NDVI RMSE"].bars) == 8
    assert found["NDVI RMSE"].low == "0"
    assert found["PSNR gain over the input, dB"].line_text == "0: as the input"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ndvi_rmse", None, "–"),
        ("ndvi_rmse", 0.0, "0"),
        ("ndvi_rmse", 3e-6, "3e-06"),
        ("edge_correlation", 0.99999, "> 0.9999"),
        ("edge_correlation", 1.0, "1"),
        ("mean_ndvi_change", -0.0123, "−0.0123"),
        ("psnr_db", 36.857, "36.86"),
    ],
)
def test_rounding_makes_nothing_perfect(name, value, text):
    assert shown(name, value) == text


def test_numbers_as_people_read_them():
    assert [share(value) for value in (None, 0.0, 0.0001, 0.25, 0.997, 0.99999, 1.0)] == [
        "–", "0 %", "< 0.1 %", "25 %", "99.7 %", "> 99.9 %", "100 %",
    ]  # fmt: skip
    assert [duration(value) for value in (0.04, 12.34, 125, 4200)] == ["0.04 s", "12.3 s", "2 min 5 s", "1 h 10 min"]
    assert [rate(value) for value in (0.0, 0.5, 8.84)] == ["–", "30.0 tiles/min", "8.8 tiles/s"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_page_fits_a_desk_and_a_phone_and_fetches_nothing(noisy, tmp_path):
    from playwright.sync_api import sync_playwright

    file = tmp_path / "report.html"
    file.write_text(noisy.page())
    problems = []
    with sync_playwright() as play:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
        page.goto(file.as_uri())
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
        browser.close()
    assert problems == []
    assert len(widths) == 4 and min(widths) > 300
