"""Which parameters the forecast can tell apart."""

import numpy as np
import pytest

from tasks.subsidence.network.identifiability import gradient_correlation
from tests.subsidence.network.tiny_training import DATA_ONLY, LIGHT, open_gates, shaken, twin_case

PAIRS = {"log_K~log_Ss", "log_K~log_tau", "log_Ss~log_tau"}


@pytest.fixture(scope="module")
def case():
    return twin_case(**LIGHT, PDE_MODE_CONFIG="consolidation")


@pytest.fixture(scope="module")
def found(case):
    return gradient_correlation(open_gates(shaken(case.network(), spread=0.02)), case.val)


def test_every_pair_has_a_correlation(found):
    assert set(found) == PAIRS
    assert all(value is not None and -1.0 <= value <= 1.0 for value in found.values())


def test_conductivity_acts_through_time_alone(found):
    """More of K is less of tau, and nothing else: the data cannot tell them apart."""
    assert found["log_K~log_tau"] == pytest.approx(-1.0, abs=1e-4)


def test_storage_acts_on_more_than_time(found):
    """It also says how much settles in the end, so that it is no mirror of tau."""
    assert abs(found["log_Ss~log_tau"]) < 0.999


def test_the_sensitivities_are_those_of_the_physical_mean(case, found):
    """Finite differences of the last step's settlement in log Ss, over the windows, correlate alike."""
    from tests.subsidence.network.tiny_training import tensors_of, windows_of

    model = open_gates(shaken(case.network(), spread=0.02))
    inputs = tensors_of(windows_of(model, case.val).inputs)

    def settled(**shift):
        """Settlement of the last step with shifted fields."""
        bundle = model.fields.bundle

        def moved(*site):
            result = bundle(*site)
            log_Ss = result.log_Ss._replace(value=result.log_Ss.value + shift.get("log_Ss", 0.0))
            log_tau = result.log_tau + shift.get("log_tau", 0.0) + shift.get("log_Ss", 0.0)
            return result._replace(log_Ss=log_Ss, log_tau=log_tau)

        model.fields.bundle = moved
        try:
            return model.forward(inputs).settlement.s_phys.numpy()[:, -1].astype(float)
        finally:
            model.fields.bundle = bundle

    slopes = [(settled(**{name: 0.1}) - settled(**{name: -0.1})) / 0.2 for name in ("log_Ss", "log_tau")]
    assert found["log_Ss~log_tau"] == pytest.approx(np.corrcoef(*slopes)[0, 1], abs=0.05)


def test_the_batch_size_changes_nothing(case, found):
    again = gradient_correlation(open_gates(shaken(case.network(), spread=0.02)), case.val, batch=7)
    assert again == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("settings", [DATA_ONLY, {**LIGHT, "PDE_MODE_CONFIG": "gw_flow"}])
def test_without_consolidation_nothing_can_be_told_apart(settings):
    other = twin_case(**settings)
    assert gradient_correlation(other.network(), other.val) is None


def test_a_sensitivity_that_does_not_vary_has_no_correlation(case):
    """Windows that are all the same."""
    from dataclasses import fields, replace

    arrays = {field.name: getattr(case.val, field.name) for field in fields(case.val) if field.name != "name"}
    same = replace(case.val, **{name: np.repeat(array[:1], 8, axis=0) for name, array in arrays.items()})
    assert set(gradient_correlation(case.network(), same).values()) == {None}
