"""The one JSON object that ends the output of every command asked for `--json`, and texts without passwords."""

import json
import re
from typing import Any

from tasks.contracts.errors import StagegateError

EXIT_INTERNAL = 4
STATUS_OF_CODE = {2: "refused", 3: "stopped"}
_USER_INFO = re.compile(r"(://[^\s/:@]*):[^\s/]*@")


def answer(status: str, **fields: Any) -> dict[str, Any]:
    """The fields that every command answers with, and those of this one."""
    return {
        "status": status,
        "flow_run_id": "",
        "run_folder": None,
        "metrics": {},
        "artifacts": {},
        "cache": {"hits": 0, "misses": 0, "steps": 0},
        "warnings": [],
        "error": None,
    } | fields


def failure(error: BaseException, run: Any = None) -> dict[str, Any]:
    """The answer of a command that ended with an error; `run` as far as it got."""
    known = {} if run is None else _so_far(run)
    named = {"class": type(error).__name__, "message": without_passwords(str(error))}
    return answer(STATUS_OF_CODE.get(exit_code(error), "failed"), **known, error=named)


def exit_code(error: BaseException) -> int:
    """That of a typed error; everything else is an internal one."""
    return error.exit_code if isinstance(error, StagegateError) else EXIT_INTERNAL


def print_answer(document: dict[str, Any]) -> None:
    """One line on stdout."""
    print(json.dumps(document), flush=True)


def without_passwords(text: str) -> str:
    """The text with the password of every URL in it masked: s3://user:***@host."""
    return _USER_INFO.sub(r"\1:***@", text)


def _so_far(run: Any) -> dict[str, Any]:
    return {
        "flow_run_id": run.flow_run_id,
        "run_folder": str(run.folder.path) if run.folder else None,
        "cache": run.cache_counts(),
        "warnings": list(run.warnings),
    }
