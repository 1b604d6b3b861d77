"""A step runs once per content, notices lost and altered bytes, and repeats exactly the cone below a change."""

import json
from pathlib import Path

import pytest
from prefect import flow

from tasks.contracts.errors import HandshakeError
from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.run import prepared
from tasks.orchestration.step import step
from tests.orchestration import sample_steps
from tests.orchestration.sample_steps import RAN, count, flaky, refuse, shout, upper

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow(name="two-steps")
def two_steps(source: ArtifactRef, times: int = 1):
    return count(upper(source, times))


@pytest.fixture(autouse=True)
def forget():
    RAN.clear()


def run_once(platform, text=b"abc", times=1, **options):
    run = platform(**options)
    source = run.store.put_bytes(text, name="source.txt")
    with prepared(run):
        output = two_steps(source, times)
    return run, output


def statuses(run):
    return [(step.step, step.status) for step in run.steps]


def test_second_run_takes_every_step_from_the_cache(platform):
    _, first = run_once(platform)
    run, second = run_once(platform)
    assert statuses(run) == [("upper", "cached"), ("count", "cached")]
    assert RAN == ["upper", "count"]
    assert first == second
    assert run.cache_counts() == {"hits": 2, "misses": 0, "steps": 2}


def test_one_changed_byte_repeats_exactly_what_depends_on_it(platform):
    run_once(platform, b"abc")
    run, _ = run_once(platform, b"abd")
    assert statuses(run) == [("upper", "ran"), ("count", "ran")]
    assert run.steps[0].why == "changed: inputs.source.digest"


def test_equal_output_of_a_changed_step_stops_the_cone(platform):
    run_once(platform, b"abc")
    run, _ = run_once(platform, b"ABC")
    assert statuses(run) == [("upper", "ran"), ("count", "cached")]


def test_lost_bytes_are_made_again(platform):
    run, output = run_once(platform)
    for path in Path(run.settings.store).rglob(output.ref.digest[2:]):
        path.chmod(0o644)
        path.unlink()
    run, again = run_once(platform)
    assert statuses(run) == [("upper", "cached"), ("count", "ran")]
    assert "gone or altered: count.txt" in run.steps[1].why
    assert run.store.get_bytes(again.ref) == b"3"


def test_altered_bytes_are_made_again_and_never_read(platform):
    run, output = run_once(platform)
    (blob,) = Path(run.settings.store).rglob(output.ref.digest[2:])
    blob.chmod(0o644)
    blob.write_bytes(b"9")
    run, again = run_once(platform)
    assert statuses(run)[1] == ("count", "ran")
    assert run.store.get_bytes(again.ref) == b"3"


def tampered(run, step, change):
    (path,) = (Path(run.settings.store) / "results").glob(f"{step}-*")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_record_that_names_pickle_is_not_read(platform, tmp_path):
    import base64
    import pickle

    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (canary,))

    def change(record):
        record["metadata"]["serializer"] = {"type": "pickle", "picklelib": "cloudpickle"}
        record["result"] = base64.b64encode(pickle.dumps(Evil())).decode()

    run, _ = run_once(platform)
    tampered(run, "count", change)
    run, _ = run_once(platform)
    assert statuses(run)[1] == ("count", "ran")
    assert not canary.exists()


def test_record_that_names_a_class_is_not_read(platform):
    run, _ = run_once(platform)
    tampered(run, "count", lambda record: record.update(result='{"__class__": "os.system", "data": "true"}'))
    run, _ = run_once(platform)
    assert statuses(run)[1] == ("count", "ran")
    assert "unreadable" in run.steps[1].why


def test_dry_run_says_what_would_run_and_why_and_runs_nothing(platform):
    run, _ = run_once(platform, b"abc")
    RAN.clear()
    run = platform(dry=True)
    source = run.store.put_bytes(b"abc", name="source.txt")
    with prepared(run):
        two_steps.fn(source, 2)
    assert statuses(run) == [("upper", "would run"), ("count", "would run")]
    assert run.steps[0].why == "changed: inputs.times"
    assert run.steps[1].why == "waits for upper"
    assert RAN == []


def test_bad_data_are_refused_once_however_many_retries(platform):
    run = platform()
    source = run.store.put_bytes(b"x", name="source.txt")

    @flow
    def refusing():
        return refuse(source)

    with prepared(run), pytest.raises(HandshakeError, match=r"source\.txt data are bad"):
        refusing()
    assert RAN == ["refuse"]


def test_a_retry_starts_from_the_progress_of_the_attempt_before(platform):
    run = platform()
    source = run.store.put_bytes(b"x", name="source.txt")

    @flow
    def retrying():
        return flaky(source)

    with prepared(run):
        output = retrying()
    assert RAN == ["flaky", "flaky"]
    assert run.store.get_bytes(output.ref) == b"half done"


def test_wrong_input_type_is_refused_when_the_step_is_called(platform):
    run = platform()
    with prepared(run), pytest.raises(ValueError, match=r"times|int"):
        sample_steps.upper(run.store.put_bytes(b"x", name="s"), "2")


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"metadata": null}', "", "not json"])
def test_a_damaged_record_is_a_miss_and_is_made_again(platform, text):
    run, _ = run_once(platform)
    (path,) = (Path(run.settings.store) / "results").glob("count-*")
    path.write_text(text)
    run, _ = run_once(platform)
    assert statuses(run) == [("upper", "cached"), ("count", "ran")]
    assert statuses(run_once(platform)[0])[1] == ("count", "cached")


def test_a_record_whose_numbers_were_changed_is_not_believed(platform):
    run, output = run_once(platform)
    tampered(run, "count", lambda record: record.update(result=record["result"].replace("text/plain", "text/other")))
    run, again = run_once(platform)
    assert run.steps[1].why == "record altered"
    assert again == output


def test_a_damaged_note_stops_nothing(platform):
    run, _ = run_once(platform)
    for path in (Path(run.settings.store) / "keys").rglob("upper-*"):
        path.write_text('{"trunc')
    run, _ = run_once(platform, b"other")
    assert statuses(run) == [("upper", "ran"), ("count", "ran")]


def test_unkeyed_inputs_reach_the_body_and_not_the_key(platform):
    @flow
    def shouting(source, style, note):
        return shout(source, style, note)

    def statuses_with(style, note):
        run = platform()
        source = run.store.put_bytes(b"x", name="source.txt")
        with prepared(run):
            shouting(source, style, note)
        return statuses(run)

    assert statuses_with({"loud": True, "high": True}, "a") == [("shout", "ran")]
    assert statuses_with({"loud": False, "high": True}, "b") == [("shout", "cached")]
    assert statuses_with({"loud": False, "high": False}, "b") == [("shout", "ran")]
    assert RAN == ["shout True a", "shout False b"]


def test_unkeyed_must_name_an_input():
    with pytest.raises(TypeError, match="unkeyed names no input: sorce"):
        step(unkeyed=("sorce.values",))(shout.function)
