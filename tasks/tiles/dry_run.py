"""What a run would do, without doing it."""

from collections import Counter
from pathlib import Path
from typing import Any

from tasks.tiles.folder_run import FolderRun, job_of
from tasks.tiles.listing import list_inputs
from tasks.tiles.plan import make_plan
from tasks.tiles.resume import find
from tasks.tiles.survey import survey
from tasks.tiles.which_model import which_model


def dry_run(run: FolderRun) -> dict[str, Any]:
    """Counts, buckets, and what would be skipped or computed and why; the output folder is not touched."""
    listing = list_inputs(run.input_dir, run.recursive)
    model = which_model(Path(run.checkpoint), run.checkpoint_sha256)
    headers, failed = survey(listing.tiles, model.num_frames)
    plan = make_plan(headers, model.patch, run.batch_size, run.shard_size)
    job = job_of(run, model)
    findings = [find(Path(run.output_dir), tile, job.facts) for tile in headers] if run.skip_existing else []
    resumed = sum(finding.record is not None for finding in findings)
    return {
        "found": len(listing.tiles),
        "failed": len(failed),
        "resumed": resumed,
        "to_do": len(headers) - resumed,
        "reasons": dict(Counter(finding.reason for finding in findings if finding.record is None)),
        "buckets": plan.bucket_names,
        "shards": len(plan.shards),
    }
