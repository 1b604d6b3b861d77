"""The version covers what decides values, and nothing else of the engine."""

from tasks.tiles.code_version import _reached, _without_docstrings, ast, code_version


def test_version_covers_reader_model_and_writer_and_not_the_pool():
    reached = set(_reached())
    assert {"reader", "values", "metadata", "model", "backbone", "precision", "windows", "writer"} <= reached
    assert not {"workers", "worker", "summary", "metrics", "train"} & reached


def test_version_is_the_same_every_time():
    first = code_version()
    code_version.cache_clear()
    assert code_version() == first
    assert len(first) == 12


def test_docstrings_and_comments_change_nothing():
    plain = ast.parse("def f(x):\n    return x\n")
    told = ast.parse('"""Module."""\ndef f(x):\n    """Words."""\n    return x  # a comment\n')
    assert ast.dump(_without_docstrings(told)) == ast.dump(_without_docstrings(plain))
