"""Optional packages: their absence is told with the command that installs them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.contracts.errors import DependencyError

EXTRAS = {"torch": "torch", "safetensors": "torch", "rasterio": "geo", "xarray": "geo", "h5netcdf": "geo"}


@contextmanager
def installed() -> Iterator[None]:
    """Raise DependencyError where the block fails because an optional package is absent."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise absent(error.name) from error


def absent(package: str) -> DependencyError:
    """What to say of an optional package that is not there."""
    remedy = f"pip install 'stagegate[{EXTRAS[package]}]'"
    return DependencyError("is not installed", where=f"package {package}", remedy=remedy)
