"""The checks of the handshake audit: importing this package registers all of them."""

from tasks.subsidence.checks import (  # noqa: F401
    coordinates,
    files,
    heads,
    leakage,
    manifest_checks,
    physics,
    shapes,
    units,
    values,
)
