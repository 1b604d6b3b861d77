import pytest

from tests.subsidence.audit_cases import DELETE, Case, assert_said, audited, in_manifest

SCALING = "config.scaling_kwargs"

CASES = [
    Case(
        "M-01",
        "stage two",
        ("manifest.json stage is 'stage2'", "stage1", "Pass the manifest"),
        in_manifest("stage", "stage2"),
    ),
    Case(
        "M-02", "unknown schema", ("schema_version is '9.9'", "3.2, stagegate-1"), in_manifest("schema_version", "9.9")
    ),
    Case("M-02", "no scaling", ("lacks config.scaling_kwargs",), in_manifest(SCALING, DELETE)),
    Case(
        "M-02",
        "wrong type",
        ("config.scaling_kwargs.coord_ranges", "found 'wide'"),
        in_manifest(f"{SCALING}.coord_ranges", "wide"),
    ),
    Case("M-02", "unknown mode", ("MODE", "'other'", "tft_like"), in_manifest("config.MODE", "other")),
    Case("M-02", "no history", ("TIME_STEPS is 0",), in_manifest("config.TIME_STEPS", 0)),
    Case("M-03", "other city asked for", ("city is 'minicity'", "active city is 'Nansha'"), city="Nansha"),
    Case("M-03", "other city configured", ("active city is 'nansha'",), live={"CITY_NAME": "nansha"}),
    Case(
        "M-03",
        "two cities asked for",
        ("--city=minicity", "CITY_NAME=nansha"),
        city="minicity",
        live={"CITY_NAME": "nansha"},
    ),
    Case("M-03", "another case of the letters", (), city=" MiniCity ", status="pass"),
    Case("M-04", "other time steps", ("live TIME_STEPS is 6, the manifest has 5",), live={"TIME_STEPS": 6}),
    Case("M-04", "other train end", ("live TRAIN_END_YEAR is 2021",), live={"TRAIN_END_YEAR": 2021}),
    Case("M-04", "equal values", (), live={"TIME_STEPS": 5, "MODE": "tft_like"}, status="pass"),
    Case(
        "M-05",
        "gap before the forecast",
        ("FORECAST_START_YEAR is 2024", "end in 2022"),
        in_manifest("config.FORECAST_START_YEAR", 2024),
        status="warn",
    ),
    Case(
        "M-06",
        "two indices",
        ("gwl_dyn_index is 1", "scaling_kwargs.gwl_dyn_index is 0"),
        in_manifest("config.indices.gwl_dyn_index", 1),
    ),
    Case(
        "M-06",
        "index outside",
        ("z_surf_static_index is 99, there are 6 columns",),
        in_manifest("config.indices.z_surf_static_index", 99),
    ),
    Case(
        "M-06",
        "points to another column",
        ("subs_dyn_index points to 'rainfall_mm'", "subsidence_cum__si"),
        {
            "manifest": lambda m: [
                block.update(subs_dyn_index=2) for block in (m["config"]["indices"], m["config"]["scaling_kwargs"])
            ]
        },
    ),
    Case(
        "M-06",
        "a depth under an old name",
        (),
        status="pass",
        spoil={"manifest": lambda m: m["config"]["features"]["dynamic"].__setitem__(0, "z_GWL")},
    ),
    Case(
        "M-07",
        "a name twice",
        ("features.dynamic lists rainfall_mm more than once",),
        {"manifest": lambda m: m["config"]["features"]["dynamic"].__setitem__(3, "rainfall_mm")},
    ),
    Case(
        "M-07",
        "a scaled column that is none",
        ("lists wind_speed, which are no features",),
        {"manifest": lambda m: m["artifacts"]["encoders"]["scaled_ml_numeric_cols"].append("wind_speed")},
    ),
    Case(
        "M-07",
        "a scaler position that is none",
        ("scaler_info.rainfall_mm.idx is 2, all_features has 2 names",),
        in_manifest("config.scaler_info", {"rainfall_mm": {"all_features": ["a", "b"], "idx": 2}}),
    ),
    Case(
        "M-08",
        "two spellings",
        ("gwl_col='GWL_depth_bgs_m__si'", "gwl_name='head_m__si'"),
        in_manifest(f"{SCALING}.gwl_name", "head_m__si"),
    ),
    Case(
        "M-08",
        "two cases",
        ("Q_kind='per_volume'", "q_kind='head_rate'"),
        in_manifest(f"{SCALING}.q_kind", "head_rate"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_manifest_is_judged(case, tmp_path):
    assert_said(case, audited(tmp_path, case))


def test_later_layers_of_live_values_win(tmp_path):
    from tasks.store.blobs import Store
    from tasks.subsidence.checks.evidence import gather
    from tasks.subsidence.manifest import ingest_handoff, load_handoff
    from tasks.subsidence.types import ConfigLayer, LiveConfig
    from tests.subsidence.mini import write_mini_handoff

    store = Store(tmp_path / "store")
    handoff = load_handoff(ingest_handoff(write_mini_handoff(tmp_path / "handoff"), store), store)
    layers = (
        ConfigLayer(source="file:a.toml", values={"TIME_STEPS": 6}),
        ConfigLayer(source="set", values={"TIME_STEPS": 5}),
    )
    assert gather(handoff, LiveConfig(layers=layers), None, store).live["TIME_STEPS"] == 5


def test_keys_that_nothing_reads_are_listed(tmp_path):
    outcome = audited(tmp_path, **in_manifest("config.scaling_kwargs.my_note", 1))
    assert "config.scaling_kwargs.my_note" in outcome.results["M-02"].message
    assert outcome.report["manifest"]["unknown_keys"] == ["config.scaling_kwargs.my_note"]
