"""The words of the dashboard's pages: short where space is short, complete where a person has to decide."""

from tasks.contracts.report import FlowReport
from tasks.steps.subsidence_shown import audit_line, audit_rows, summary
from tasks.subsidence.types import CheckResult

PASSED = CheckResult(id="F-01", severity="fail", status="pass", message="F-01 files are there.")
SKIPPED = CheckResult(id="U-02", severity="warn", status="skipped", message="U-02 not checked: no units.")
WARNED = CheckResult(
    id="C-01",
    severity="warn",
    status="warn",
    message="C-01 t spans 1.1..1.4. The model extrapolates there.",
    where="future_inputs.npz 'coords' t",
    found="1.1..1.4",
    expected="[0, 1]",
    remedy="The model extrapolates there.",
)
FAILED = CheckResult(id="S-01", severity="fail", status="fail", message="S-01 shapes differ.")
REPORT = FlowReport(
    status="incomplete",
    flow_run_id="",
    run_folder="runs/twin",
    metrics={},
    artifacts={},
    cache={"hits": 3, "misses": 10, "steps": 13},
    warnings=(WARNED.message, "not registered: incomplete"),
    missing={"maps": "no coordinates"},
)
SCORES = {"Held-out places; 80 % interval": [{"method": f"method {n}", "MAE mm": f"{n}.0"} for n in range(1, 8)]}
SCORES["Held-out places; 80 % interval"][6]["method"] = "this model"


def test_failures_stand_before_warnings_and_what_passed_is_left_out():
    rows = audit_rows([PASSED, SKIPPED, WARNED, FAILED])
    assert [(row["check"], row["result"]) for row in rows] == [
        ("S-01", "failed"),
        ("C-01", "warning"),
        ("U-02", "not checked"),
    ]
    assert list(rows[1].values())[2:5] == ["future_inputs.npz 'coords' t", "1.1..1.4", "[0, 1]"]


def test_a_clean_audit_says_so():
    assert audit_rows([PASSED]) == [{"check": "all", "result": "passed", "message": "1 checks, nothing found"}]


def test_the_verdict_fits_on_a_card():
    lines = [audit_line(checks) for checks in ([PASSED], [PASSED, WARNED], [FAILED, WARNED, WARNED])]
    assert lines == [
        "Audit: all passed in 1 checks",
        "Audit: 1 warning in 2 checks",
        "Audit: 1 failed, 2 warnings in 3 checks",
    ]


def test_the_summary_answers_what_came_out_and_what_is_wrong():
    asked = [{"question": "Calibrated?", "answer": "no", "evidence": "coverage 0.2"}]
    text = summary("twin", REPORT, asked, [PASSED, WARNED], SCORES, "http://127.0.0.1/report.html")
    assert text.startswith("# twin: incomplete\n\n[Open the report](http://127.0.0.1/report.html) · 13 steps, 3 from")
    assert "- Calibrated? **no**: coverage 0.2" in text
    assert "- **maps**: no coordinates" in text
    assert "## Audit: 1 warning in 2 checks\n\n- C-01 t spans" in text
    assert text.count(WARNED.message) == 1
    assert "## Warnings\n\n- not registered: incomplete" in text


def test_this_model_is_in_the_summary_wherever_it_stands():
    text = summary("twin", REPORT, [], [PASSED], SCORES, "")
    assert "## Held-out places\n\n80 % interval\n\n| method |" in text
    assert "| method 5 | 5.0 |\n| **this model** | 7.0 |\n\n1 more in the tables" in text
    assert "method 6" not in text
