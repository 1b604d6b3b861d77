"""What the numbers mean: units, places, years, spreads and scales; checked on a real handoff where it is present."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import HandshakeError
from tasks.subsidence import scaling
from tasks.subsidence.arrays import Split
from tasks.subsidence.config import Config, read_layers, resolve
from tasks.subsidence.manifest import parse_manifest
from tests.subsidence.mini import mini_audit, write_mini_handoff
from tests.subsidence.mini_city import mini_city, mini_holdout

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "subsidence" / "zhongshan"
AUDIT = {"stage1_scaling_audit": mini_audit(mini_city())}
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the handoff {REAL} is not on this machine")


def read_split(folder: Path, name: str) -> Split:
    inputs = np.load(folder / "artifacts" / f"{name}_inputs.npz")
    targets = {} if name == "future" else np.load(folder / "artifacts" / f"{name}_targets.npz")
    keys = ("coords", "dynamic_features", "static_features", "future_features", "H_field")
    return Split(name, *(inputs[key] for key in keys), *(targets.get(key) for key in ("subs_pred", "gwl_pred")))


class Handoff:
    """A handoff on disk, its configuration, and its semantics for some sources of the minima."""

    def __init__(self, path: Path, *sets: str):
        self.folder, self.manifest = path.parent, parse_manifest(path.read_bytes())
        self.cfg = Config(resolve(self.manifest, read_layers(sets=sets))[0])
        self.train = read_split(self.folder, "train")

    def split(self, name: str) -> Split:
        return read_split(self.folder, name)

    def finalize(self, train=None, **rest):
        rest.setdefault("sources", AUDIT)
        return scaling.finalize(self.manifest, self.cfg, train or self.train, future=self.split("future"), **rest)


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return Handoff(write_mini_handoff(tmp_path_factory.mktemp("mini")))


@pytest.fixture(scope="module")
def real():
    handoff = Handoff(REAL / "manifest.json")
    handoff.sources = {"stage1_scaling_audit": json.loads((REAL / "stage1_scaling_audit.json").read_text())}
    handoff.sem = handoff.finalize(sources=handoff.sources)
    return handoff


def variant(folder: Path, *sets: str, **hooks) -> Handoff:
    return Handoff(write_mini_handoff(folder, **hooks), *sets)


@needs_real
def test_reference_spreads_of_the_real_handoff(real):
    spread, scales = real.sem.standardisation, real.sem.residual_scales
    assert [round(1000 * value, 1) for value in spread.sigma_s] == [9.1, 13.4, 16.9]
    assert [round(value, 2) for value in spread.sigma_h] == [0.69] * 3
    assert round(scales.h_c, 2) == 0.76 and round(1000 * scales.s_c, 1) == 8.5
    assert scales.L_xy == pytest.approx(0.05 * 62406.75) and scales.T_c == 31_556_952.0
    assert scales.K_c == pytest.approx(math.sqrt(1e-12 * 1e-7)) and scales.Sa_c == pytest.approx(1e-5)


@needs_real
def test_minima_and_future_shift_of_the_real_handoff(real):
    low = real.sem.coord_min
    assert (low.t, low.x, low.y) == (2015.0, 721473.1875, 2457339.0)
    assert real.sem.future_time_shift == -1.0 and real.sem.epsg == 32649 and real.sem.thickness_cap_m == 30.0
    assert np.unique(np.rint(scaling.decode(real.split("future"), real.sem).years)).tolist() == [2023, 2024, 2025]
    assert np.unique(np.rint(scaling.decode(real.split("test"), real.sem).years)).tolist() == [2020, 2021, 2022]


@needs_real
def test_minima_from_the_holdout_places_lie_within_a_quarter_metre(real):
    with (REAL / "artifacts" / "holdout" / "train_groups.csv").open() as stream:
        lonlat = np.array([[float(row["longitude"]), float(row["latitude"])] for row in csv.DictReader(stream)])
    sem = real.finalize(sources={}, holdout={"train": lonlat})
    assert sem.public["georeference_source"] == "holdout CSV" and sem.coord_min.t == 2015.0
    assert abs(sem.coord_min.x - 721473.1875) < 0.25 and abs(sem.coord_min.y - 2457339.0) < 0.25
    places = scaling.decode(real.train, real.sem)
    east = (places.longitude[:, None] - lonlat[:, 0]) * 102_700
    north = (places.latitude[:, None] - lonlat[:, 1]) * 110_750
    assert np.hypot(east, north).min(axis=1).max() < 0.3


@needs_real
def test_drawdown_of_the_real_train_windows_has_the_right_sign(real):
    """T-01: the target head is a head already; against the last observed head 73 % of cells draw down."""
    heads = scaling.history_head(real.train, real.sem)
    drawdown = heads[:, -1:].astype(float) - real.train.head[:, :, 0].astype(float)
    assert (drawdown > 0).mean() == pytest.approx(0.729, abs=1e-3) and drawdown.mean() == pytest.approx(0.292, abs=1e-3)


def test_mini_places_come_back_to_longitude_and_latitude(mini):
    sem = mini.finalize()
    places, lonlat = scaling.decode(scaling.to_si(mini.train, sem), sem), mini_holdout(mini_city())["train"]
    assert np.abs(np.stack([places.longitude, places.latitude], axis=1) - lonlat).max() < 1e-7
    assert np.allclose(places.years, [[2020, 2021, 2022]], atol=1e-4)
    assert sem.future_time_shift == 0.0 and sem.georeference == "absolute"


def test_head_is_surface_minus_depth_for_the_driver_only(mini):
    sem = mini.finalize()
    si = scaling.to_si(mini.train, sem)
    assert np.array_equal(scaling.history_head(si, sem), si.static[:, [sem.z_surf_index]] - si.dynamic[:, :, 0])
    assert si.head is mini.train.head
    assert sem.public["gwl_z_meta"]["history_head"] == "z_surf - depth"


def test_without_a_surface_head_is_minus_depth_only_by_declaration(tmp_path):
    def no_surface(record):
        record["config"]["features"]["static"] = record["config"]["features"]["static"][:-1]
        for block in ("indices", "scaling_kwargs"):
            record["config"][block].pop("z_surf_static_index")

    def declared(record):
        no_surface(record)
        record["config"]["conventions"]["use_head_proxy"] = True

    with pytest.raises(HandshakeError, match="a depth but no surface elevation"):
        variant(tmp_path / "a", manifest=no_surface).finalize()
    handoff = variant(tmp_path / "b", manifest=declared)
    sem = handoff.finalize()
    assert sem.use_head_proxy
    assert np.array_equal(scaling.history_head(handoff.train, sem), -handoff.train.dynamic[:, :, 0])
    data_only = variant(tmp_path / "c", "MODEL_NAME=HybridAttn-NoPhysics", manifest=no_surface).finalize()
    assert data_only.use_head_proxy is True


def test_head_proxy_of_every_output_is_the_manifests(mini, tmp_path):
    """T-19: the flag flipped in the metadata although a surface elevation exists."""
    assert mini.finalize().public["use_head_proxy"] is False
    stated = variant(tmp_path, manifest=lambda record: record["config"]["conventions"].update(use_head_proxy=True))
    sem = stated.finalize()
    assert sem.use_head_proxy is True and sem.public["gwl_z_meta"]["use_head_proxy"] is True
    expected = stated.train.static[:, [5]] - stated.train.dynamic[:, :, 0]
    assert np.array_equal(scaling.history_head(stated.train, sem), expected)


def test_affine_pairs_are_applied_once_to_history_targets_and_thickness(tmp_path):
    def millimetres(arrays):
        for name, bundle in arrays.items():
            if name.endswith("inputs"):
                bundle["dynamic_features"][:, :, 1] *= 1000
                bundle["H_field"] = bundle["H_field"] * 100
            elif "subs_pred" in bundle:
                bundle["subs_pred"] = bundle["subs_pred"] * 1000

    def factors(record):
        record["config"]["scaling_kwargs"].update(subs_scale_si=1e-3, H_scale_si=0.01, head_bias_si=2.0)

    plain, scaled = variant(tmp_path / "a"), variant(tmp_path / "b", arrays=millimetres, manifest=factors)
    sem, expected = scaled.finalize(), plain.finalize()
    si = scaling.to_si(scaled.train, sem)
    assert np.allclose(si.subsidence, plain.train.subsidence, rtol=1e-6)
    assert np.allclose(scaling.last_subsidence(si, sem), plain.train.dynamic[:, -1, 1], rtol=1e-6)
    assert np.allclose(si.thickness, plain.train.thickness, rtol=1e-6)
    assert np.allclose(si.head, plain.train.head + 2.0)
    assert sem.standardisation.sigma_s == pytest.approx(expected.standardisation.sigma_s, rel=1e-5)
    assert np.array_equal(scaled.train.dynamic, scaled.split("train").dynamic), "the stored split must stay as it is"


def test_statistics_of_two_windows_by_hand(mini):
    inputs = ("coords", "dynamic", "static", "future", "thickness")
    two = replace(
        mini.train,
        **{name: getattr(mini.train, name)[:2].copy() for name in inputs},
        subsidence=np.array([[[0.11], [0.12], [0.13]], [[0.12], [0.15], [0.18]]]),
        head=np.array([[[1.0], [1.0], [1.0]], [[1.0], [2.0], [3.0]]]),
    )
    two.dynamic[:, :, 1] = 0.1
    two.dynamic[:, :, 0] = two.static[:, [5]] - 1.0
    two.thickness[:] = np.array([4.0, 8.0])[:, None, None]
    sem = mini.finalize(train=replace(two, coords=mini.train.coords[-2:]))
    assert sem.standardisation.sigma_s == pytest.approx((0.005, 0.015, 0.025), rel=1e-5)
    assert sem.standardisation.sigma_h == pytest.approx([np.std([0, 0, 0, 0, 1, 2])] * 3, rel=1e-5)
    assert sem.residual_scales.s_c == pytest.approx(np.std([0.01, 0.01, 0.01, 0.02, 0.03, 0.03]), rel=1e-5)
    assert sem.residual_scales.h_c == pytest.approx(np.std([0, 0, 0, 0, 1, 1]), rel=1e-5)
    assert sem.residual_scales.L_c == 6.0 and sem.standardisation.std["subsidence"] == 1.0


def test_scales_of_still_ground_stop_at_their_floors(mini):
    still = replace(mini.train, subsidence=np.full_like(mini.train.subsidence, 0.1), dynamic=mini.train.dynamic.copy())
    still.dynamic[:, :, 1] = 0.1
    sem = mini.finalize(train=still)
    assert sem.residual_scales.s_c == 1e-4 and sem.standardisation.sigma_s == (1e-4,) * 3


def test_missing_values_never_become_scales(mini):
    broken = replace(mini.train, head=np.full_like(mini.train.head, np.nan))
    with pytest.raises(HandshakeError, match="scale sigma_h is not finite"):
        mini.finalize(train=broken)


def test_history_increments_are_per_year_whatever_the_time_unit(mini, tmp_path):
    sem = mini.finalize()
    rates = scaling.history_increments(mini.train, sem)
    assert rates.shape == (60, 4) and np.allclose(rates, np.diff(mini.train.dynamic[:, :, 1], axis=1))
    monthly = sem.model_copy(update={"seconds_per_time_unit": sem.seconds_per_time_unit / 12})
    assert np.allclose(scaling.history_increments(mini.train, monthly), 12 * rates)


def test_coordinates_in_another_order_are_put_right(tmp_path):
    def reorder(arrays):
        for bundle in arrays.values():
            if "coords" in bundle:
                bundle["coords"] = bundle["coords"][:, :, [1, 2, 0]]

    plain = variant(tmp_path / "a")
    other = variant(
        tmp_path / "b",
        arrays=reorder,
        manifest=lambda record: record["config"]["scaling_kwargs"].update(coord_order=["x", "y", "t"]),
    )
    sem = other.finalize()
    assert np.array_equal(scaling.to_si(other.train, sem).coords, plain.train.coords)
    assert sem.coord_min == plain.finalize().coord_min


def test_without_minima_years_are_still_known_and_places_are_relative(mini):
    sem = mini.finalize(sources={})
    where = scaling.decode(mini.train, sem)
    assert sem.georeference == "none" and sem.coord_min is None and where.longitude is None
    assert np.allclose(where.years, [[2020, 2021, 2022]], atol=1e-3)
    assert where.x_m.max() == pytest.approx(sem.coord_range.x, rel=1e-6) and where.x_m.min() == 0.0
    assert sem.public["warnings"] == ["no source gives the minima of x and y"]


def test_a_stated_t_minimum_must_fit_the_last_train_year(mini, tmp_path):
    moved = json.loads(json.dumps(AUDIT))
    moved["stage1_scaling_audit"]["coord_scaler"]["data_min_(t,x,y)"][0] += 1
    moved["stage1_scaling_audit"]["coord_scaler"]["data_max_(t,x,y)"][0] += 1
    with pytest.raises(HandshakeError, match=r"expected t minimum 2015 .*found t minimum 2016 from stage1"):
        mini.finalize(sources=moved)
    lenient = variant(tmp_path, "SCALING_ERROR_POLICY=warn")
    sem = lenient.finalize(sources=moved)
    assert sem.georeference == "none" and "minima set aside" in sem.public["warnings"][0]


def test_windows_that_end_before_the_last_train_year_keep_their_own_years(tmp_path):
    """Temporal hold-out: train windows end earlier than the panel."""

    def earlier(arrays):
        arrays["train_inputs"]["coords"][:, :, 0] -= np.float32(2 / 7)

    def recorded(record):
        record["config"]["holdout"]["window_end_years"] = {"train": 2020, "val": 2022, "test": 2022}

    handoff = variant(tmp_path, arrays=earlier, manifest=recorded)
    where = scaling.decode(handoff.train, handoff.finalize())
    assert np.allclose(where.years, [[2018, 2019, 2020]], atol=1e-3)


def test_future_times_that_are_no_run_of_years_are_refused(mini):
    future = mini.split("future")
    future.coords[:, :, 0] += np.float32(0.4 / 7)
    with pytest.raises(HandshakeError, match="expected years from 2023"):
        scaling.finalize(mini.manifest, mini.cfg, mini.train, future=future, sources=AUDIT)


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ("conventions", "gwl_target_kind", "depth"),
        ("conventions", "gwl_driver_kind", "head"),
        ("scaling_kwargs", "subsidence_kind", "rate"),
        ("conventions", "time_units", "fortnight"),
    ],
)
def test_meanings_that_do_not_exist_here_are_refused(tmp_path, block, key, value):
    handoff = variant(tmp_path, manifest=lambda record: record["config"][block].update({key: value}))
    with pytest.raises(HandshakeError, match=f"found {value}"):
        handoff.finalize()


def test_scaling_kwargs_carry_public_names_and_are_plain_json(mini):
    table = json.loads(json.dumps(scaling.scaling_kwargs(mini.finalize()), allow_nan=False))
    for name in (
        "coord_ranges_si",
        "coord_inv_ranges_si",
        "seconds_per_time_unit",
        "bounds",
        "dynamic_feature_names",
        "static_feature_names",
        "future_feature_names",
        "mv_weight",
        "q_policy",
        "subs_resid_policy",
        "physics_warmup_fraction",
        "residual_scales",
        "standardisation",
        "gwl_z_meta",
        "use_head_proxy",
    ):
        assert name in table
    assert table["bounds"]["logK_min"] == pytest.approx(math.log(1e-12)) and table["bounds"]["tau_min"] == 604_800.0
    assert table["coord_ranges_si"]["t"] * table["coord_inv_ranges_si"]["t"] == pytest.approx(1.0)
    assert table["scale_checks"]["cons"]["natural"] > 0


def test_resolved_values_and_not_the_manifests_are_written_down(tmp_path):
    sem = variant(tmp_path, "MV_WEIGHT=0.5", "Q_KIND=head_rate", "PHYSICS_BOUNDS.K_max=1e-6").finalize()
    assert sem.public["mv_weight"] == 0.5 and sem.public["Q_kind"] == "head_rate"
    assert sem.bounds["K"] == (1e-12, 1e-6) and sem.public["bounds"]["K_max"] == 1e-6


def test_equal_inputs_give_equal_semantics(mini):
    assert mini.finalize().model_dump_json() == mini.finalize().model_dump_json()


def test_importing_configuration_and_scaling_loads_no_heavy_package():
    code = (
        "import sys, tasks.subsidence.config, tasks.subsidence.scaling, tasks.subsidence.handoff.convert\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'scipy', 'sklearn', 'joblib', 'pyproj', 'prefect', 'ruamel.yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
