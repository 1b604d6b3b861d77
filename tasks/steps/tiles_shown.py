"""What the dashboard shows of a run over tiles: summary, scores, counts, audit, lineage, pictures."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.contracts.report import FlowReport
from tasks.orchestration import ui
from tasks.orchestration.run import Run
from tasks.tiles.flow.numbers import NONE, duration, rate, share, shown
from tasks.tiles.flow.page_rows import METHODS, target_text
from tasks.tiles.flow.page_words import LABELS, headline, oracle_sentence, reservations
from tasks.tiles.flow.types import Judged, TileCheck, TilesAudit
from tasks.tiles.quality_terms import BASELINES
from tasks.tiles.summary import Summary, last_line

SCORED = ("ndvi_rmse", "edge_correlation", "psnr_db")
WORDS = {"pass": "passed", "warn": "warning", "fail": "failed", "skipped": "not checked"}
ORDER = {"fail": 0, "warn": 1, "skipped": 2}
SHOWN_PICTURES, SHOWN_FAILURES = 3, 10
MARKUP = re.compile(r"([\\`*_\[\]#|~])")


def show_audit(audit: TilesAudit, name: str) -> None:
    """The table of all that the audit did not simply pass."""
    ui.show_table(f"audit-{name}", audit_rows(audit.checks), audit_line(audit.checks))


def show_run(
    run: Run,
    summary: Summary,
    judged: Judged,
    audit: TilesAudit,
    report: FlowReport,
    page: Path,
    pictures: Mapping[str, bytes],
) -> None:
    """Everything at the end of a run; `pictures` are PNG by name."""
    name, link = run.label(), run.settings.link_to(page)
    quality = run.store.get_json(judged.quality)
    verdict = headline(summary, quality).title
    ui.show_markdown(
        f"summary-{name}", page_text(name, report, summary, quality, judged.metrics, audit, link), "Summary"
    )
    ui.show_table(f"scores-{name}", score_rows(judged.metrics), f"Medians over {quality['tiles']} tiles")
    ui.show_table(f"counts-{name}", count_rows(summary, quality, verdict, link, page, pictures), last_line(summary))
    ui.show_table(f"lineage-{name}", ui.lineage_rows(run.steps), "What each step read and made")
    for key, png in islice(pictures.items(), SHOWN_PICTURES):
        ui.show_image(f"quicklook-{Path(key).stem}-{name}", png, f"Before, after, difference: {Path(key).stem}")
    ui.show_link(f"report-{name}", link, "Open the report")
    ui.log(f"{report.status}: {verdict}; {steps_line(report.cache)}; report {link}")


def page_text(
    name: str,
    report: FlowReport,
    summary: Summary,
    quality: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    audit: TilesAudit,
    link: str,
) -> str:
    """The first page that a person opens: what came out, whether to trust it, where the rest is."""
    found, said = headline(summary, quality), reservations(summary, quality)
    failed = [f"{plain(tile)}: {plain(message)}" for tile, message in report.missing.items()]
    rest = summary.failed - min(len(failed), SHOWN_FAILURES)
    more = [f"{rest} more in the report and in .stagegate/errors.jsonl"] if rest > 0 else []
    parts = [
        f"# {'⛔ ' if found.tone == 'bad' else ''}{found.title}",
        plain(found.sentence),
        f"[Open the report]({link}) · {plain(name)}: {report.status} · {steps_line(report.cache)}",
        f"{last_line(summary)}. Output folder `{report.run_folder}`",
        "## Medians" if quality["tiles"] else "",
        _scores(metrics) if quality["tiles"] else "",
        f"Reference: {plain(oracle_sentence(quality))}." if quality["tiles"] else "",
        _section("What to trust", said.trust),
        _section("What not to trust", said.doubt),
        _section("Failed tiles", [], [*failed[:SHOWN_FAILURES], *more] if failed else []),
        _section("Warnings", list(report.warnings)),
        _section(audit_line(audit.checks), [each.message for each in audit.checks if each.status in ("warn", "fail")]),
    ]
    return "\n\n".join(part for part in parts if part)


def score_rows(metrics: Mapping[str, float | None]) -> list[dict[str, str]]:
    """The model beside the input itself and a filter, by their medians, and what they should reach."""
    names = [name for name in SCORED if name in metrics]
    model = {"method": METHODS["refined"]} | {LABELS[name]: shown(name, metrics[name]) for name in names}
    identical = LABELS["share_bit_identical"]
    rows = [model | {identical: share(metrics.get("share_bit_identical"))}]
    for baseline in BASELINES:
        cells = {LABELS[name]: shown(name, metrics.get(f"baselines.{baseline}.{name}")) for name in names}
        rows.append({"method": METHODS[baseline], **cells, identical: "100 %" if baseline == "identity" else NONE})
    targets = {LABELS[name]: target_text(name) for name in names}
    return [*rows, {"method": "target", **targets, identical: NONE}]


def count_rows(
    summary: Summary, quality: Mapping[str, Any], verdict: str, link: str, page: Path, pictures: Iterable[str]
) -> list[dict[str, str]]:
    """Counts, throughput end to end, what really ran, quality, and where the pictures are."""
    counts = {name.replace("_", " "): str(getattr(summary, name)) for name in ("found", "done", "resumed", "failed")}
    counts |= {"empty": str(summary.empty), "not run": str(summary.not_run)}
    shots = [str(page.parent / ".stagegate" / "quicklook" / name) for name in pictures]
    rows = counts | {
        "throughput with reading and writing": rate(summary.tiles_per_s),
        "time": duration(summary.seconds),
        "device": ", ".join(summary.device) or "nothing was computed",
        "precision": ", ".join(summary.precision) or "nothing was computed",
        "workers": str(summary.workers),
        "batches halved": str(summary.batch_halvings),
        "fallbacks to the CPU": str(summary.cpu_fallbacks),
        "out of memory": str(len(summary.oom_events)),
        "workers that died": str(summary.worker_restarts),
        "tiles without month or biome": str(summary.defaults_used),
        "quality": f"{verdict} ({quality['verdict']})",
        "reference": oracle_sentence(quality),
        "report": link,
    }
    rows |= {f"quicklook {number}": shot for number, shot in enumerate(shots[:SHOWN_PICTURES], 1)}
    return [{"what": what, "value": value} for what, value in rows.items()]


def steps_line(cache: Mapping[str, int]) -> str:
    """How much of a run was work: `14 steps, 3 from the cache`."""
    return f"{cache['steps']} steps, {cache['hits'] or 'none'} from the cache"


def audit_line(checks: Sequence[TileCheck]) -> str:
    """The verdict, short enough for a card: `Audit: 2 warnings in 6 checks`."""
    count = Counter(check.status for check in checks)
    found = [f"{count['fail']} failed"] if count["fail"] else []
    found += [f"{count['warn']} warning{'s' if count['warn'] > 1 else ''}"] if count["warn"] else []
    return f"Audit: {', '.join(found) or 'all passed'} in {len(checks)} checks"


def audit_rows(checks: Sequence[TileCheck]) -> list[dict[str, str]]:
    """One row for each check that did not pass, failures first; one row in all where every check passed."""
    seen = sorted((check for check in checks if check.status != "pass"), key=lambda check: ORDER[check.status])
    rows = [
        {
            "check": check.id,
            "result": WORDS[check.status],
            "where": check.where or "-",
            "found": check.found or "-",
            "expected": check.expected or "-",
            "what to do": check.remedy or "-",
            "message": check.message,
        }
        for check in seen
    ]
    return rows or [{"check": "all", "result": "passed", "message": f"{len(checks)} checks, nothing found"}]


def plain(text: str) -> str:
    """Text of a user's files inside Markdown: one line, no markup, no HTML."""
    escaped = MARKUP.sub(r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _scores(metrics: Mapping[str, float | None]) -> str:
    model, *others = score_rows(metrics)
    return ui.markdown_table([model | {"method": f"**{model['method']}**"}, *others])


def _section(title: str, lines: Sequence[str], ready: Sequence[str] = ()) -> str:
    """`lines` are plain text; `ready` ones are Markdown."""
    lines = [*map(plain, lines), *ready]
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""
