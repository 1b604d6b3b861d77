"""A Prefect server that is away for a moment: calls wait for it, steps do not notice."""

import logging
from types import SimpleNamespace

import httpx
import pytest

from tasks.contracts.errors import PoolError
from tasks.orchestration import patience, ui
from tasks.orchestration.patience import patiently

REQUEST = httpx.Request("GET", "http://server/api")


def answered(code):
    return httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(code, request=REQUEST))


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(patience, "AGAIN_AFTER_S", 0.0)


def failing(*errors):
    """A call that raises these, one after the other, and then returns."""
    left = list(errors)

    def call():
        if left:
            raise left.pop(0)
        return "answer"

    return call


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), answered(503)])
def test_a_server_that_comes_back_is_waited_for(error):
    assert patiently(failing(error, error)) == "answer"


def test_what_the_server_refuses_is_raised_at_once():
    with pytest.raises(httpx.HTTPStatusError):
        patiently(failing(answered(422)))


def test_a_server_that_stays_away_is_named(monkeypatch):
    monkeypatch.setattr(patience, "GIVE_UP_AFTER_S", -1.0)
    with pytest.raises(PoolError, match="Prefect server does not answer: found refused"):
        patiently(failing(httpx.ConnectError("refused")))


def test_progress_that_cannot_be_told_does_not_end_the_step(monkeypatch):
    def away(*_, **__):
        raise httpx.ConnectError("refused")

    told = []
    monkeypatch.setattr(ui, "_active", lambda: True)
    monkeypatch.setattr(ui, "create_progress_artifact", away)
    monkeypatch.setattr(ui, "get_run_logger", lambda: logging.getLogger("run"))
    tell = ui.progress_teller(SimpleNamespace(), lambda *words: told.append(words))
    tell("train", 0.5, "epoch 1")
    assert told == [("train", 0.5, "epoch 1")]
