"""Groundwater flow of a twin city: implicit finite volumes for Sa h_t = div(Ka grad h) + Q.

Cells (ny, nx) of one spacing; fixed heads along the west and east edge, no flow across the north and south edge.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.contracts.errors import StagegateError

MASS_BALANCE_LIMIT = 1e-6


@dataclass(frozen=True)
class Aquifer:
    """div(Ka grad h) = edge_inflow - lateral @ h for flattened heads; all terms in 1/s."""

    lateral: Any  # sparse (n, n), 1/(m s)
    edge_conductance: np.ndarray  # (n,) to the fixed heads, 1/(m s)
    edge_inflow: np.ndarray  # (n,) edge_conductance * fixed head, 1/s
    Sa: np.ndarray  # (n,) 1/m
    shape: tuple[int, int]


@dataclass(frozen=True)
class FlowHistory:
    """Heads after every step, (steps + 1, ny, nx) in m, and the worst relative mass-balance error of a step."""

    head: np.ndarray
    mass_balance_error: float


def assemble(Ka: np.ndarray, Sa: np.ndarray, *, spacing_m: float, west_head_m: float, east_head_m: float) -> Aquifer:
    """Two-point fluxes with harmonic means of Ka (ny, nx) m/s between cells; edge cells see the edge at half a cell."""
    from scipy import sparse

    ny, nx = Ka.shape
    cell = np.arange(ny * nx).reshape(ny, nx)
    pairs = [(cell[:, :-1], cell[:, 1:]), (cell[:-1], cell[1:])]
    left = np.concatenate([a.ravel() for a, _ in pairs])
    right = np.concatenate([b.ravel() for _, b in pairs])
    flat = Ka.ravel()
    conductance = 2.0 * flat[left] * flat[right] / (flat[left] + flat[right]) / spacing_m**2
    edge, inflow = np.zeros(ny * nx), np.zeros(ny * nx)
    for column, head in ((cell[:, 0], west_head_m), (cell[:, -1], east_head_m)):
        edge[column] += 2.0 * flat[column] / spacing_m**2
        inflow[column] += 2.0 * flat[column] / spacing_m**2 * head
    rows = np.concatenate([left, right, left, right, cell.ravel()])
    columns = np.concatenate([left, right, right, left, cell.ravel()])
    values = np.concatenate([conductance, conductance, -conductance, -conductance, edge])
    lateral = sparse.csc_matrix((values, (rows, columns)), shape=(ny * nx, ny * nx))
    return Aquifer(lateral=lateral, edge_conductance=edge, edge_inflow=inflow, Sa=Sa.ravel(), shape=(ny, nx))


def steady(aquifer: Aquifer, source: np.ndarray) -> np.ndarray:
    """Head (ny, nx) m at which the fluxes balance the source (ny, nx) 1/s."""
    from scipy.sparse.linalg import splu

    return splu(aquifer.lateral).solve(source.ravel() + aquifer.edge_inflow).reshape(aquifer.shape)


def response(aquifer: Aquifer, source: np.ndarray) -> np.ndarray:
    """Steady change of head (ny, nx) m caused by a source (ny, nx) 1/s alone: the flow is linear."""
    from scipy.sparse.linalg import splu

    return splu(aquifer.lateral).solve(source.ravel()).reshape(aquifer.shape)


def advance(aquifer: Aquifer, start: np.ndarray, sources: np.ndarray, *, dt_s: float) -> FlowHistory:
    """Backward Euler from head `start` (ny, nx) through sources (steps, ny, nx) 1/s, with one factorisation.

    Raises StagegateError when a step loses or gains more than one part in a million of its water.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    storage = aquifer.Sa / dt_s
    factor = splu((aquifer.lateral + sparse.diags(storage)).tocsc())
    heads = np.empty((len(sources) + 1, start.size))
    heads[0] = start.ravel()
    errors = np.zeros(len(sources))
    for step, source in enumerate(sources.reshape(len(sources), -1)):
        heads[step + 1] = factor.solve(storage * heads[step] + source + aquifer.edge_inflow)
        errors[step] = _imbalance(aquifer, heads[step], heads[step + 1], source, dt_s)
    worst = float(errors.max(initial=0.0))
    if not worst <= MASS_BALANCE_LIMIT:
        raise StagegateError(
            "the flow solution does not conserve water",
            where="twin",
            remedy="Report this seed.",
            expected=f"relative error <= {MASS_BALANCE_LIMIT:g}",
            found=f"{worst:.3g}",
        )
    return FlowHistory(head=heads.reshape(-1, *aquifer.shape), mass_balance_error=worst)


def _imbalance(aquifer: Aquifer, before: np.ndarray, after: np.ndarray, source: np.ndarray, dt_s: float) -> float:
    """|stored - sources - inflow through the edges| over all water that moved."""
    stored = aquifer.Sa * (after - before) / dt_s
    inflow = aquifer.edge_inflow - aquifer.edge_conductance * after
    moved = np.abs(stored).sum() + np.abs(source).sum() + np.abs(inflow).sum()
    return float(abs(stored.sum() - source.sum() - inflow.sum()) / max(moved, np.finfo(float).tiny))
