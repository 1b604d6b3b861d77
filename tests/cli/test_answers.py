"""The last line on stdout is one JSON object whatever went wrong, with the fields of every other answer."""

import json

import pytest

from tasks.cli.answers import answer, without_passwords
from tasks.contracts.errors import StoreError
from tests.cli.command import stagegate

FIELDS = {"status", "flow_run_id", "run_folder", "metrics", "artifacts", "cache", "warnings", "error"}


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))
    return lambda *words: stagegate(monkeypatch, capsys, *words)


USAGE = {
    "unknown option": (("subsidence", "--jsn"), "No such option: --jsn"),
    "unknown option of a sub-command": (("subsidence", "audit", "--seed", "3"), "No such option: --seed"),
    "bad number": (("subsidence", "--seed", "many"), "Invalid value for '--seed'"),
    "number out of range": (("subsidence", "--seed", "-1"), "Invalid value for '--seed'"),
    "missing option": (("subsidence", "forecast"), "Missing option '--from'"),
    "missing argument": (("run",), "Missing argument"),
    "unknown command": (("subsidance",), "No such command 'subsidance'"),
    "unknown sub-command": (("store", "burn"), "No such command 'burn'"),
    "option without its value": (("subsidence", "--json", "--city"), "requires an argument"),
    "one argument too many": (("doctor", "please"), "unexpected extra argument"),
}


@pytest.mark.parametrize("case", USAGE)
def test_what_the_parser_refuses_is_a_json_answer_too(call, case):
    words, message = USAGE[case]
    words = words if "--json" in words else (*words, "--json")
    code, found, text = call(*words)
    assert code == 2, text
    assert set(found) >= FIELDS
    assert (found["status"], found["error"]["class"]) == ("refused", "ConfigError")
    assert message in found["error"]["message"]
    assert "--help" in found["error"]["message"]
    assert "Traceback" not in text


def test_without_json_the_parser_speaks_on_stderr_only(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["stagegate", "subsidence", "--jsn"])
    from tasks.cli.main import run

    with pytest.raises(SystemExit) as stop:
        run()
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "No such option: --jsn" in err and "Usage: stagegate subsidence" in err


@pytest.mark.parametrize("words", [("--help",), ("subsidence", "--help"), ("store", "gc", "--help")])
def test_help_is_no_error(call, words):
    code, _, text = call(*words)
    assert code == 0
    assert "Usage" in text


def test_a_plan_has_the_fields_of_every_answer(call):
    code, found, text = call("subsidence", "--dry-run", "--json")
    assert code == 0, text
    assert set(found) >= FIELDS
    assert (found["status"], found["error"], found["warnings"], found["run_folder"]) == ("planned", None, [], None)
    assert found["cache"] == {"hits": 0, "misses": len(found["plan"]), "steps": len(found["plan"])}


@pytest.mark.parametrize("words", [("doctor",), ("store", "gc")])
def test_other_commands_have_them_too(call, words):
    code, found, _ = call(*words, "--json")
    assert (code, found["status"], found["error"]) == (0, "complete", None)
    assert set(found) >= FIELDS


def test_a_signal_is_exit_3(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.cli.doctor._gpu", interrupted)
    code, found, _ = call("doctor", "--json")
    assert (code, found["status"], found["error"]["class"]) == (3, "stopped", "InterruptedStepError")


def test_an_unforeseen_error_is_exit_4_and_shows_no_password(call, monkeypatch):
    def broken(*_):
        raise RuntimeError("http://me:hidden@server refused")

    monkeypatch.setattr("tasks.cli.doctor._gpu", broken)
    code, found, text = call("doctor", "--json")
    assert (code, found["status"], found["error"]["class"]) == (4, "failed", "RuntimeError")
    assert "hidden" not in text


BAD_STORES = {
    "unknown protocol": ("bogus://x", 2, "ConfigError", "bogus://x is not a store"),
    "no credentials": ("s3://bucket/x", 4, "StoreError", "STAGEGATE_STORE s3://bucket/x cannot be used as a store"),
    "cannot be made": ("/proc/nowhere/x", 4, "StoreError", "STAGEGATE_STORE /proc/nowhere/x cannot be used as a store"),
}


@pytest.mark.parametrize("words", [("subsidence",), ("subsidence", "audit"), ("store", "gc", "--yes")])
@pytest.mark.parametrize("case", BAD_STORES)
def test_a_store_that_cannot_be_used_is_a_typed_error(call, monkeypatch, case, words, tmp_path):
    url, expected, kind, message = BAD_STORES[case]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("STAGEGATE_STORE", url)
    code, found, text = call(*words, "--json")
    assert (code, found["error"]["class"]) == (expected, kind), text
    assert message in found["error"]["message"]
    assert "Traceback" not in text


def test_a_store_that_is_a_file_is_a_typed_error(call, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "file"))
    code, found, _ = call("subsidence", "--json")
    assert (code, found["error"]["class"]) == (4, StoreError.__name__)


def test_a_missing_s3_client_is_a_typed_error(call, monkeypatch):
    def absent(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("tasks.store.remote.fsspec.url_to_fs", absent)
    monkeypatch.setenv("STAGEGATE_STORE", "s3://bucket/x")
    code, found, _ = call("subsidence", "--json")
    assert (code, found["error"]["class"]) == (4, "DependencyError")
    assert "s3fs" in found["error"]["message"]


def test_the_check_of_a_store_leaves_nothing_behind(call, tmp_path):
    assert call("store", "gc", "--yes", "--json")[0] == 0
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("s3://u:p@b/x", "s3://u:***@b/x"),
        ("http://u:p@ss@h:1/a and https://:t@h", "http://u:***@h:1/a and https://:***@h"),
        ("http://h:4200/api", "http://h:4200/api"),
        ("http://h:1/a@b", "http://h:1/a@b"),
        ("mail a:b@c", "mail a:b@c"),
    ],
)
def test_only_passwords_are_masked(text, masked):
    assert without_passwords(text) == masked


def test_an_answer_is_plain_json():
    assert set(json.loads(json.dumps(answer("complete", more=1)))) == FIELDS | {"more"}
