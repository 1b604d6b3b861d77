"""Flows for real servers and workers: one does nothing, one does nothing for a long time, one fails."""

import time

from prefect import flow


@flow(name="trivial")
def trivial() -> None:
    """Nothing."""


@flow(name="endless")
def endless() -> None:
    """Nothing, until somebody ends it."""
    while True:
        time.sleep(1)


@flow(name="failing")
def failing() -> None:
    """A reason that must be quoted."""
    raise ValueError('a "quoted" reason')
