"""Which code made a tile or a scene: a digest of all modules that reading, computing and writing one reach."""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import tasks

_PACKAGE = "tasks.tiles"
_STARTS = (
    "tasks.tiles.loading",
    "tasks.tiles.batches",
    "tasks.tiles.finishing",
    "tasks.tiles.torch_model",
    "tasks.tiles.scene",
    "tasks.tiles.scene_input",
    "tasks.tiles.scene_model",
    "tasks.tiles.scene_output",
    "tasks.store.jsons",
    "tasks.store.npy",
    "tasks.store.npz",
    "tasks.store.npz_writer",
)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Twelve hex digits that change with the code and not with its comments, docstrings or layout."""
    digest = hashlib.sha256()
    for name, tree in sorted(_reached().items()):
        digest.update(f"{name} {ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:12]


def _reached() -> dict[str, ast.Module]:
    """The modules of `_STARTS` and all of this package that they import, by their dotted names."""
    trees: dict[str, ast.Module] = {}
    waiting = list(_STARTS)
    while waiting:
        name = waiting.pop()
        if name not in trees and (file := _file(name)) is not None:
            trees[name] = _without_docstrings(ast.parse(file.read_bytes()))
            waiting += _imported(trees[name])
    return trees


def _file(name: str) -> Path | None:
    """Where a module or a package has its code; None where the name is of neither."""
    place = Path(*tasks.__path__).joinpath(*name.split(".")[1:])
    return next((file for file in (place.with_name(f"{place.name}.py"), place / "__init__.py") if file.is_file()), None)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Names in this package that a module imports; an imported name may be a module, or something in one."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        yield from (name for name in names if f"{name}.".startswith(f"{_PACKAGE}."))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
