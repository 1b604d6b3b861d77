"""Runs inside a container and prints what it finds about itself, as one JSON object."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

POOL = os.environ["POOL"]
BUILD_TOOLS = ("cc", "gcc", "g++", "clang", "ld", "make", "pip", "pip3")
LEFT_BEHIND = ("/wheels", "/app", "/opt/pip", "/opt/framework", "/opt/project", "/root/.cache", "/tmp/cache/pip")


def status() -> dict[str, str]:
    """Capabilities and privileges of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}


def refusal(path: str) -> str:
    """Why a file cannot be written; nothing where it can."""
    try:
        Path(path).write_text("")
    except OSError as error:
        return error.strerror
    return ""


def wheels() -> list[str]:
    """Archives of packages; those of the base's own venv module lie elsewhere."""
    found = (os.path.join(folder, name) for folder, _, names in os.walk("/opt") for name in names)
    return [path for path in found if path.endswith(".whl")]


def codes() -> dict[str, str]:
    """For each step of the pool that this image serves, the digest of its code."""
    from tasks.orchestration.catalogue import steps
    from tasks.orchestration.code_digest import code_digest

    return {name: code_digest(step.function) for name, step in steps().items() if step.pool == POOL}


def tree() -> str:
    """Digest of the files of both packages, as installed here."""
    from tasks.orchestration.serving.sources import tree_code

    return tree_code()


print(
    json.dumps(
        {
            "ids": [os.getuid(), os.getgid(), *os.getgroups()],
            "status": status(),
            "folder": [str(Path.cwd()), os.listdir()],
            "refusals": {path: refusal(path) for path in ("/x", "/opt/work/x", "/opt/venv/x", "/etc/x")},
            "refused_tmp": refusal("/tmp/x"),
            "interfaces": os.listdir("/sys/class/net"),
            "importable": [name for name in ("tensorflow", "keras", "torch", "s3fs") if importlib.util.find_spec(name)],
            "tools": [tool for tool in BUILD_TOOLS if shutil.which(tool)],
            "left": [path for path in LEFT_BEHIND if os.path.exists(path)] + wheels(),
            "codes": codes(),
            "tree": tree(),
        }
    )
)
