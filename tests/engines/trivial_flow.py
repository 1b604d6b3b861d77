"""Flows for real workers: one does nothing, one does nothing for a long time."""

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
