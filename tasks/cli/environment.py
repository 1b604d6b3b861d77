"""Defaults that must stand in the environment before Prefect and TensorFlow are imported."""

import os

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    # The console shows our own progress and errors (Prefect would add a traceback to each refusal); the dashboard keeps
    # every line.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # A server that watches for silent runs (infra/automations.yaml) waits a little more than two of these.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}


def set_defaults() -> None:
    """Fill in what the user has not set."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
