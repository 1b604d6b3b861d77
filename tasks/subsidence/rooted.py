"""Where a served flow may read and write: paths of a request are placed under the server's two folders, or refused."""

from pathlib import Path

from tasks.store.rooted import data_below, result_below
from tasks.subsidence.request import SubsidenceRequest

DATA_FIELDS = ("stage1_manifest", "data_dir", "config", "config_root", "truth")


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
