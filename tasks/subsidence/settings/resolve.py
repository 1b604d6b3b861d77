"""One merge of all layers: the value of every setting, and where it came from."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from tasks.contracts.errors import ConfigError
from tasks.subsidence.handoff.manifest_model import Stage1Manifest
from tasks.subsidence.settings.agree import agreed, owned, without_folders
from tasks.subsidence.settings.checks import check_gate, check_together, share_of_steps, steps_per_epoch
from tasks.subsidence.settings.key import Key, checked
from tasks.subsidence.settings.layers import checked_layer
from tasks.subsidence.settings.live import STRATEGIES
from tasks.subsidence.settings.regimes import check_locks, named_layers
from tasks.subsidence.settings.table import OWNERSHIP
from tasks.subsidence.types import ConfigLayer, LiveConfig

Stack = tuple[ConfigLayer, ...]
BY_STRATEGY = ("LAMBDA_Q", "LOSS_WEIGHT_GWL")
BY_STEPS = {"PHYSICS_WARMUP_STEPS": "PHYSICS_WARMUP_FRACTION", "PHYSICS_RAMP_STEPS": "PHYSICS_RAMP_FRACTION"}


def resolve(
    manifest: Stage1Manifest,
    live: LiveConfig,
    *,
    city: str | None = None,
    model: str | None = None,
    seed: int | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Values by name, and the report: one {key, value, source, owner, overridden, used} per setting, in table order.

    `city`, `model` and `seed` are the command-line options (None: not given) and count as `set`. Raises ConfigError
    where a live value contradicts the manifest, a lock, its range or another value.
    """
    layers = _live_layers(live, model=model, seed=seed)
    facts = manifest_facts(manifest)
    stack = _stack(facts, layers)
    strategy = _last(layers, "TRAINING_STRATEGY")
    stack = tuple(_edited(layer, _with_variants(layer, strategy)) for layer in stack)
    total = _total_steps(manifest, stack)
    stack = tuple(_edited(layer, _with_shares(layer, total)) for layer in stack)
    entries = [*_handoff_entries(facts, layers, city), *_merged_entries(stack, strategy), *_unused_entries(layers)]
    values = _values(entries)
    check_together(values)
    if values["PDE_MODE_CONFIG"] != "none":
        check_gate(values["PHYSICS_WARMUP_FRACTION"], values["PHYSICS_RAMP_FRACTION"], total)
    return values, _noted(entries, manifest)


def manifest_facts(manifest: Stage1Manifest) -> dict[str, Any]:
    """What the manifest says, by the dotted places of the table."""
    return {**manifest.config.plain(), "city": manifest.city}


def _live_layers(live: LiveConfig, **options: Any) -> Stack:
    layers = tuple(checked_layer(layer.source, layer.values) for layer in live.layers)
    names = {"model": "MODEL_NAME", "seed": "SEED"}
    given = {names[option]: value for option, value in options.items() if value is not None}
    for layer in (layer for layer in layers if layer.source == "set"):
        for option, name in names.items():
            if name in given and layer.values.get(name, given[name]) != given[name]:
                raise ConfigError(
                    "one setting, two values",
                    where=f"--{option} and --set {name}",
                    found=f"{given[name]!r} and {layer.values[name]!r}",
                    remedy="Keep one of them.",
                )
    return (*layers, checked_layer("set", given)) if given else layers


def _last(layers: Iterable[ConfigLayer], name: str) -> Any:
    """The value that counts of a setting which only live layers and the default decide."""
    given = [layer.values[name] for layer in layers if name in layer.values]
    return given[-1] if given else OWNERSHIP[name].default


def _stack(facts: Mapping[str, Any], layers: Stack) -> Stack:
    """All layers from weak to strong: default, flavour, manifest, regime, live."""
    flavour, regime = named_layers(_last(layers, "MODEL_NAME"), _last(layers, "IDENTIFIABILITY_REGIME"))
    check_locks((flavour, regime), layers)
    parts = (_defaults(layers), flavour, _manifest_layer(facts), regime, *layers)
    return tuple(part for part in parts if part is not None)


def _defaults(layers: Stack) -> ConfigLayer:
    values = {}
    for key in OWNERSHIP.values():
        if key.owner in ("live", "merged"):
            other, by_value = key.default_if or ("", {})
            value = by_value.get(_last(layers, other), key.default) if other else key.default
            values[key.name] = deepcopy(value)
    return ConfigLayer(source="default", values=values)


def _manifest_layer(facts: Mapping[str, Any]) -> ConfigLayer:
    """Merged keys that the manifest names; an absent or empty one leaves the weaker layers alone."""
    values = {}
    for key in OWNERSHIP.values():
        value = lookup(facts, key.manifest) if key.owner == "merged" and key.manifest else None
        if isinstance(value, Mapping) and key.sub_keys:
            value = {name: entry for name, entry in value.items() if name in key.sub_keys}
        if value is not None:
            values[key.name] = checked(key, value, where="manifest")
    return ConfigLayer(source="manifest", values=values)


