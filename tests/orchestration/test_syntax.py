"""Source is read although other threads parse at the same time, which older releases of Python take badly."""

import ast

import pytest

from tasks.orchestration.syntax import parse


def disturbed(times):
    """`ast.parse` that fails so many times as it does beside another thread."""
    left, sound = [None] * times, ast.parse

    def attempt(source):
        if left:
            left.pop()
            raise SystemError("AST constructor recursion depth mismatch (before=66, after=77)")
        return sound(source)

    return attempt


def test_a_disturbed_parse_is_made_again(monkeypatch):
    monkeypatch.setattr(ast, "parse", disturbed(3))
    assert ast.unparse(parse("x = 1")) == "x = 1"


def test_one_that_never_succeeds_is_raised(monkeypatch):
    monkeypatch.setattr(ast, "parse", disturbed(1000))
    with pytest.raises(SystemError, match="recursion depth"):
        parse("x = 1")


def test_wrong_source_is_refused_at_once():
    with pytest.raises(SyntaxError):
        parse("x =")
