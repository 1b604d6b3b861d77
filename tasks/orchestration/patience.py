"""Calls to a Prefect server that may be restarting: asked again for a while before the flow gives up."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from tasks.contracts.errors import PoolError

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 2.0
GIVE_UP_AFTER_S = 180.0
SERVER_ERROR = 500

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """What a call returns that may be made twice. Raises PoolError where the server stays away."""
    end = time.monotonic() + GIVE_UP_AFTER_S
    while True:
        try:
            return call()
        except httpx.HTTPError as error:
            if not away(error):
                raise
            if time.monotonic() > end:
                remedy = "Run the same again when it is back; finished steps are cached."
                raise PoolError("does not answer", where="Prefect server", found=error, remedy=remedy) from error
            log.warning("Prefect server does not answer (%s); asking again", type(error).__name__)
            time.sleep(AGAIN_AFTER_S)


def away(error: httpx.HTTPError) -> bool:
    """Whether the server did not answer, or answered that something is wrong with itself."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= SERVER_ERROR
    return isinstance(error, httpx.TransportError)
