"""The code digest sees what changes a result, and nothing else."""

import ast
import importlib
import os
import sys

import pytest

from tasks.contracts.errors import ConfigError
from tasks.orchestration import code_digest as digests
from tests.orchestration import sample_steps


def normalised(text):
    return digests._normalised(ast.parse(text))


def test_comments_docstrings_and_layout_do_not_count():
    plain = "def f(x):\n    return x + 1\n"
    dressed = '"""Module."""\n\ndef f(x):\n    """One more."""\n    # why\n    return (x\n            + 1)\n'
    assert normalised(plain) == normalised(dressed)


def test_a_changed_number_counts():
    assert normalised("def f(x):\n    return x + 1\n") != normalised("def f(x):\n    return x + 2\n")


def test_a_function_with_only_a_docstring_still_has_a_body():
    assert normalised('def f():\n    """Nothing."""\n') == normalised("def f():\n    pass\n")


def test_two_steps_of_one_file_have_their_own_digests():
    assert digests.code_digest(sample_steps.upper.function) != digests.code_digest(sample_steps.count.function)


def test_imports_inside_functions_are_reached_and_orchestration_is_not():
    from tasks.steps.train import train_subsidence

    reached = digests.reached_modules(train_subsidence.function)
    assert "tasks.subsidence.train" in reached
    assert "tasks.store.npz" in reached
    assert not [name for name in reached if name.startswith(("tasks.orchestration", "tasks.steps", "tasks.cli"))]


def test_training_does_not_depend_on_plots_and_reports():
    from tasks.steps.train import train_subsidence

    reached = digests.reached_modules(train_subsidence.function)
    assert not {"tasks.subsidence.plots", "tasks.subsidence.report", "tasks.subsidence.baselines"} & set(reached)


def test_packages_that_a_step_imports_are_known():
    from tasks.steps.train import train_subsidence

    assert {"tensorflow", "keras", "numpy"} <= digests.third_party_imports(train_subsidence.function)


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Imports a file that consists of a text, under a new name each time, and gives its function `work`."""
    monkeypatch.syspath_prepend(tmp_path)
    names = iter(f"written_step_{count}" for count in range(100))

    def write(text):
        name = next(names)
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name).work

    yield write
    for name in [name for name in sys.modules if name.startswith("written_step_")]:
        del sys.modules[name]


STEP = """
import math
from os import path, sep

LIMIT = 3
TABLE = {}
TABLE["a"] = LIMIT


def helper(x):
    return deeper(x) + 1


def deeper(x):
    return x + TABLE["a"]


def unrelated(x):
    return path.join(str(x), sep)


def work(x):
    return helper(x)
"""


@pytest.mark.parametrize(("old", "new"), [
    ("deeper(x) + 1", "deeper(x) + 2"),  # a helper
    ("x + TABLE", "x * TABLE"),  # a helper of a helper
    ("LIMIT = 3", "LIMIT = 4"),  # a constant behind a table
    ('TABLE["a"] = LIMIT', 'TABLE["a"] = 2 * LIMIT'),  # a statement that alters a table
    ("return helper(x)\n", "return helper(x)\n\n\nTABLE.clear()\n"),
])  # fmt: skip
def test_what_a_function_reaches_in_its_own_file_counts(imported, old, new):
    assert STEP.count(old) == 1
    assert digests.code_digest(imported(STEP)) != digests.code_digest(imported(STEP.replace(old, new)))


@pytest.mark.parametrize(("old", "new"), [
    ("path.join(str(x), sep)", "str(x)"), ("path, sep", "path, sep, name"), ("import math", ""),
    ("def helper(x):", "def helper(x):\n    'Words.'"),
])  # fmt: skip
def test_what_it_does_not_reach_does_not_count(imported, old, new):
    assert STEP.count(old) == 1
    assert digests.code_digest(imported(STEP)) == digests.code_digest(imported(STEP.replace(old, new)))


def test_the_same_name_from_elsewhere_counts(imported):
    texts = [f"from {module} import {name} as f\n\n\ndef work():\n    return f()\n" for module, name in (
        ("time", "monotonic"), ("time", "time"), ("statistics", "mean"),
    )]  # fmt: skip
    assert len({digests.code_digest(imported(text)) for text in texts}) == 3


def test_imports_of_a_helper_are_reached(imported):
    text = "def help():\n    import tasks.store.npz\n    import h5py\n\n\ndef work():\n    return help()\n"
    work = imported(text)
    assert "tasks.store.npz" in digests.reached_modules(work)
    assert "h5py" in digests.third_party_imports(work)


@pytest.mark.parametrize(("read", "count"), [("work.__doc__", True), ("getattr(work, '__doc__')", True), ("1", False)])
def test_docstrings_count_where_they_are_read(imported, read, count):
    one, other = (
        imported(f"def work():\n    '{words}.'\n    return {read}\n") for words in ("Years fit", "Years match")
    )
    assert (digests.code_digest(one) != digests.code_digest(other)) is count


def test_a_changed_title_of_a_check_is_another_audit(monkeypatch):
    from tasks.steps.audit_handshake import audit_handshake

    before = digests.code_digest.__wrapped__(audit_handshake.function)
    tree, trees = digests._tree("tasks.subsidence.checks.files"), digests._tree
    changed = ast.parse(ast.unparse(tree).replace("Required arrays are there", "Required arrays exist"))
    monkeypatch.setattr(
        digests, "_tree", lambda name: changed if name == "tasks.subsidence.checks.files" else trees(name)
    )
    monkeypatch.setattr(digests, "_module_digest", digests._module_digest.__wrapped__)
    assert digests.code_digest.__wrapped__(audit_handshake.function) != before


def test_a_package_whose_name_begins_like_one_outside_is_inside():
    assert digests._is_outside("tasks.cli") and digests._is_outside("tasks.cli.main")
    assert not digests._is_outside("tasks.climate") and not digests._is_outside("tasks.orchestration_rules")


def test_a_step_that_writes_down_the_code_of_another_depends_on_it():
    from tasks.steps.register import register_subsidence

    assert {"tasks.steps.train", "tasks.subsidence.train"} <= set(digests.reached_modules(register_subsidence.function))


def test_packages_whose_versions_are_written_down_are_known():
    from tasks.steps.audit_handshake import audit_handshake
    from tasks.steps.simulate import simulate_subsidence

    assert "sklearn" in digests.third_party_imports(audit_handshake.function)
    assert {"pandas", "sklearn"} <= digests.third_party_imports(simulate_subsidence.function)


def test_packaged_tables_count(tmp_path):
    (tmp_path / "table.yaml").write_text("a: 1\n")
    (tmp_path / "other.yaml").write_text("b: 1\n")
    assert digests._data_files(ast.parse('TABLE = "table.yaml"'), tmp_path) == [tmp_path / "table.yaml"]


def test_code_that_was_edited_after_it_was_loaded_is_not_digested(tmp_path):
    edited = tmp_path / "checks.py"
    edited.write_text("x = 1\n")
    os.utime(edited, (digests._BEGAN_S + 5, digests._BEGAN_S + 5))
    digests.refuse_edited("tasks.never_loaded", edited)
    with pytest.raises(ConfigError, match="code was edited while this process runs"):
        digests.refuse_edited("tasks.orchestration.code_digest", edited)
