"""Two steps over the store of the environment: `python -m tests.engines.cached_flow TEXT` prints keys and statuses."""

import json
import sys

from prefect import flow

from tasks.contracts.refs import ArtifactRef
from tasks.orchestration.run import Run, prepared
from tasks.orchestration.settings import read_settings
from tests.orchestration.sample_steps import count, upper


@flow(name="two-steps-anywhere")
def two_steps(source: ArtifactRef):
    """Upper-case a text, then count it."""
    return count(upper(source, 2))


def main() -> None:
    """Run once."""
    run = Run(read_settings(), "")
    source = run.store.put_bytes(sys.argv[1].encode(), name="source.txt")
    with prepared(run):
        output = two_steps(source)
    steps = [[step.step, step.status, step.key] for step in run.steps]
    print(json.dumps({"steps": steps, "output": run.store.get_bytes(output.ref).decode()}))


if __name__ == "__main__":
    main()
