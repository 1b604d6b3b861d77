"""The code digest sees what changes a result, and nothing else."""

import ast

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


def test_packaged_tables_count(tmp_path, monkeypatch):
    package = tmp_path / "tasks"
    package.mkdir()
    (package / "work.py").write_text('TABLE = "table.yaml"\n')
    (package / "table.yaml").write_text("a: 1\n")
    (package / "other.yaml").write_text("b: 1\n")
    monkeypatch.setattr(digests, "ROOT", package)
    digests._file.cache_clear()
    digests._tree.cache_clear()
    try:
        assert digests._data_files("tasks.work") == [package / "table.yaml"]
    finally:
        digests._file.cache_clear()
        digests._tree.cache_clear()
