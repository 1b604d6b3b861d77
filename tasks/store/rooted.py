"""Where a served flow may read and write: below the server's two folders, or nowhere."""

from pathlib import Path

from tasks.contracts.errors import ConfigError, UnsafePathError

REMOTE = ("s3://", "s3a://")


def data_below(text: str, data_root: Path, *, remote: bool = True) -> str:
    """A path, relative ones below the data root, or where `remote` an s3:// URL as it is. Raises UnsafePathError."""
    place = text.removeprefix("file://")
    if remote and place.startswith(REMOTE) and "::" not in place:
        return text
    if "://" in place or "::" in place:
        expected = f"a path below {data_root}" + (", or s3://" if remote else " (this may be no URL)")
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
