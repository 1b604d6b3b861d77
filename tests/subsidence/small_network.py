"""An untrained network of a few hundred weights, windows that it fits, and what the steps read of both."""

from functools import cache
from typing import Any

from tasks.subsidence.arrays import Prediction, Split
from tasks.subsidence.build import init_manifest
from tasks.subsidence.config import Config, built_in
from tasks.subsidence.infer import predict
from tasks.subsidence.model import SubsidenceNetwork, rebuild
from tasks.subsidence.semantics import Semantics, Standardisation
from tests.subsidence import sample_run

SIZES = {
    "EMBED_DIM": 4, "HIDDEN_UNITS": 4, "LSTM_UNITS": 4, "ATTENTION_UNITS": 4, "NUMBER_HEADS": 1, "MEMORY_SIZE": 2,
    "VSN_UNITS": 4, "PDE_MODE_CONFIG": "none", "MODEL_NAME": "HybridAttn-NoPhysics",
}  # fmt: skip
STANDARDISED = ("depth", "subsidence", "z_surf", "thickness")


def small_config(**changes: Any) -> Config:
    """The smallest network, without physics; any setting can be changed."""
    return Config({**built_in(), **SIZES, **changes})


def small_semantics() -> Semantics:
    """The sample city with all moments that a network asks for."""
    ones = dict.fromkeys(STANDARDISED, 1.0)
    sigma = {"sigma_s": (0.009, 0.013, 0.017), "sigma_h": (0.7, 0.7, 0.7)}
    return sample_run.semantics(standardisation=Standardisation(**sigma, mean=ones, std=ones))


def small_manifest() -> dict[str, Any]:
    """The init manifest of the network."""
    return init_manifest(small_semantics(), small_config())


@cache
def small_network() -> SubsidenceNetwork:
    """The network; one per process."""
    return rebuild(small_manifest())


@cache
def small_validation() -> tuple[Split, Prediction]:
    """40 validation windows and what the network says of them."""
    val = sample_run.split("val", 40)
    return val, predict(small_network(), val)
