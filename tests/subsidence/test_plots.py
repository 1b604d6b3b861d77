"""Pictures: not blank, byte-stable, honest about missing data, and safe with any text."""

import io
import threading

import numpy as np
import pytest

from tasks.subsidence import plots
from tasks.subsidence.products import figures, plots_maps
from tasks.subsidence.products.payload import parameter_map
from tests.subsidence.sample_run import fields, forecasts, semantics, train_log


@pytest.fixture(scope="module")
def made():
    return forecasts(30, known_years=1)


def pixels(png: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"), float)


def drawings(made) -> dict[str, bytes]:
    evaluation, future, _ = made
    log, sem = plots.read_log(train_log()), semantics()
    columns = parameter_map(fields(evaluation), evaluation, sem)
    level = np.array([0.1, 0.5, 0.9])
    return {
        "history": plots.training_history(log, title="t", monitor="val_crps_subs", best_epoch=8),
        "epsilons": plots.epsilons(log, title="t"),
        "terms": plots.physics_terms(log, title="t"),
        "residuals": plots.residual_histogram(np.linspace(-1, 1, 50), np.linspace(-1, 1, 50) * 1e-11, title="t"),
        "reliability": plots.reliability([("raw", level, level)], title="t", rows=90),
        "pit": plots.pit_histogram([("raw", np.arange(10), "")], title="t"),
        "eval": plots_maps.subsidence_view(evaluation, sem, title="t")["png"],
        "future": plots_maps.subsidence_view(future, sem, title="t")["png"],
        "width": plots_maps.interval_width(evaluation, sem, title="t"),
        "fields": plots_maps.parameter_maps(columns, np.full(30, 0.3), sem, title="t"),
    }


def test_no_picture_is_blank(made):
    for name, png in drawings(made).items():
        assert pixels(png).std() > 5, name


def test_png_holds_no_date_or_program_name(made):
    first, second = (plots.pit_histogram([("raw", np.arange(10), "")], title="t") for _ in range(2))
    assert first == second
    assert b"Software" not in first and b"tIME" not in first


def test_pdf_has_no_date_and_is_byte_stable(made):
    first, second = (plots_maps.subsidence_view(made[0], semantics(), title="t")["pdf"] for _ in range(2))
    assert first == second
    assert first.startswith(b"%PDF") and b"CreationDate" not in first


def texts(fig) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_a_panel_without_data_says_why():
    fig, axes = figures.figure(1, 1, width=4, height=3, title="t")
    plots._lines(axes[0, 0], {}, (("train", "total_loss"),), "Loss", "u", "the training log lacks this column")
    assert texts(fig) == ["the training log lacks this column"]
    assert len(axes[0, 0].get_xticks()) == 0


def test_a_map_year_without_truth_says_so(made):
    fig, axes = figures.figure(1, 2, width=8, height=4, title="t")
    where = plots_maps.places(made[1], semantics())
    values = np.column_stack([np.ones(30), np.full(30, np.nan)])
    figures.map_row(axes[0], where, values, ["2023", "2024"], figures.Shade((0, 2), "mm", absent="not observed"))
    assert texts(fig) == ["not observed"]


def test_a_log_without_physics_is_drawn_with_the_reason():
    log = plots.read_log(train_log(physics=False))
    assert np.isnan(log["epsilon_cons"]).all()
    assert pixels(plots.epsilons(log, title="t")).std() > 1


@pytest.mark.parametrize("log", [{}, {"epoch": np.array([0.0]), "total_loss": np.array([1.0])}])
def test_an_empty_or_one_epoch_log_can_be_drawn(log):
    assert plots.training_history(log, title="t", monitor="val_crps_subs", best_epoch=None).startswith(b"\x89PNG")


def test_every_map_axis_is_labelled_in_kilometres_at_equal_scale(made):
    fig, axes = figures.figure(1, 1, width=5, height=4, title="t")
    where = plots_maps.places(made[0], semantics())
    figures.map_row(axes[0], where, np.arange(30.0)[:, None], ["m"], figures.Shade((0, 30), "mm"))
    ax = axes[0, 0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("easting (km)", "northing (km)")
    assert ax.get_aspect() == 1.0
    assert fig.axes[1].get_ylabel() == "mm"


def test_unknown_origin_is_named_on_the_axes(made):
    where = plots_maps.places(made[0], semantics(georeference="none"))
    assert where.x_label == "x from unknown origin (km)"


def test_hostile_text_is_drawn_as_it_is(made):
    png = plots_maps.interval_width(made[0], semantics(), title=r"$\frac{1}{0}$ <b>&amp; \x")
    assert pixels(png).std() > 5


def test_robust_limits_ignore_outliers_and_are_symmetric_when_signed():
    low, high = figures.robust_limits(np.append(np.linspace(0, 1, 1000), 1e6))
    assert 0 <= low < 0.05 and 0.95 < high < 1.05
    assert figures.robust_limits(np.array([-3.0, 1.0]), signed=True) == pytest.approx((-2.96, 2.96))
    assert figures.robust_limits(np.full(5, 2.0))[0] < 2.0


def test_drawing_leaves_no_global_state(made):
    import matplotlib

    before = dict(matplotlib.rcParams)
    threads = [threading.Thread(target=plots.pit_histogram, args=([("raw", np.arange(10), "")],), kwargs={"title": "t"})
               for _ in range(2)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(matplotlib.rcParams) == before
