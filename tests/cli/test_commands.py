"""The other commands: data in, data out, and one wrong input each."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import stagegate
from tests.subsidence.mini import write_mini_handoff


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STAGEGATE_STORE", str(tmp_path / "store"))
    return lambda *words: stagegate(monkeypatch, capsys, *words)


def test_doctor_names_packages_store_and_engines(call, tmp_path):
    code, answer, _ = call("doctor", "--json")
    assert code == 0
    assert answer["checks"]["prefect"] == "3.8.8"
    assert answer["checks"]["store"].startswith(str(tmp_path / "store"))
    assert {"docker", "gpu", "s3", "postgres", "prefect server"} <= set(answer["checks"])


def test_doctor_masks_passwords_wherever_it_prints_a_url(call, monkeypatch):
    monkeypatch.setenv("STAGEGATE_STORE", "s3://key:hidden@bucket/prefix")
    monkeypatch.setenv("PREFECT_API_URL", "http://me:hid@den@127.0.0.1:9/api")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://key:hidden@127.0.0.1:9")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://pg:hidden@127.0.0.1:9/prefect")
    code, answer, text = call("doctor", "--json")
    assert code == 0
    assert "hid" not in text
    assert answer["checks"]["store"] == "s3://key:***@bucket/prefix"
    assert answer["checks"]["prefect server"].startswith("http://me:***@127.0.0.1:9/api does not answer")
    assert answer["checks"]["s3"].startswith("http://key:***@127.0.0.1:9 does not answer")
    assert "pg:***@127.0.0.1" in answer["checks"]["postgres"]
    assert "hid" not in call("doctor")[2]


def test_simulate_writes_panel_truth_and_an_accepted_handoff(call, tmp_path, prefect_server):
    code, answer, _ = call(
        "subsidence", "simulate", "--out", str(tmp_path / "city"), "--points", "120", "--grid", "16", "--json"
    )
    assert code == 0
    assert (tmp_path / "city" / "truth.npz").is_file()
    code, answer, text = call(
        "subsidence", "audit", "--stage1-manifest", answer["manifest"], "--out", str(tmp_path / "runs"), "--json"
    )
    assert code == 0, text
    assert {path.rsplit("/")[-1] for path in answer["artifacts"]} >= {
        "config_resolved.json", "scaling_kwargs.json", "report.html",
    }  # fmt: skip
    page = Path(answer["artifacts"]["report.html"]["path"]).read_text()
    assert "Audit of a Stage-1 handoff" in page and "S-02" in page and "G-04" in page


def test_an_audit_names_a_report_that_is_there(call, tmp_path, prefect_server):
    manifest = str(write_mini_handoff(tmp_path / "in"))
    code, _, text = call("subsidence", "audit", "--stage1-manifest", manifest, "--out", str(tmp_path / "runs"))
    assert code == 0, text
    (line,) = [line for line in text.splitlines() if line.startswith("report ")]
    assert Path(line.split()[1]).is_file()


def test_prepare_turns_a_panel_into_windows_and_reports_what_it_dropped(call, tmp_path):
    call("subsidence", "simulate", "--out", str(tmp_path / "city"), "--points", "120", "--grid", "16", "--json")
    panel = tmp_path / "city" / "twin_panel.csv"
    lines = panel.read_text().splitlines()
    panel.write_text("\n".join(lines[:2] + lines[3:]) + "\n")  # one year of one place is gone
    code, answer, text = call("subsidence", "prepare", "--csv", str(panel), "--city", "twin",
                              "--out", str(tmp_path / "new"),
                              "--train-end-year", "2020", "--json")  # fmt: skip
    assert code == 0, text
    assert sum(answer["splits"][name] for name in ("train", "val", "test")) in (119, 120)


def test_prepare_refuses_a_panel_with_one_year_a_place(call, tmp_path):
    panel = tmp_path / "panel.csv"
    rows = [f"113.{i},22.5,{2015 + i % 8},{10 * i},1.5,10,0" for i in range(20)]
    panel.write_text(
        "longitude,latitude,year,subsidence_cum,GWL_depth_bgs_m,soil_thickness,z_surf_m\n" + "\n".join(rows)
    )
    code, answer, text = call(
        "subsidence", "prepare", "--csv", str(panel), "--city", "x", "--out", str(tmp_path / "new"), "--json"
    )
    assert code == 2, text
    assert "consecutive" in answer["error"]["message"]
    assert not (tmp_path / "new").exists()


def test_prepare_refuses_an_option_out_of_range(call, tmp_path):
    code, _, text = call(
        "subsidence", "prepare", "--csv", "x.csv", "--city", "x", "--out", str(tmp_path / "o"), "--unit-subs", "feet"
    )
    assert code == 2
    assert "--unit-subs" in text


def test_convert_scaler_opens_only_the_digest_it_was_given(call, tmp_path):
    import joblib
    from sklearn.preprocessing import MinMaxScaler

    path = tmp_path / "scaler.joblib"
    joblib.dump(MinMaxScaler().fit(np.array([[1.0, 10.0], [3.0, 30.0]])), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    code, _, text = call(
        "subsidence", "convert-scaler", str(path), "--allow-sha256", digest, "--out", str(tmp_path / "scaler.json")
    )
    assert code == 0, text
    document = json.loads((tmp_path / "scaler.json").read_text())
    assert document["min"] == [1.0, 10.0]
    assert document["sha256_source"] == digest
    code, _, text = call("subsidence", "convert-scaler", str(path), "--allow-sha256", "0" * 64)
    assert code == 2
    assert "UnsafeCheckpointError" in text
    code, answer, _ = call("subsidence", "convert-scaler", str(path), "--allow-sha256", digest, "--json")
    assert (code, answer["status"], answer["scaler"]) == (0, "complete", document)
    code, answer, _ = call("subsidence", "convert-scaler", str(path), "--allow-sha256", "0" * 64, "--json")
    assert (code, answer["status"], answer["error"]["class"]) == (2, "refused", "UnsafeCheckpointError")


def test_run_refuses_an_unknown_flow_and_an_unknown_field(call):
    code, _, text = call("run", "forecast-everything")
    assert code == 2
    assert "forecast-subsidence" in text
    code, _, text = call("run", "forecast-subsidence", "--set", "town=zhongshan")
    assert code == 2
    assert "town" in text


def test_store_gc_lists_and_deletes_nothing_by_default(call):
    code, answer, _ = call("store", "gc", "--json")
    assert code == 0
    assert answer["deleted"] is False


def test_forecast_with_an_unknown_entry_says_what_is_registered(call, tmp_path, prefect_server):
    code, answer, text = call("subsidence", "forecast", "--from", "0" * 64, "--out", str(tmp_path / "runs"), "--json")
    assert code == 2, text
    assert "registry entry" in answer["error"]["message"]
