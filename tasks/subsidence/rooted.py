"""Where a served flow may read and write: paths of a request are placed under the server's two folders, or refused."""

from pathlib import Path

from tasks.contracts.errors import ConfigError, UnsafePathError
from tasks.subsidence.request import SubsidenceRequest

DATA_FIELDS = ("stage1_manifest", "data_dir", "config", "config_root", "truth")
REMOTE = ("s3://", "s3a://")


def rooted(request: SubsidenceRequest, data_root: Path | None, results: Path | None) -> SubsidenceRequest:
    """The request with data below `data_root` and `out` below `results`; None: that part stays as it is.

    Raises UnsafePathError for data elsewhere, ConfigError for an output elsewhere.
    """
    given = {name: getattr(request, name) for name in DATA_FIELDS if data_root is not None}
    data = {
        name: data_below(text, data_root, remote=name == "stage1_manifest")
        for name, text in given.items()
        if text is not None
    }
    out = {} if results is None else {"out": result_below(request.out, results, "out")}
    return request.model_copy(update=data | out)


def data_below(text: str, data_root: Path, *, remote: bool = True) -> str:
    """A path, relative ones below the data root, or where `remote` an s3:// URL as it is. Raises UnsafePathError."""
    place = text.removeprefix("file://")
    if remote and place.startswith(REMOTE) and "::" not in place:
        return text
    if "://" in place or "::" in place:
        expected = f"a path below {data_root}" + (", or s3://" if remote else " (only a manifest may be a URL)")
        raise UnsafePathError("is no place to read from", where=text, expected=expected)
    return str(allowed(data_root.absolute() / place, data_root))


def result_below(text: str, results: Path, field: str) -> str:
    """A path, relative ones below the folder of results. Raises ConfigError."""
    path = results.absolute() / text
    if "://" in text or not path.resolve().is_relative_to(results.resolve()):
        raise ConfigError(
            f"{field} lies outside the folder of results",
            found=text,
            expected=f"below {results}",
            remedy="Leave it out, or name a folder relative to it.",
        )
    return str(path)


def allowed(path: Path, data_root: Path | None) -> Path:
    """The path, if the data root (when set) holds it. Raises UnsafePathError."""
    if data_root is not None and not path.resolve().is_relative_to(data_root.resolve()):
        raise UnsafePathError(
            "path lies outside the data root",
            where=str(path),
            expected=f"below {data_root}",
            remedy="Move the data there, or pass an s3:// URL.",
        )
    return path
