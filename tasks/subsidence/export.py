"""The artifact family of a run, product by product; a failure of one is recorded and never stops the others.

A plot that cannot be drawn leaves the run complete; a table, document or payload that cannot be written does not.
Only a full disk ends the export at once. Names carry no clock time; the run folder adds it.
"""

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.errors import StagegateError, StorageFullError
from tasks.subsidence.products.export_inputs import ExportInputs
from tasks.subsidence.products.export_products import PRODUCTS, Product
from tasks.subsidence.products.inspection import inspect
from tasks.subsidence.products.metrics_document import flat_metrics
from tasks.subsidence.products.payload import json_bytes
from tasks.subsidence.products.run_documents import run_manifest, training_summary

log = logging.getLogger(__name__)
EXPECTED = (StagegateError, OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, ImportError)
Tell = Callable[[float, str], None]


@dataclass
class Exported:
    """What was written, what was not, and whether that makes the run incomplete."""

    files: dict[str, Path] = field(default_factory=dict)  # public file name -> path in the scratch folder
    keys: dict[str, str] = field(default_factory=dict)  # product key -> file name; further files under <key>_<suffix>
    missing: dict[str, str] = field(default_factory=dict)  # product key -> reason
    not_applicable: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    metrics: dict[str, float | None] = field(default_factory=dict)
    inspection: list[dict[str, str]] = field(default_factory=list)

    def fail(self, product: Product, reason: str) -> None:
        """Record a product that could not be made."""
        self.missing[product.key] = reason
        self.complete = self.complete and product.kind == "plot"


def silent(share: float, line: str) -> None:
    """Tells nobody."""


def export_products(
    inputs: ExportInputs, folder: Path, *, tell: Tell = silent, products: tuple[Product, ...] = PRODUCTS
) -> Exported:
    """Write every product into `folder`; StorageFullError when the disk is full, everything else is recorded."""
    done = Exported()
    for place, product in enumerate(products):
        tell(place / (len(products) + 3), product.key)
        _produce(product, inputs, folder, done)
    for product in _closing(inputs, done):
        _produce(product, inputs, folder, done)
    tell(1.0, f"{len(done.files)} files, {len(done.missing)} missing")
    return done


def _closing(inputs: ExportInputs, done: Exported) -> tuple[Product, ...]:
    """Documents that describe what the products before them have become; the run manifest is the last."""
    return (
        Product("flat_metrics", "data", lambda _: _take_metrics(inputs, done)),
        Product("training_summary", "data", lambda _: _summary(inputs, done)),
        Product("run_manifest", "data", lambda _: _manifest(inputs, done)),
    )


def _take_metrics(inputs: ExportInputs, done: Exported) -> dict[str, bytes]:
    done.metrics = flat_metrics(inputs)
    return {}


def _summary(inputs: ExportInputs, done: Exported) -> dict[str, bytes]:
    done.inspection = inspect(inputs, done.keys)
    name = f"{inputs.prefix}_training_summary.json"
    return {name: json_bytes(training_summary(inputs, done.inspection))}


def _manifest(inputs: ExportInputs, done: Exported) -> dict[str, bytes]:
    document = run_manifest(
        inputs,
        files=done.keys,
        missing=done.missing,
        not_applicable=done.not_applicable,
        complete=done.complete,
    )
    return {f"{inputs.prefix}_run_manifest.json": json_bytes(document)}


def _produce(product: Product, inputs: ExportInputs, folder: Path, done: Exported) -> None:
    try:
        reason = product.unless(inputs)
        if reason is not None:
            done.not_applicable[product.key] = reason
            return
        written = {name: _write(folder, name, data) for name, data in product.make(inputs).items()}
        done.files.update(written)
        done.keys.update(_keyed(product.key, written))
    except StorageFullError:
        raise
    except EXPECTED as error:
        log.warning("product %s was not written", product.key, exc_info=True)
        done.fail(product, _reason(error, folder))


def _keyed(key: str, written: dict[str, Path]) -> dict[str, str]:
    named = {key if place == 0 else f"{key}_{name.rpartition('.')[2]}": name for place, name in enumerate(written)}
    return named


def _write(folder: Path, name: str, data: bytes) -> Path:
    """Write one file under a temporary name first, so that no half file carries a public name."""
    part, path = folder / f".{name}.part", folder / name
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"no space left for {name}",
                where="export",
                found=error.strerror,
                remedy="Free space and run the same command again; finished steps are cached.",
            ) from error
        raise
    return path


def _reason(error: BaseException, folder: Path) -> str:
    """One sentence without any path of this machine."""
    if isinstance(error, OSError) and error.strerror:
        named = Path(str(error.filename)).name if error.filename else ""
        return f"{type(error).__name__}: {error.strerror} {named}".rstrip()
    return f"{type(error).__name__}: {error}".replace(str(folder), "").strip()


def summary_lines(done: Exported) -> list[str]:
    """What a person reads at the end of the export."""
    lines = [f"{answer['question']} {answer['answer']}: {answer['evidence']}" for answer in done.inspection]
    return lines + [f"not written: {key}: {reason}" for key, reason in sorted(done.missing.items())]
