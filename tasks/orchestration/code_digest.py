"""A digest of the code that a step's function can reach inside `tasks`: no comments, no docstrings, no layout."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import tasks

ROOT = Path(tasks.__file__).parent
# Dispatch, dashboards and command lines move results about; they do not change them.
OUTSIDE = ("tasks.orchestration", "tasks.steps", "tasks.cli")


@cache
def code_digest(function: Callable) -> str:
    """sha256 over the function and over every module and data file it reaches."""
    digest = hashlib.sha256(_normalised(_function_node(function)).encode())
    for name in reached_modules(function):
        digest.update(f"\0{name}\0{_normalised(_tree(name))}".encode())
        for path in _data_files(name):
            digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def reached_modules(function: Callable) -> tuple[str, ...]:
    """Modules of `tasks` that the function imports, directly or through others, in sorted order."""
    todo, seen = list(_direct_imports(function)), set()
    while todo:
        name = todo.pop()
        if name in seen or name.startswith(OUTSIDE) or _file(name) is None:
            continue
        seen.add(name)
        todo.extend(_imports(_tree(name), name))
    return tuple(sorted(seen))


def third_party_imports(function: Callable) -> frozenset[str]:
    """Top-level names of all packages that the reached code imports, the standard library included."""
    trees = [_function_node(function), *(_tree(name) for name in reached_modules(function))]
    names = {name.partition(".")[0] for tree in trees for name in _imports(tree, "")}
    return frozenset(names - {"tasks", "flows", ""})


def _direct_imports(function: Callable) -> Iterator[str]:
    node = _function_node(function)
    yield from _imports(node, function.__module__)
    used = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    for statement in ast.parse(inspect.getsource(inspect.getmodule(function))).body:
        if isinstance(statement, ast.Import | ast.ImportFrom) and used & _bound_names(statement):
            yield from _imports(statement, function.__module__)


def _bound_names(statement: ast.Import | ast.ImportFrom) -> set[str]:
    return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}


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
    return ast.parse(_file(name).read_text(encoding="utf-8"))


@cache
def _file(name: str) -> Path | None:
    if name != "tasks" and not name.startswith("tasks."):
        return None
    stem = ROOT.joinpath(*name.split(".")[1:])
    return next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)


def _is_package(name: str) -> bool:
    path = _file(name)
    return path is not None and path.name == "__init__.py"


def _data_files(name: str) -> list[Path]:
    """Packaged files below the module's folder whose name stands in the module as a text."""
    texts = {
        node.value for node in ast.walk(_tree(name)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    folder = _file(name).parent
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return sorted(path for path in files if path.name in texts or str(path.relative_to(folder)) in texts)


def _function_node(function: Callable) -> ast.FunctionDef:
    module = ast.parse(inspect.getsource(inspect.getmodule(function)))
    found = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == function.__name__)
    node = next(found)
    node.decorator_list = []
    return node


def _normalised(tree: ast.AST) -> str:
    tree = ast.parse(ast.unparse(tree))  # a copy: the cached tree keeps its docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)] or [ast.Pass()]
    return ast.dump(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
