"""The night goes on after a failure, ends Failed with names, and promotes nothing without a contract."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from pydantic import ValidationError

from flows import nightly_retrain as module
from tasks.contracts.errors import HandshakeError, InterruptedStepError, ItemsFailedError
from tasks.contracts.report import FlowReport
from tasks.orchestration.retrain import RetrainRequest, attempt, conclude
from tasks.subsidence.request import SubsidenceRequest

pytestmark = pytest.mark.usefixtures("prefect_server")
RAN: list[str] = []


@flow(name="stand-in")
def stand_in(request: SubsidenceRequest) -> FlowReport:
    RAN.append(request.city)
    if request.city == "bad":
        raise HandshakeError("data are bad", where=request.city)
    return FlowReport(
        status="complete", flow_run_id="", run_folder=f"runs/{request.city}", metrics={}, artifacts={}, cache={}
    )


@pytest.fixture
def night(monkeypatch):
    RAN.clear()
    monkeypatch.setattr(module, "FLOWS", {"forecast-subsidence": stand_in})

    def call(*cities):
        plan = [{"request": {"city": city}, "slot": f"slot-{city}"} for city in cities]
        return module.nightly_retrain({"plan": plan}, return_state=True)

    return call


def test_the_plan_of_an_unasked_night_is_the_twin_city():
    (item,) = RetrainRequest().plan
    assert (item.flow, item.slot, item.contract) == ("forecast-subsidence", "subsidence", None)
    assert item.request == SubsidenceRequest()
    assert set(module.FLOWS) == {"forecast-subsidence"}


@pytest.mark.parametrize(
    "item",
    [{"flow": "rm-rf"}, {"flow": "audit-subsidence"}, {"colour": "red"}, {"slot": "../x"}, {"request": {"x": 1}}],
)
def test_an_unknown_wish_is_refused(item):
    with pytest.raises(ValidationError):
        RetrainRequest(plan=[item])


def test_one_failure_does_not_stop_the_others_and_is_named_at_the_end(night):
    state = night("bad", "good")
    assert RAN == ["bad", "good"]
    assert state.name == "Failed"
    error = state.result(raise_on_failure=False)
    assert isinstance(error, ItemsFailedError)
    assert "1 of 2 items failed: found 1. forecast-subsidence for slot-bad: HandshakeError: bad data are bad" in str(
        error
    )
    assert error.exit_code == 1


def test_a_good_night_reports_each_item_and_promotes_nothing(night):
    state = night("one", "two")
    assert state.name == "Completed"
    report = state.result()
    assert [item.run_folder for item in report.items] == ["runs/one", "runs/two"]
    assert not any(item.promoted for item in report.items)
    assert all("nothing was promoted" in item.promotion for item in report.items)


def test_the_dashboard_says_what_happened(night):
    state = night("bad", "good")
    here = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=here)
    (page,) = [one.data for one in artifacts if one.key == "nightly-retrain"]
    assert "1. **forecast-subsidence** for slot `slot-bad`: failed" in page
    assert "2. **forecast-subsidence** for slot `slot-good`: complete" in page
    assert "nothing was promoted" in page


def test_a_signal_ends_the_night():
    def stopped(request):
        raise InterruptedStepError("run was stopped by a signal")

    with pytest.raises(InterruptedStepError):
        attempt(RetrainRequest().plan[0], stopped)


def test_the_end_of_a_good_night_has_all_items():
    def good(request):
        return FlowReport(status="incomplete", flow_run_id="", run_folder="r", metrics={}, artifacts={}, cache={})

    report = conclude([attempt(RetrainRequest().plan[0], good)])
    assert [item.status for item in report.items] == ["incomplete"]
