"""Parsing Python source beside other threads."""

import ast

TRIES = 20


def parse(source: str) -> ast.Module:
    """`ast.parse`, also where other threads parse at the same time.

    CPython before 3.11.5 counts the depth of all their trees in one place and then raises SystemError for sound source
    (https://github.com/python/cpython/issues/106905).
    """
    for _ in range(TRIES - 1):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)
