"""What a function reaches by name inside its own file."""

import ast
import inspect
from collections.abc import Callable, Iterator
from functools import cache

from tasks.orchestration.syntax import parse

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


@cache
def own_part(function: Callable) -> ast.Module:
    """The function without its decorators, and the helpers, constants and imports of its file that it leads to."""
    module = parse(inspect.getsource(inspect.getmodule(function)))
    own = next(node for node in module.body if isinstance(node, DEFINITIONS) and node.name == function.__name__)
    own.decorator_list = []
    rest = [part for statement in module.body if statement is not own for part in _parts(statement)]
    kept = {id(own)}
    names, before = _names(own), -1
    while len(kept) != before:
        before = len(kept)
        for part in rest:
            if id(part) not in kept and _concerns(part, names):
                kept.add(id(part))
                names |= _names(part)
    return ast.Module([part for part in (*rest, own) if id(part) in kept], type_ignores=[])


def _parts(statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statement; an import of several names as one import each, so that an unused neighbour does not count."""
    if isinstance(statement, ast.Import):
        yield from (ast.Import([alias]) for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        yield from (ast.ImportFrom(statement.module, [alias], statement.level) for alias in statement.names)
    else:
        yield statement


def _concerns(part: ast.stmt, names: set[str]) -> bool:
    """Whether a statement gives one of these names its meaning; all but definitions may alter what they mention."""
    if isinstance(part, DEFINITIONS):
        return part.name in names
    if isinstance(part, IMPORTS):
        return bool(names & _bound(part)) or "*" in _bound(part)
    return bool(names & _names(part))


def _names(tree: ast.AST) -> set[str]:
    """Every name in a tree, read or bound; texts too, since an annotation may be quoted."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, DEFINITIONS):
            found.add(node.name)
        elif isinstance(node, IMPORTS):
            found |= _bound(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def _bound(statement: ast.Import | ast.ImportFrom) -> set[str]:
    return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
