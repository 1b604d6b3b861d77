"""The ownership table: who owns each setting, and how a live name is looked up in it."""

from fnmatch import fnmatchcase

from tasks.subsidence.settings.key import Key, unknown_name
from tasks.subsidence.settings.live import LIVE
from tasks.subsidence.settings.shared import ALIASES, MANIFEST_OWNED, MERGED, MUST_AGREE, STAGE1_ONLY, STAGE1_PATTERNS

OWNERSHIP: dict[str, Key] = {key.name: key for key in (*MANIFEST_OWNED, *MUST_AGREE, *LIVE, *MERGED, *STAGE1_ONLY)}


def owner_of(name: str, *, where: str = "") -> Key:
    """The row of a live key; ConfigError with the nearest known names where there is none."""
    row = OWNERSHIP.get(ALIASES.get(name, name))
    if row is not None and name not in STAGE1_PATTERNS:
        return row
    for pattern in STAGE1_PATTERNS:
        if fnmatchcase(name, pattern):
            return OWNERSHIP[pattern]
    raise unknown_name(name, [*(known for known in OWNERSHIP if "*" not in known), *ALIASES], where)
