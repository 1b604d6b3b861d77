"""Keys follow content and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.content_policy import canonical, key_of, without

REF = ArtifactRef(digest="a" * 64, size=3, media_type="text/csv", name="panel.csv")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def key(inputs):
    return key_of({"step": "train", "code": "c", "runtime": "r", "inputs": canonical(inputs, "inputs")})


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=5))
def test_order_of_a_dictionary_does_not_change_the_key(inputs):
    assert key(inputs) == key(dict(reversed(inputs.items())))


@given(JSON, JSON)
def test_keys_are_equal_exactly_when_the_json_is(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (key({"x": a}) == key({"x": b})) == same


def test_a_reference_counts_by_digest_and_media_type_only():
    assert key({"x": REF}) == key({"x": REF.model_copy(update={"name": "other.csv"})})
    assert key({"x": REF}) != key({"x": REF.model_copy(update={"digest": "b" * 64})})
    assert key({"x": REF}) != key({"x": REF.model_copy(update={"media_type": "text/plain"})})


@pytest.mark.parametrize("value", [Path("/data/a.npz"), np.zeros(3), {1, 2}, b"bytes", float("nan"), object()])
def test_a_value_without_content_is_refused_and_its_field_named(value):
    with pytest.raises(TypeError, match=r"settings\.inner\[1\]"):
        canonical({"inner": [1, value]}, "settings")


def test_key_starts_with_the_step_name():
    assert key({"x": 1}).startswith("train-")


def test_golden_key_is_the_same_in_other_processes_with_other_hash_seeds():
    program = (
        "from tasks.orchestration.content_policy import canonical, key_of\n"
        "inputs = canonical({'b': [1, 2.5], 'a': None}, 'i')\n"
        "print(key_of({'step': 's', 'code': 'c', 'runtime': 'r', 'inputs': inputs}))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": str(seed), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in range(3)
    }
    assert keys == {"s-2639bd6086ac7a0316f51ce3c96c26152314978d3ee3965e921d8e0d5baf087a"}


def test_places_left_out_are_gone_from_a_copy_only():
    document = {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
    assert without(document, ("a.b.c", "e", "a.x.y", "f")) == {"a": {"b": {"d": 2}}}
    assert document == {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
