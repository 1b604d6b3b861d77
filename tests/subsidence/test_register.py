"""The registry entry of a run, and what the key of a step that computes leaves out."""

import pytest

from tasks.contracts.errors import IncompleteRunError
from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.catalogue import steps
from tasks.subsidence.config import OWNERSHIP, built_in
from tasks.subsidence.register import entry
from tasks.subsidence.types import (
    COSMETIC,
    Blueprint,
    Calibrated,
    Handoff,
    IngestedHandoff,
    Products,
    Scaled,
    Settings,
    SplitRefs,
    Trained,
    Verdict,
)

COMPUTING = (
    "apply-subsidence", "build-subsidence", "calibrate-subsidence", "evaluate-subsidence", "finalize-scaling",
    "infer-subsidence", "score-baselines", "train-subsidence",
)  # fmt: skip


def ref(letter: str) -> ArtifactRef:
    return ArtifactRef(digest=letter * 64, size=1, media_type="application/json", name=letter)


def models(model, **given):
    """A model whose references are all alike where nothing else is said."""
    wanted = {name: ref("a") for name, field in model.model_fields.items() if ArtifactRef is field.annotation}
    return model(**{**wanted, **given})


def settings(report: str = "4", **values) -> Settings:
    return Settings(values={**built_in(), **values}, report=ref(report))


def made(*, evidence="physics_derived", complete=True, seed=42):
    handoff = Handoff(
        ingested=IngestedHandoff(manifest=ref("d"), files=()), city="delta", time_steps=3, horizon=3, mode="tft_like",
        train_end_year=2020, forecast_start_year=2021, bundles={"train_inputs": ref("e")},
    )  # fmt: skip
    calibrated = Calibrated(
        factors=ref("f"), factors_npy=None, future_factors=ref("0"), future_factors_npy=None, stats=ref("1"),
        groups_sha256="2" * 64, shared=False, reload_max_abs_difference_m=0.0,
    )  # fmt: skip
    missing = {} if complete else {"pit": "no room"}
    products = Products(files={}, keys={}, missing=missing, metrics={}, inspection=(), complete=complete)
    verdict = Verdict(evidence=evidence, report=ref("3"), metrics={})
    parts = (handoff, settings(SEED=seed), models(Scaled), models(Blueprint), models(Trained), calibrated)
    return entry(*parts, products, verdict, code_digest="c" * 64, component={"factory": "net"})


def test_entry_names_data_weights_and_seed():
    found = made(seed=7)
    assert found.data == {"train_inputs": "e" * 64, "manifest": "d" * 64}
    assert (found.blobs["weights"], found.blobs["future_factors"]) == (ref("a"), ref("0"))
    assert (found.rng["seed"], found.domain, found.role) == (7, "delta", "predictor")


@pytest.mark.parametrize(("evidence", "slot"), [("physics_derived", "twin_city"), ("observation_only", "baselines")])
def test_a_model_must_be_judged_against_what_could_judge_it(evidence, slot):
    assert made(evidence=evidence).oracle_slots == (slot,)


def test_an_incomplete_run_is_refused_by_the_name_of_what_it_lacks():
    with pytest.raises(IncompleteRunError, match="pit"):
        made(complete=False)


def key_inputs(step, given: Settings, platform):
    inputs = {"settings": given, **({"parts": SplitRefs(bundles={})} if "parts" in step._adapters else {})}
    return step.document(inputs, platform())["inputs"]


@pytest.mark.parametrize("name", COMPUTING)
def test_what_is_told_to_people_is_in_no_key_of_a_step_that_computes(name, platform):
    step = steps()[name]
    plain, told = settings(), settings("5", VERBOSE=2, DEBUG=True, AUDIT_STAGES=["all"])
    assert key_inputs(step, plain, platform) == key_inputs(step, told, platform)
    assert key_inputs(step, plain, platform) != key_inputs(step, settings(EPOCHS=3), platform)


@pytest.mark.parametrize("name", ["export-subsidence", "register-subsidence"])
def test_a_step_that_writes_the_settings_down_has_all_of_them_in_its_key(name, platform):
    step = steps()[name]
    assert key_inputs(step, settings(), platform) != key_inputs(step, settings("5", VERBOSE=2), platform)


def test_every_setting_left_out_exists():
    assert {place.removeprefix("settings.values.") for place in COSMETIC} - {"settings.report"} <= set(OWNERSHIP)


def test_every_step_that_takes_settings_is_known_here():
    taking = {name for name, step in steps().items() if "settings" in step._adapters}
    assert taking == {*COMPUTING, "export-subsidence", "register-subsidence"}
