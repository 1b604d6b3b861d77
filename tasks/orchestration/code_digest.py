"""A digest of the code that a step's function can reach inside `tasks`: no comments, no docstrings, no layout.

Of the function's own file counts what the function reaches by name; of every other module the whole. Docstrings count
where the reached code reads them.
"""

import ast
import hashlib
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import tasks
from tasks.contracts.errors import ConfigError
from tasks.orchestration.code_reach import own_part
from tasks.orchestration.syntax import parse

ROOT = Path(tasks.__file__).parent
# Dispatch, dashboards and command lines move results about; they do not change them.
_BEGAN_S = time.time()
OUTSIDE = ("tasks.orchestration", "tasks.cli")


@cache
def code_digest(function: Callable) -> str:
    """sha256 over the function and over every module and data file it reaches."""
    if function.__module__.startswith("tasks."):
        refuse_edited(function.__module__, Path(inspect.getfile(function)))
    own, names = own_part(function), reached_modules(function)
    keep = _reads_docstrings(own) or any(map(_module_reads_docstrings, names))
    digest = hashlib.sha256(_normalised(own, docstrings=keep).encode())
    folder = Path(inspect.getfile(function)).parent
    digest.update(_files_digest(_data_files(own, folder), folder))
    for name in names:
        digest.update(f"\0{name}\0".encode() + _module_digest(name, docstrings=keep))
    return digest.hexdigest()


@cache
def _module_digest(name: str, *, docstrings: bool) -> bytes:
    digest = hashlib.sha256(_normalised(_tree(name), docstrings=docstrings).encode())
    digest.update(_files_digest(_data_files(_tree(name), _file(name).parent), ROOT))
    return digest.digest()


@cache
def _module_reads_docstrings(name: str) -> bool:
    return _reads_docstrings(_tree(name))


@cache
def _module_imports(name: str) -> tuple[str, ...]:
    return tuple(_imports(_tree(name), name))


@cache
def _module_packages(name: str) -> frozenset[str]:
    return _packages(_tree(name))


@cache
def reached_modules(function: Callable) -> tuple[str, ...]:
    """Modules of `tasks` that the function imports, directly or through others, in sorted order."""
    todo, seen = list(_imports(own_part(function), function.__module__)), set()
    while todo:
        name = todo.pop()
        if name in seen or _is_outside(name) or _file(name) is None:
            continue
        seen.add(name)
        todo.extend(_module_imports(name))
    return tuple(sorted(seen))


@cache
def third_party_imports(function: Callable) -> frozenset[str]:
    """Top-level names of all packages that the reached code imports or may ask the version of, standard library too."""
    return _packages(own_part(function)).union(*map(_module_packages, reached_modules(function)))


def _packages(tree: ast.AST) -> frozenset[str]:
    names = {name.partition(".")[0] for name in (*_imports(tree, ""), *_asked_versions(tree))}
    return frozenset(names - {"tasks", "flows", ""})


def _is_outside(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in OUTSIDE)


def _asked_versions(tree: ast.AST) -> Iterator[str]:
    """What may name a package in a module that reads versions of packages: its texts."""
    if any(name.startswith("importlib.metadata") for name in _imports(tree, "")):
        yield from (text for text in _texts(tree) if text.isidentifier())


def _files_digest(paths: list[Path], root: Path) -> bytes:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.digest()


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = (
        module.split(".")[: -node.level] if not _is_package(module) else module.split(".")[: 1 - node.level or None]
    )
    return ".".join([*package, *([node.module] if node.module else [])])


@cache
def _tree(name: str) -> ast.Module:
    refuse_edited(name, _file(name))
    return parse(_file(name).read_text(encoding="utf-8"))


def refuse_edited(name: str, path: Path) -> None:
    """Raise ConfigError for a loaded module whose file was written since: what runs is not what would be digested."""
    if name in sys.modules and path.stat().st_mtime > _BEGAN_S:
        raise ConfigError(
            "code was edited while this process runs",
            where=str(path),
            remedy="Run the same command again; finished steps are cached.",
        )


@cache
def _file(name: str) -> Path | None:
    if name != "tasks" and not name.startswith("tasks."):
        return None
    stem = ROOT.joinpath(*name.split(".")[1:])
    return next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)


def _is_package(name: str) -> bool:
    path = _file(name)
    return path is not None and path.name == "__init__.py"


def _data_files(tree: ast.AST, folder: Path) -> list[Path]:
    """Packaged files below the module's folder whose name stands in the module as a text."""
    texts = _texts(tree)
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return sorted(path for path in files if path.name in texts or str(path.relative_to(folder)) in texts)


def _texts(tree: ast.AST) -> set[str]:
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def _reads_docstrings(tree: ast.AST) -> bool:
    words = {word for node in ast.walk(tree) for word in (getattr(node, "attr", ""), getattr(node, "id", ""))}
    return bool({"__doc__", "getdoc"} & (words | _texts(tree)))


def _normalised(tree: ast.AST, *, docstrings: bool = False) -> str:
    tree = parse(ast.unparse(tree))  # a copy: the cached tree keeps its docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not docstrings:
            node.body = [part for part in node.body if not _is_docstring(part)] or [ast.Pass()]
    return ast.dump(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
