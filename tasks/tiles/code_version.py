"""Which code made a tile: a digest of the modules of this package that reading, computing and writing one reach."""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_PACKAGE = "tasks.tiles"
_STARTS = ("loading", "batches", "finishing", "torch_model")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Twelve hex digits that change with the code and not with its comments, docstrings or layout."""
    digest = hashlib.sha256()
    for name, tree in sorted(_reached().items()):
        digest.update(f"{name} {ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:12]


def _reached() -> dict[str, ast.Module]:
    trees: dict[str, ast.Module] = {}
    waiting = list(_STARTS)
    while waiting:
        name = waiting.pop()
        file = Path(__file__).with_name(f"{name}.py")
        if name not in trees and file.is_file():
            trees[name] = _without_docstrings(ast.parse(file.read_bytes()))
            waiting += _imported(trees[name])
    return trees


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
            yield node.module.removeprefix(f"{_PACKAGE}.")


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
