"""The two uncached ends of the subsidence flows: paths become references, references become a run folder."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.contracts.refs import ArtifactRef
from tasks.contracts.report import ExportedFile, FlowReport
from tasks.orchestration import ui
from tasks.orchestration.dispatch import place_of
from tasks.orchestration.run import Pending, Run, current_run
from tasks.orchestration.run_folder import RunFolder
from tasks.registry.entries import bind, find
from tasks.steps.subsidence_shown import show_audit, show_brief, show_run
from tasks.store.rooted import result_below
from tasks.store.telemetry import load_telemetry
from tasks.subsidence import ingest as subsidence_ingest
from tasks.subsidence.config import last_value
from tasks.subsidence.finish import UNKNOWN_DEVICE, Facts, brief_page, finished, first_stamp, in_order, report_page
from tasks.subsidence.forecast import file_stem
from tasks.subsidence.handshake import refuse
from tasks.subsidence.ingest import Given
from tasks.subsidence.products.payload import json_bytes
from tasks.subsidence.request import REQUEST_FILE, SubsidenceRequest, continued, portable
from tasks.subsidence.rooted import rooted
from tasks.subsidence.settings.audit_detail import detail
from tasks.subsidence.types import (
    Audit,
    Handoff,
    LiveConfig,
    Products,
    Registered,
    Scaled,
    Settings,
    Transferred,
    Verdict,
)

CANDIDATES_FILE = "stage1_candidates.json"
REPORT_FILE = "report.html"
GPU_POOL = "cuda-tf"  # of the steps that would use one


def resumed(request: SubsidenceRequest) -> SubsidenceRequest:
    """The request itself, or the one that the run folder to resume was started with."""
    if request.resume is None:
        return request
    results = current_run().settings.results
    folder = request.resume if results is None else result_below(request.resume, results, "resume")
    again = continued(request.model_copy(update={"resume": folder}))
    current_run().folder = RunFolder(Path(folder))
    return again


def ingest(request: SubsidenceRequest) -> Given:
    """Everything the request names, in the store."""
    run = current_run()
    run.accelerator = request.accelerator
    given = subsidence_ingest.ingest(_placed(request), run.store, run.settings.data_root)
    run.warnings += given.search.warnings() if given.search else []
    return given


def warm_start(request: SubsidenceRequest) -> ArtifactRef | None:
    """Weights of the registry entry to start from. Refuses early what could not be trained here at all."""
    _find_device(request)
    return None if request.init_from is None else find(request.init_from, current_run().store).blobs["weights"]


def registered_blobs(request: SubsidenceRequest) -> dict[str, ArtifactRef]:
    """What the registry entry named in the request is made of. Raises ConfigError where none is named."""
    _find_device(request)
    if request.init_from is None:
        raise ConfigError(
            "no registered model is named", where="--from", remedy="Pass the artifact hash that a run has printed."
        )
    return find(request.init_from, current_run().store).blobs


def _find_device(request: SubsidenceRequest) -> None:
    """Raises ConfigError where a required GPU is missing: now, and not after the steps that need none."""
    run = current_run()
    run.accelerator = request.accelerator
    if request.accelerator == "required":
        place_of(GPU_POOL, run)


def accept(audit: Audit, handoff: Handoff, request: SubsidenceRequest, given: Given) -> Audit:
    """Open the run folder, leave the audit in it, show it, and refuse a handoff that failed.

    The detail that AUDIT_STAGES asks for is told here and not in the audit step, which stays silent when it is cached.
    """
    if isinstance(audit, Pending):
        return audit
    run = current_run()
    ui.say(detail(audit.checks, last_value(given.live, "AUDIT_STAGES")))
    if not run.dry:
        _open_folder(run, _placed(request), handoff, flavour(request, given.live))
        if given.search is not None:
            run.folder.put(CANDIDATES_FILE, json_bytes(given.search.model_dump(mode="json")))
        facts = Facts.now(run.folder.path)
        run.folder.put(
            "stage2_handshake_audit.json",
            finished("stage2_handshake_audit.json", run.store.get_bytes(audit.report), facts),
        )
        show_audit(audit, handoff.city)
    refuse(audit.checks)
    return audit


def publish(
    request: SubsidenceRequest,
    handoff: Handoff,
    audit: Audit,
    products: Products,
    verdict: Verdict,
    registered: Registered,
) -> FlowReport | Pending:
    """The name in the registry, the run folder with its report, and what the dashboard shows."""
    run = current_run()
    if run.dry:
        return Pending("publish")
    if registered.entry is not None:
        bind(registered.entry, run.store)
    facts = _facts(run)
    files = _all_files(products, verdict, registered)
    for name in in_order(list(files)):
        run.folder.put(facts.renamed(name), finished(name, run.store.get_bytes(files[name]), facts))
    page = report_page(run.folder.path, run.folder.written, products.keys, run.steps, facts, run.warnings)
    run.folder.put(REPORT_FILE, page.encode())
    report = _report(run, audit, products, verdict, registered)
    show_run(run, handoff.city, audit, report, products, run.folder.path / REPORT_FILE)
    return report


def publish_transfer(audit: Audit, transferred: Transferred) -> FlowReport | Pending:
    """The run folder of a registered model on another handoff."""
    run = current_run()
    if run.dry:
        return Pending("publish")
    for name, ref in transferred.files.items():
        run.folder.put_ref(name, ref, run.store)
    run.warnings.append(f"trained on {transferred.trained_on}: intervals are calibrated there, not here")
    return _brief_report(run, audit, "Forecast of a registered model", transferred.metrics)


def publish_audit(audit: Audit, settings: Settings, scaled: Scaled) -> FlowReport | Pending:
    """The end of an audit without training: configuration and scaling beside the audit."""
    run = current_run()
    if run.dry:
        return Pending("publish")
    run.folder.put_ref("config_resolved.json", settings.report, run.store)
    run.folder.put_ref("scaling_kwargs.json", scaled.public, run.store)
    return _brief_report(run, audit, "Audit of a Stage-1 handoff", {})


def _brief_report(run: Run, audit: Audit, kicker: str, metrics: dict[str, float | None]) -> FlowReport:
    """The end of a run that trained nothing, with its page."""
    facts = Facts.now(run.folder.path, flow_run=run.label())
    written = run.folder.written
    page = brief_page(run.folder.path, written, run.steps, facts, kicker=kicker, notes=run.warnings, metrics=metrics)
    run.folder.put(REPORT_FILE, page.encode())
    report = FlowReport(
        status="complete",
        flow_run_id=run.flow_run_id,
        run_folder=str(run.folder.path),
        metrics=metrics,
        artifacts=_exported(run.folder),
        cache=run.cache_counts(),
        warnings=_warnings(audit, run),
    )
    show_brief(run, kicker, audit, report, run.folder.path / REPORT_FILE)
    return report


def _placed(request: SubsidenceRequest) -> SubsidenceRequest:
    """The request with its paths where the settings allow them."""
    settings = current_run().settings
    return rooted(request, settings.data_root, settings.results)


def _open_folder(run: Run, request: SubsidenceRequest, handoff: Handoff, model: str) -> None:
    if run.folder is None:
        asked = request.model_dump_json() + handoff.ingested.manifest.digest
        name = f"train_{datetime.now():%Y%m%d-%H%M%S}_{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
        run.folder = RunFolder.new(Path(request.out) / file_stem(handoff.city) / file_stem(model), name)
    run.folder.put(REQUEST_FILE, json.dumps(portable(request, run.folder.path), indent=2, sort_keys=True).encode())


def flavour(request: SubsidenceRequest, live: LiveConfig) -> str:
    """The model that was asked for: by the request, else by the last layer that names one, else the default."""
    return request.model or last_value(live, "MODEL_NAME")


def _facts(run: Run) -> Facts:
    train = next((step for step in run.steps if step.step == "train-subsidence"), None)
    telemetry = load_telemetry(run.store, train.key) if train else {}
    device = telemetry.get("device", UNKNOWN_DEVICE)
    facts = Facts.now(run.folder.path, epochs=telemetry.get("train", []), flow_run=run.label(), device=device)
    return replace(facts, written=run.folder.written, stamp=first_stamp(run.folder.path))


def _all_files(products: Products, verdict: Verdict, registered: Registered) -> dict[str, ArtifactRef]:
    more = {"oracle_evaluation.json": verdict.report}
    if registered.entry is not None:
        more["registry_entry.json"] = registered.entry
    return {**products.files, **more}


def _report(run: Run, audit: Audit, products: Products, verdict: Verdict, registered: Registered) -> FlowReport:
    warnings = list(_warnings(audit, run))
    if registered.entry is None:
        warnings.append(f"not registered: {registered.reason}")
    return FlowReport(
        status="complete" if products.complete else "incomplete",
        flow_run_id=run.flow_run_id,
        run_folder=str(run.folder.path),
        metrics={**products.metrics, **verdict.metrics},
        artifacts=_exported(run.folder),
        cache=run.cache_counts(),
        warnings=tuple(warnings),
        missing=products.missing,
    )


def _warnings(audit: Audit, run: Run) -> tuple[str, ...]:
    return (*(check.message for check in audit.checks if check.status == "warn"), *run.warnings)


def _exported(folder: RunFolder) -> dict[str, ExportedFile]:
    return {
        name: ExportedFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in sorted(folder.written.items())
    }
