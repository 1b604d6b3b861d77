"""Live settings as they were given: one file or a folder of files, the environment handed in, and --set. No merging."""

import ast
import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

from tasks.contracts.errors import ConfigError, MissingInputError
from tasks.subsidence.settings.agree import same
from tasks.subsidence.settings.key import Key, checked, unknown_name
from tasks.subsidence.settings.table import ALIASES, OWNERSHIP, owner_of
from tasks.subsidence.types import ConfigLayer, LiveConfig

MAX_BYTES = 1_000_000
SUFFIXES = (".toml", ".yaml", ".yml", ".json", ".py")
TABLE_KINDS = ("numbers", "weights", "schedule", "map")
OVERLAY = "SCALING_KWARGS_JSON_PATH"


def read_layers(
    config: Path | None = None,
    config_root: Path | None = None,
    city: str | None = None,
    sets: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> LiveConfig:
    """All live values in order of precedence: default file, city file (or the one file), env, set, overlay.

    `env` holds values by setting name, as texts; nothing is read from the process. Every name, type and range is
    checked here, so that a mistake is refused before any work. Sources carry file names, never folders.
    """
    if config is not None and config_root is not None:
        raise ConfigError("give --config or --config-root, not both", found=f"{config} and {config_root}")
    paths = [Path(config)] if config is not None else _files_of(config_root, city)
    given = [(f"file:{path.name}", path.parent, read_file(path)) for path in paths]
    given.append(("env", Path(), {name: parse_text(text) for name, text in (env or {}).items()}))
    given.append(("set", Path(), read_sets(sets)))
    layers = [(folder, checked_layer(source, values)) for source, folder, values in given if values]
    return LiveConfig(layers=_with_overlay(layers))


def checked_layer(source: str, values: Mapping[str, Any]) -> ConfigLayer:
    """One layer whose names, types and ranges are known to be right; ConfigError otherwise. Idempotent."""
    clean: dict[str, Any] = {}
    for given, value in values.items():
        row = owner_of(given, where=source)
        name = ALIASES.get(given, given)
        value = checked(row, plain(value, f"{source} {given}"), where=source)
        if name in clean and clean[name] != value:
            spellings = " and ".join(other for other in values if ALIASES.get(other, other) == name)
            raise ConfigError(
                "two spellings, two values",
                where=f"{source} {spellings}",
                found=f"{clean[name]!r} and {value!r}",
                remedy=f"Keep {name} only.",
            )
        clean[name] = value
    return ConfigLayer(source=source, values=clean)


def read_file(path: Path) -> dict[str, Any]:
    """Settings of one toml, yaml, json or Python file; Python is parsed for literals and never run."""
    readers = dict(zip(SUFFIXES, (_toml, _yaml, _yaml, _json, _python), strict=True))
    if path.suffix not in readers:
        raise ConfigError("unknown kind of configuration file", where=path.name, expected=", ".join(readers))
    if not path.is_file():
        raise MissingInputError("configuration file does not exist", where=str(path))
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        raise ConfigError(
            "configuration file is too large", where=path.name, expected=f"at most {MAX_BYTES} bytes", found=len(data)
        )
    try:
        values = readers[path.suffix](data.decode("utf-8-sig"), path.name)
    except (UnicodeDecodeError, RecursionError, MemoryError) as error:
        raise ConfigError("cannot be read", where=path.name, found=str(error)) from error
    if not isinstance(values, dict):
        raise ConfigError("is no table of settings", where=path.name, found=type(values).__name__)
    return values


def _files_of(root: Path | None, city: str | None) -> list[Path]:
    """default.* first, then the city's file; each stem may exist once."""
    if root is None:
        return []
    if not Path(root).is_dir():
        raise MissingInputError("configuration folder does not exist", where=str(root))
    if city is not None and (Path(city).name != city or city in ("", ".", "..")):
        raise ConfigError("is no city name", where="--city", found=repr(city))
    found = []
    for stem in dict.fromkeys(("default", *([city] if city else []))):
        hits = [path for suffix in SUFFIXES if (path := Path(root, stem + suffix)).is_file()]
        if len(hits) > 1:
            raise ConfigError(
                "more than one file for one name",
                where=str(root),
                found=", ".join(hit.name for hit in hits),
                remedy="Keep one of them.",
            )
        found += hits
    if not found:
        expected = f"{city or 'default'} with {', '.join(SUFFIXES)}"
        raise MissingInputError("holds no settings", where=str(root), expected=expected)
    return found


def _toml(text: str, name: str) -> dict:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("is no valid TOML", where=name, found=str(error)) from error


def _yaml(text: str, name: str) -> Any:
    """YAML 1.2, so that `on` stays a word and 1e-3 is a number."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text) or {}
    except YAMLError as error:
        raise ConfigError("is no valid YAML", where=name, found=" ".join(str(error).split())) from error


def _json(text: str, name: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict:
        table = dict(pairs)
        if len(table) != len(pairs):
            names = [key for key, _ in pairs]
            raise ConfigError("is given twice", where=f"{name} {next(key for key in names if names.count(key) > 1)}")
        return table

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ConfigError("is no valid JSON", where=name, found=str(error)) from error


def _python(text: str, name: str) -> dict[str, Any]:
    """Plain assignments of literals; every other line is refused by number."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        raise ConfigError("is no valid Python", where=name, found=str(error)) from error
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    refused = []
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        target = _target(node)
        try:
            value = ast.literal_eval(node.value) if target else None
        except (ValueError, TypeError):
            target = None
        if target is None:
            refused.append(f"line {node.lineno}: {ast.unparse(node).splitlines()[0][:60]}")
        elif target in values and values[target] != value:
            twice = f"lines {lines[target]} and {node.lineno}"
            raise ConfigError("is assigned two values", where=f"{name} {target}", found=twice)
        else:
            values[target], lines[target] = value, node.lineno
    if refused:
        raise ConfigError(
            "only plain literals are read, nothing is computed",
            where=name,
            found="; ".join(refused),
            remedy="Write the value itself, or use TOML.",
        )
    return values


def _target(node: ast.stmt) -> str | None:
    """The one name that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    one = len(targets) == 1 and isinstance(targets[0], ast.Name) and node.value is not None
    return targets[0].id if one else None


def parse_text(text: Any) -> Any:
    """A value from a command line: JSON, else a Python literal, else the text itself."""
    if not isinstance(text, str):
        return text
    for parse, errors in ((json.loads, ValueError), (ast.literal_eval, (ValueError, SyntaxError, TypeError))):
        try:
            return parse(text)
        except errors:
            continue
        except (RecursionError, MemoryError):
            break
    return text


def read_sets(sets: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE and KEY.SUB=VALUE; one place given two different values is an error that names both."""
    places: dict[tuple[str, ...], tuple[str, Any]] = {}
    for text in sets:
        name, equals, raw = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError("is no KEY=VALUE", where="--set", found=repr(text))
        for place, value in _places(name.strip(), parse_text(raw)):
            if place in places and not same(places[place][1], value):
                raise ConfigError(
                    "one setting, two values",
                    where="--set",
                    found=f"{places[place][0]} and {text}",
                    remedy="Keep one of them.",
                )
            places[place] = (text, value)
    return _assembled(places)


def _places(name: str, value: Any) -> list[tuple[tuple[str, ...], Any]]:
    head, dot, sub = name.partition(".")
    row = owner_of(head, where="--set")
    head = ALIASES.get(head, head)
    if dot and row.kind not in TABLE_KINDS:
        raise ConfigError("has no sub-keys", where=f"--set {head}", expected=row.limits(), found=name)
    if dot:
        return [((head, _index(row, sub)), value)]
    if row.kind in TABLE_KINDS and isinstance(value, Mapping) and value:
        return [((head, _index(row, str(key))), entry) for key, entry in value.items()]
    return [((head,), value)]


def _index(row: Key, sub: str) -> str:
    """One spelling for 0.1 and .10, so that a repetition is seen."""
    if row.kind not in ("weights", "schedule"):
        return sub
    try:
        return f"{float(sub):g}"
    except ValueError:
        raise ConfigError("has an index that is not a number", where=f"--set {row.name}", found=repr(sub)) from None


def _assembled(places: Mapping[tuple[str, ...], tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for place, (text, value) in places.items():
        if len(place) == 1:
            values.setdefault(place[0], value)
        elif isinstance(values.setdefault(place[0], {}), dict):
            values[place[0]][place[1]] = value
        else:
            raise ConfigError("a whole value and a sub-key", where=f"--set {place[0]}", found=text)
    return values


def plain(value: Any, where: str) -> Any:
    """The value as JSON can hold it: lists for tuples, texts as names; other objects are refused."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry, where) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry, where) for entry in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    kind = "a date" if isinstance(value, (date, time)) else type(value).__name__
    raise ConfigError("has no JSON form", where=where, found=kind)


def _with_overlay(layers: list[tuple[Path, ConfigLayer]]) -> tuple[ConfigLayer, ...]:
    """The layers, and as the last one the merged keys of the file that the winning layer names."""
    naming = [(folder, layer) for folder, layer in layers if layer.values.get(OVERLAY) is not None]
    kept = tuple(_nameless(layer) for _, layer in layers)
    if not naming:
        return kept
    folder, layer = naming[-1]
    path = folder / layer.values[OVERLAY]
    values = {_merged_name(name, path.name): value for name, value in read_file(path).items()}
    return (*kept, checked_layer(f"file:{path.name}", values))


def _nameless(layer: ConfigLayer) -> ConfigLayer:
    """The layer with the overlay's file name only: a folder is no part of what a run computes."""
    stored = layer.values.get(OVERLAY)
    if stored is None:
        return layer
    return layer.model_copy(update={"values": {**layer.values, OVERLAY: Path(stored).name}})


def _merged_name(name: str, where: str) -> str:
    """The setting behind a name of the table or of a manifest's scaling block; only merged keys may be overlaid."""
    merged = [row for row in OWNERSHIP.values() if row.owner == "merged"]
    spellings: dict[str, str] = {row.name: row.name for row in merged}
    spellings |= {row.manifest.rpartition(".")[2]: row.name for row in merged if row.manifest}
    if name not in spellings:
        raise unknown_name(name, list(spellings), f"{where} (merged keys only)")
    return spellings[name]