def lookup(facts: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted place, None where there is none."""
    value: Any = facts
    for name in place.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _edited(layer: ConfigLayer, changes: Mapping[str, Any]) -> ConfigLayer:
    return layer.model_copy(update={"values": {**layer.values, **changes}}) if changes else layer


def _with_variants(layer: ConfigLayer, strategy: str) -> dict[str, Any]:
    """LAMBDA_Q_DATA_FIRST is LAMBDA_Q of the same layer while that strategy is in force; a later LAMBDA_Q ends it."""
    changes: dict[str, Any] = {}
    for name in BY_STRATEGY:
        variant = f"{name}_{strategy.upper()}"
        if layer.values.get(variant) is not None:
            changes[name] = layer.values[variant]
        elif name in layer.values:
            changes[variant] = None
    return changes


def _with_shares(layer: ConfigLayer, total: int | None) -> dict[str, float]:
    shares = {}
    for steps, share in BY_STEPS.items():
        if layer.values.get(steps) is None:
            continue
        if share in layer.values:
            found = f"{layer.values[steps]} steps and {layer.values[share]:g}"
            raise ConfigError(
                "one setting, two units",
                where=f"{layer.source} {steps} and {share}",
                found=found,
                remedy="Keep one of them.",
            )
        shares[share] = share_of_steps(layer.values[steps], total)
    return shares


def _total_steps(manifest: Stage1Manifest, stack: Stack) -> int | None:
    """Planned steps; None where the manifest records no number of train windows and nothing needs it."""
    windows = manifest.config.holdout.sequence_counts.get("train_seq")
    if windows is None:
        windows = next(iter(manifest.artifacts.shapes.get("train_inputs", {}).get("coords", ())), None)
    if windows:
        return _last(stack, "EPOCHS") * steps_per_epoch(windows, _last(stack, "BATCH_SIZE"))
    given = [f"{layer.source} {name}" for layer in stack for name in BY_STEPS if layer.values.get(name) is not None]
    if given:
        raise ConfigError(
            "needs the number of train windows, which the manifest does not record",
            where=given[0],
            remedy="Give the share of the steps instead: " + ", ".join(BY_STEPS.values()) + ".",
        )
    return None


def _handoff_entries(facts: Mapping[str, Any], layers: Stack, city: str | None) -> list[dict[str, Any]]:
    entries = []
    for key in OWNERSHIP.values():
        if key.owner not in ("manifest", "must-agree"):
            continue
        value = lookup(facts, key.manifest)
        if key.name == "UTM_EPSG" and value is None:
            value = lookup(facts, "scaling_kwargs.coord_target_epsg")
        given = [(layer.source, layer.values[key.name]) for layer in layers if layer.values.get(key.name) is not None]
        if key.name == "CITY_NAME" and city is not None:
            given.append(("set", city))
        rule: Callable = owned if key.owner == "manifest" else agreed
        entries.append(rule(key, value, given))
    return entries


def _merged_entries(stack: Stack, strategy: str) -> list[dict[str, Any]]:
    entries = []
    for key in OWNERSHIP.values():
        if key.owner in ("live", "merged"):
            given = [(layer.source, layer.values[key.name]) for layer in stack if key.name in layer.values]
            by_sub_key = key.kind in ("numbers", "weights")
            entries += _table_entries(key, given) if by_sub_key else [_entry(key, given, strategy)]
    return entries


def _entry(key: Key, given: list[tuple[str, Any]], strategy: str) -> dict[str, Any]:
    """The last layer wins; all others are listed."""
    source, value = given[-1]
    idle = [name for name in STRATEGIES if name != strategy and key.name.endswith(f"_{name.upper()}")]
    used = not idle and (not key.settled or (key.nullable and value is not None))
    note = f"only in force while TRAINING_STRATEGY is {idle[0]}" if idle else key.settled
    overridden = [{"source": other, "value": old} for other, old in given[:-1]]
    entry = {"key": key.name, "value": value, "source": source, "owner": key.owner}
    return {**entry, "overridden": overridden, "used": used, **({"note": note} if note else {})}


def _table_entries(key: Key, given: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """One entry per sub-key, each with its own source."""
    names = dict.fromkeys(name for _, table in given for name in table)
    entries = []
    for name in names:
        layers = [(source, table[name]) for source, table in given if name in table]
        entries.append({**_entry(key, layers, ""), "key": f"{key.name}.{name}"})
    return entries or [_entry(key, given, "")]


def _unused_entries(layers: Stack) -> list[dict[str, Any]]:
    """Settings of the preparation that were given: recorded, so that none vanishes."""
    entries = []
    for name in dict.fromkeys(name for layer in layers for name in layer.values):
        if name not in OWNERSHIP or OWNERSHIP[name].owner == "stage1-only":
            given = [(layer.source, without_folders(layer.values[name])) for layer in layers if name in layer.values]
            row = Key(name, "stage1-only", "any", None, "", settled="not used by this stage")
            entries.append(_entry(row, given, ""))
    return entries


def _values(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for entry in entries:
        head, dot, sub = entry["key"].partition(".")
        if entry["owner"] == "stage1-only":
            continue
        if dot:
            values.setdefault(head, {})[sub] = entry["value"]
        else:
            values[head] = entry["value"]
    return values


def _noted(entries: list[dict[str, Any]], manifest: Stage1Manifest) -> list[dict[str, Any]]:
    """The report, with a note where the handoff was prepared for another flavour."""
    model = next(entry for entry in entries if entry["key"] == "MODEL_NAME")
    if manifest.model is not None and manifest.model != model["value"]:
        model["note"] = f"the handoff was prepared for {manifest.model}"
    return entries
