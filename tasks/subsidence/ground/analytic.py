"""Closed-form cases of the operators in float64: the check that the equations in use are the equations that are meant.

Every case returns its largest error; `LIMITS` says what is tolerated. Nothing here is fitted or tuned.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tasks.contracts.units import SECONDS_PER_YEAR as YEAR_S
from tasks.subsidence.ground.consolidation import relax
from tasks.subsidence.operators import (
    GroundwaterTerms,
    Jet,
    add,
    chain,
    coordinate_jets,
    dense,
    exponential,
    groundwater_terms,
    multiply,
    scale,
    sine,
    tanh,
    terzaghi_degree,
    terzaghi_pressure,
)

HEAD_CHANGE_M = 0.76  # characteristic head change per year that makes residuals non-dimensional
TRUNCATION = {1: 0.140, 3: 0.0067, 5: 0.00043}  # largest error of U(Tv) for Tv > 0.01 with M modes
LIMITS = {
    "terzaghi_pressure": 1e-8,
    "relaxation_constant": 1e-12,
    "relaxation_step": 1e-12,
    "relaxation_ramp": 1e-12,
    "modes_1": 0.02,
    "modes_3": 0.02,
    "modes_5": 0.02,
    "theis": 1e-6,
    "steady_well": 1e-8,
    "steady_graded_conductivity": 1e-8,
    "manufactured": 1e-8,
    "unit_change": 1e-10,
    "derivatives": 1e-6,
}


def run_cases(quick: bool = True) -> dict[str, float]:
    """Largest error of every case; `quick` uses fewer points and stays below a second."""
    count = 64 if quick else 2000
    cases: dict[str, Callable[[], float]] = {
        "terzaghi_pressure": lambda: terzaghi_case(count),
        **{f"relaxation_{load}": (lambda load=load: relaxation_case(load)) for load in ("constant", "step", "ramp")},
        **{f"modes_{modes}": (lambda modes=modes: modes_case(modes, 16 * count)) for modes in TRUNCATION},
        "theis": lambda: largest(scaled(theis_terms(count, tf.float64))),
        "steady_well": lambda: relative_lateral(*steady_well(count)),
        "steady_graded_conductivity": lambda: relative_lateral(*steady_graded(count)),
        "manufactured": lambda: largest(scaled(groundwater_terms(*manufactured(count)))),
        "unit_change": lambda: unit_change_case(count),
        "derivatives": lambda: derivatives_case(count),
    }
    return {name: float(case()) for name, case in cases.items()}


def scaled(terms: GroundwaterTerms, time_s: float = YEAR_S, head_m: float = HEAD_CHANGE_M) -> np.ndarray:
    """The non-dimensional flow residual."""
    return terms.residual.numpy() * (time_s / head_m)


def largest(values: np.ndarray) -> float:
    """Largest absolute value."""
    return float(np.max(np.abs(values)))


def points(count: int, dtype: tf.DType, *, nearest_m: float = 50.0) -> tuple[Jet, Jet, Jet]:
    """Places 50 m to 3 km from the origin in all directions, times of 0.1 to 10 years, without a random draw."""
    step = np.arange(count) + 0.5
    radius = nearest_m * (3000.0 / nearest_m) ** (step / count)
    angle = step * np.pi * (3.0 - np.sqrt(5.0))
    time = YEAR_S * 0.1 * 100.0 ** (step * 0.618 % 1.0)
    values = (time, radius * np.cos(angle), radius * np.sin(angle))
    return coordinate_jets(*(tf.constant(value, dtype) for value in values))


def terzaghi_case(count: int, *, cv: float = 2e-8, drainage_m: float = 5.0) -> float:
    """u_t - cv u_zz of the series for Tv in [0.01, 2], over the largest u_t."""
    time_factor = np.geomspace(0.01, 2.0, count)
    depth = drainage_m * (np.arange(count) * 0.618 % 1.0)
    time = time_factor * drainage_m**2 / cv
    t, z, _ = coordinate_jets(*(tf.constant(axis, tf.float64) for axis in (time, depth, np.zeros(count))))
    pressure = terzaghi_pressure(t, z, cv=cv, drainage_m=drainage_m)
    return largest((pressure.t - cv * pressure.xx).numpy()) / largest(pressure.t.numpy())


def relaxation_case(load: str, *, tau: float = 3.0 * YEAR_S) -> float:
    """One mode over uneven steps against the closed form; relative to the final load."""
    dt = YEAR_S * np.array([0.2, 1.0, 0.7, 2.0, 0.01, 5.0])
    time = np.concatenate([[0.0], np.cumsum(dt)])
    late = np.maximum(time - time[2], 0.0)
    rise = {
        "constant": (np.full(7, 0.3), 0.3 * (1.0 - np.exp(-time / tau))),
        "step": (
            np.where(np.arange(7) > 2, 0.5, 0.3),
            0.3 * (1.0 - np.exp(-time / tau)) + 0.2 * (1.0 - np.exp(-late / tau)),
        ),
        "ramp": (0.3 * time / YEAR_S, 0.3 / YEAR_S * (time - tau * (1.0 - np.exp(-time / tau)))),
    }
    s_eq, exact = rise[load]
    step = "ramp" if load == "ramp" else "constant"
    path = relax(*(tf.constant(part[np.newaxis]) for part in (s_eq, dt, np.array([tau]))), modes=1, step=step)
    return largest(path.settlement[0].numpy() - exact) / largest(s_eq)


def modes_case(modes: int, count: int) -> float:
    """Relative departure of the truncation error of U(Tv > 0.01) from its known size; one step per time factor."""
    time_factor = np.geomspace(0.01, 3.0, count)[:, np.newaxis]
    tau = 4.0 / np.pi**2  # the first mode in units of Tv: its deficit decays with pi^2 Tv / 4
    s_eq = tf.ones((count, 2), tf.float64)
    path = relax(s_eq, tf.constant(time_factor), tf.constant([[tau]], tf.float64), modes=modes, step="constant")
    error = largest(path.settlement[:, 1].numpy() - terzaghi_degree(time_factor[:, 0]))
    return abs(error / TRUNCATION[modes] - 1.0)


def theis_terms(count: int, dtype: tf.DType) -> GroundwaterTerms:
    """Flow terms of a well that pumps 22 m3 a day from 20 m of aquifer, 50 m and more away (Theis 1935)."""
    from scipy.special import exp1

    thickness_m, Ka, Sa, rate = 20.0, 1e-5, 1e-5, 22.0 / 86400.0
    t, x, y = points(count, dtype)
    # u = r^2 S / (4 T t), as a jet: the product of r^2 and 1/t
    inverse = chain(t, 1.0 / t.value, -1.0 / tf.square(t.value), 2.0 / t.value**3)
    u = scale(multiply(add(multiply(x, x), multiply(y, y)), inverse), Sa / (4.0 * Ka))
    decay = tf.exp(-u.value)
    well = chain(u, tf.constant(exp1(u.value.numpy()), dtype), -decay / u.value, decay * (1.0 + u.value) / u.value**2)
    head = scale(well, -rate / (4.0 * np.pi * Ka * thickness_m))
    return groundwater_terms(head, level_jet(np.log(Ka), t), level_jet(np.log(Sa), t).value, tf.zeros_like(t.value))


def steady_well(count: int) -> tuple[Jet, Jet]:
    """h = log r and a uniform conductivity (Thiem)."""
    _, x, y = points(count, tf.float64)
    square = add(multiply(x, x), multiply(y, y))
    value = square.value
    head = scale(chain(square, tf.math.log(value), 1.0 / value, -1.0 / tf.square(value)), 0.5)
    return head, level_jet(np.log(1e-5), x)


def steady_graded(count: int, rate: float = 1e-3) -> tuple[Jet, Jet]:
    """One-dimensional steady flow where Ka = K0 exp(rate x): h = exp(-rate x), which only grad log Ka balances."""
    _, x, _ = points(count, tf.float64)
    return exponential(scale(x, -rate)), scale(x, rate, np.log(1e-5))


def relative_lateral(head: Jet, log_Ka: Jet) -> float:
    """Divergence of the flux over the largest of its terms."""
    terms = groundwater_terms(head, log_Ka, log_Ka.value, tf.zeros_like(head.value))
    return largest(terms.residual.numpy()) / max(largest(head.xx.numpy()), largest(head.yy.numpy()))


def manufactured(count: int) -> tuple[Jet, Jet, tf.Tensor, tf.Tensor]:
    """Head, log Ka, log Sa and the source that makes them solve the flow equation, all written out by hand."""
    t, x, y = points(count, tf.float64)
    a, b, w, g = 1.0 / 900.0, 1.0 / 700.0, 2.0 / YEAR_S, 4e-4
    head = scale(multiply(sine(scale(t, w)), multiply(sine(scale(x, a, 0.3)), sine(scale(y, b, 1.1)))), 2.0, 5.0)
    log_Ka = add(scale(sine(scale(x, g)), 0.8, np.log(2e-6)), scale(sine(scale(y, g, 0.7)), 0.5))
    log_Sa = np.log(1e-5) + 0.2 * np.sin(g * x.value.numpy())
    T, X, Y = (axis.value.numpy() for axis in (t, x, y))
    sx, cx, sy, cy = np.sin(a * X + 0.3), np.cos(a * X + 0.3), np.sin(b * Y + 1.1), np.cos(b * Y + 1.1)
    Ka = 2e-6 * np.exp(0.8 * np.sin(g * X) + 0.5 * np.sin(g * Y + 0.7))
    storage = 2.0 * w * np.cos(w * T) * sx * sy
    slope_x, slope_y = 2.0 * np.sin(w * T) * a * cx * sy, 2.0 * np.sin(w * T) * sx * b * cy
    bend = -(a**2 + b**2) * 2.0 * np.sin(w * T) * sx * sy
    grade_x, grade_y = 0.8 * g * np.cos(g * X), 0.5 * g * np.cos(g * Y + 0.7)
    source = np.exp(log_Sa) * storage - Ka * (bend + grade_x * slope_x + grade_y * slope_y)
    return head, log_Ka, tf.constant(log_Sa), tf.constant(source)


def unit_change_case(count: int, *, millimetre: float = 1e3, year: float = 1.0 / YEAR_S) -> float:
    """The scaled residual of a field that is no solution, in m and s against mm (of head) and years."""
    head, log_Ka, log_Sa, source = manufactured(count)
    si = groundwater_terms(head, log_Ka, log_Sa, 0.5 * source)
    other = head.map(lambda member: member * millimetre)._replace(t=head.t * millimetre / year)
    faster = log_Ka._replace(value=log_Ka.value - np.log(year))  # conductivity per year instead of per second
    mixed = groundwater_terms(other, faster, log_Sa, 0.5 * source * millimetre / year)
    difference = scaled(si) - scaled(mixed, YEAR_S * year, HEAD_CHANGE_M * millimetre)
    return largest(difference) / largest(scaled(si))


def derivatives_case(count: int) -> float:
    """Propagated derivatives of a two-layer network against central differences, relative to the largest of a kind."""
    generator = np.random.default_rng(7)
    layers = [(generator.normal(size=shape), generator.normal(size=shape[1])) for shape in ((3, 8), (8, 1))]
    place = generator.uniform(-1.0, 1.0, (count, 3))

    def network(p: np.ndarray) -> Jet:
        eye, zero = np.eye(3), tf.zeros((count, 3), tf.float64)
        slopes = (tf.constant(np.tile(eye[axis], (count, 1))) for axis in range(3))
        inner = Jet(tf.constant(p), *slopes, zero, zero)
        for kernel, bias in layers:
            inner = tanh(dense(inner, tf.constant(kernel), tf.constant(bias)))
        return inner

    jet, worst = network(place), 0.0
    for axis, first, second in ((0, "t", None), (1, "x", "xx"), (2, "y", "yy")):
        ahead, behind = (network(place + side * 1e-4 * np.eye(3)[axis]) for side in (1.0, -1.0))
        middle = jet.value
        pairs = [(getattr(jet, first), (ahead.value - behind.value) / 2e-4)]
        pairs += [(getattr(jet, second), (ahead.value - 2.0 * middle + behind.value) / 1e-8)] if second else []
        worst = max([worst, *(largest((a - b).numpy()) / largest(a.numpy()) for a, b in pairs)])
    return worst


def level_jet(value: float, like: Jet) -> Jet:
    """A constant field with the derivatives that another jet carries."""
    return like.map(tf.zeros_like)._replace(value=tf.zeros_like(like.value) + value)
