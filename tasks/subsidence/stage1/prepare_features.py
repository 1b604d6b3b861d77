"""Features of a handoff: drivers, categories and scalers, fitted on train points only."""

import numpy as np

from tasks.subsidence.stage1.encode import fill_gaps, fit_categories, fit_minmax, hold_last, one_hot
from tasks.subsidence.stage1.panel_clean import Panel
from tasks.subsidence.stage1.prepare_types import DEPTH, FLAG, SUBSIDENCE, Z_SURF, Encoded, PrepareOptions, Years
from tasks.subsidence.stage1.splits import Holdouts
from tasks.subsidence.stage1.windows import Features


def encode(
    panel: Panel, holdouts: Holdouts, years: Years, options: PrepareOptions, x_m: np.ndarray, y_m: np.ndarray
) -> tuple[Encoded, list[str]]:
    """Features of all points (x_m, y_m: (G,) metres), what was fitted on train points, and warnings for people."""
    train = holdouts.points["train"]
    seen = panel.at(years.first, holdouts.window_end["train"])
    warnings: list[str] = []
    known, filled, coverage = _drivers(panel, train, years, options, warnings)
    scaled = {name: known[name] for name in known if not _already_normalized(panel, name, known[name][train][:, seen])}
    main = fit_minmax({name: values[train][:, seen] for name, values in scaled.items()})
    drivers = {name: main.encode(v, name) if name in scaled else v for name, v in known.items()}
    dynamic = {
        DEPTH: panel.values["depth"],
        SUBSIDENCE: panel.values["subsidence"],
        **drivers,
        FLAG: panel.values["censored"],
    }
    rain = panel.columns.get("rainfall")
    static, names, categories = _static(panel, train, years, options, warnings)
    ahead = {rain: drivers[rain]} if rain in drivers else {}
    features = Features(dynamic=dynamic, future=ahead, static=static, static_names=names)
    coords = fit_minmax({"t": panel.years[seen].astype(float), "x": x_m[train], "y": y_m[train]})
    return Encoded(
        features=features, main=main, coords=coords, categories=categories, future_drivers=coverage, filled=filled
    ), warnings


def _drivers(
    panel: Panel, train: np.ndarray, years: Years, options: PrepareOptions, warnings: list[str]
) -> tuple[dict, dict, dict]:
    """Gap-free drivers (G, Y) by column name, counts of filled cells, and where later values come from."""
    last = panel.at(years.train_end, years.train_end).start
    known, filled, coverage = {}, {}, {}
    for role in ("rainfall", "urban"):
        if role not in panel.values:
            continue
        name, values = panel.columns[role], panel.values[role].copy()
        if np.isnan(values[train][:, : last + 1]).all():
            warnings.append(f"driver '{name}' is empty for all train points and is left out")
            continue
        past, filled[name] = fill_gaps(values[:, : last + 1], train)
        known[name], held = hold_last(np.concatenate([past, values[:, last + 1 :]], axis=1), last)
        if role == "rainfall":
            ahead = panel.at(years.train_end + 1, years.train_end + options.horizon)
            coverage[name] = {
                str(year): {"panel": int((~column).sum()), "held_last": int(column.sum())}
                for year, column in zip(panel.years[ahead], held[:, ahead].T, strict=True)
            }
            if held[:, ahead].any():
                warnings.append(f"driver '{name}' is held at its last value where the panel has no later one")
        if filled[name]:
            warnings.append(f"{filled[name]} gaps of driver '{name}' were filled with train medians")
    return known, filled, coverage


def _already_normalized(panel: Panel, name: str, values: np.ndarray) -> bool:
    """Whether train values of the urban load are a share already."""
    is_load = name == panel.columns.get("urban")
    return bool(is_load and np.nanmin(values) >= 0.0 and np.nanmax(values) <= 1.0)


def _static(
    panel: Panel, train: np.ndarray, years: Years, options: PrepareOptions, warnings: list[str]
) -> tuple[np.ndarray, tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Static columns (G, S): categories that train points have, then the surface elevation, both before any target."""
    year = panel.at(years.train_end - years.shift - options.horizon, years.train_end).start
    blocks, names, categories = [np.zeros((len(panel), 0))], [], {}
    for role in ("lithology", "lithology_class"):
        if role not in panel.texts:
            continue
        present = panel.texts[role][:, year]
        name = panel.columns[role]
        categories[name] = fit_categories(present[train])
        block, unknown = one_hot(present, categories[name])
        if unknown:
            count = int((block.sum(axis=1) == 0).sum())
            names_seen = ", ".join(value or "no value" for value in unknown)
            warnings.append(f"{count} points have a '{name}' that no train point has ({names_seen}): all zeros")
        blocks.append(block)
        names += [f"{name}_{category}" for category in categories[name]]
    if "z_surf" in panel.values:
        blocks.append(panel.values["z_surf"][:, [year]])
        names.append(Z_SURF)
    return np.concatenate(blocks, axis=1), tuple(names), categories
