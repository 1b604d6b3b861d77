"""Where the time of an almost empty step goes that runs in the container of a work pool.

Needs a running `stagegate serve` with Docker, images of this revision and the Prefect profile that serve writes, and
refuses otherwise. The step reads one small manifest; its record is forgotten before each round, so that it runs again.
With --flow the whole subsidence flow on the twin runs through the pools twice, and the second, cached run is timed from
its first to its last step. Goals: at most 10 s a step (median), at most 3 s for the cached run. With --engine process
in serve there is no container: its row is then zero, and the goals do not apply.

    PREFECT_PROFILE=stagegate python -m benchmarks.dispatch_overhead --store STORE [--rounds 5] [--flow]
"""

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from tasks.cli import environment

STEP_GOAL_S = 10.0
CACHED_GOAL_S = 3.0
PARTS = (
    "ask: task run, deployment, flow run",
    "wait for the worker's poll",
    "container: create and start",
    "Python, Prefect, flow code",
    "digests of code and packages, answer",
    "body of the step",
    "parent's poll, answer read, record",
)


def main() -> None:
    options = _options()
    environment.set_defaults()
    _refuse_without_pools()
    from tasks.orchestration.run import Run
    from tasks.orchestration.settings import PlatformSettings

    settings = PlatformSettings(store=options.store, executor="pools")
    _report(_rounds(Run(settings, ""), options.rounds))
    if options.flow:
        with tempfile.TemporaryDirectory() as out:
            cold, warm = (_forecast(Run(settings, ""), out) for _ in range(2))
        print(f"subsidence flow on the twin through the pools: first run {cold:.2f} s, cached run {warm:.2f} s")
        print(f"goal <= {CACHED_GOAL_S:.0f} s: {'reached' if warm <= CACHED_GOAL_S else 'missed'}")


def _refuse_without_pools() -> None:
    import httpx
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        sys.exit("not run: no Prefect server is named. Start `stagegate serve`, then set PREFECT_PROFILE=stagegate.")
    from tasks.contracts.errors import StagegateError
    from tasks.orchestration.pools import place_in_pool

    try:
        print(f"steps run in: run-step/{place_in_pool('cpu', 'none')}")
    except (StagegateError, httpx.HTTPError) as error:
        sys.exit(f"not run: {PREFECT_API_URL.value()}: {error}")


def _rounds(run, rounds: int) -> list[dict[str, float]]:
    from prefect import flow

    from tasks.orchestration.run import prepared
    from tasks.steps.load_manifest import load_manifest
    from tasks.steps.simulate import simulate_subsidence
    from tasks.subsidence.twin import TwinRequest

    @flow(name="dispatch-overhead")
    def race() -> list[dict[str, float]]:
        handoff = simulate_subsidence(TwinRequest(points=200)).handoff
        load_manifest(handoff)
        return [_round(run, load_manifest, handoff) for _ in range(rounds)]

    with prepared(run):
        return race()


def _round(run, step, handoff) -> dict[str, float]:
    from tasks.store.telemetry import load_telemetry

    key = run.steps[-1].key
    run.records.forget(key)
    began = time.time()
    step(handoff)
    ended = time.time()
    assert run.steps[-1].status == "ran", "the step was cached"
    states, started = _moments(began, ended)
    body = load_telemetry(run.store, key).get("seconds", 0.0)
    moments = (began, states["Scheduled"], states["Pending"], started, states["Running"], states["Completed"], ended)
    spans = [later - earlier for earlier, later in itertools.pairwise(moments)]
    return dict(zip(PARTS, (*spans[:4], spans[4] - body, body, spans[5]))) | {"whole step": ended - began}


def _moments(began: float, ended: float) -> tuple[dict[str, float], float]:
    """Unix times: first state of each kind of the newest `run-step` run, and the start of its container."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        flow_filter = FlowFilter(name=FlowFilterName(any_=["run-step"]))
        newest = client.read_flow_runs(flow_filter=flow_filter, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        states = sorted(client.read_flow_run_states(newest.id), key=lambda state: state.timestamp, reverse=True)
    by_kind = {state.type.value.title(): state.timestamp.timestamp() for state in states}
    return by_kind, _container_start(str(newest.id), began, ended) or by_kind["Pending"]


def _container_start(flow_run_id: str, began: float, ended: float) -> float | None:
    command = ["docker", "events", f"--since={began:.3f}", f"--until={ended:.3f}", "--format={{json .}}"]
    command += ["--filter=event=start", f"--filter=label=io.prefect.flow-run-id={flow_run_id}"]
    if shutil.which("docker") is None:
        return None
    said = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return json.loads(said[0])["timeNano"] / 1e9 if said else None


def _forecast(run, out: str) -> float:
    from flows.forecast_subsidence import forecast_subsidence
    from tasks.orchestration.run import prepared
    from tasks.subsidence.request import SubsidenceRequest

    with prepared(run):
        forecast_subsidence(SubsidenceRequest(out=out))
    return run.span_s()


def _report(rounds: list[dict[str, float]]) -> None:
    print(f"{'seconds':38} {'median':>7} {'min':>7} {'max':>7}   ({len(rounds)} rounds)")
    for part in rounds[0]:
        seconds = [each[part] for each in rounds]
        print(f"{part:38} {statistics.median(seconds):7.2f} {min(seconds):7.2f} {max(seconds):7.2f}")
    whole = statistics.median(each["whole step"] for each in rounds)
    print(f"goal <= {STEP_GOAL_S:.0f} s: {'reached' if whole <= STEP_GOAL_S else 'missed'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", required=True, help="the store of the running serve")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flow", action="store_true", help="run the whole subsidence flow through the pools, twice")
    return parser.parse_args()


if __name__ == "__main__":
    main()
