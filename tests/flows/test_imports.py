"""Flows import quickly: no framework at module level, and no class is defined in a flow file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FLOWS = sorted(path.stem for path in (Path(__file__).parents[2] / "flows").glob("[a-z]*.py"))


@pytest.mark.parametrize("flow", FLOWS)
def test_importing_a_flow_loads_no_framework(flow):
    program = f"import sys, flows.{flow}; print([m for m in ('tensorflow', 'keras', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("flow", FLOWS)
def test_no_class_is_defined_in_a_flow_file(flow):
    tree = ast.parse((Path(__file__).parents[2] / "flows" / f"{flow}.py").read_text())
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
