"""Parts of a step: in order in this process, beside each other where containers are waited for."""

import os
import signal
import threading

import pytest

from tasks.orchestration.fan_out import each
from tasks.orchestration.run import Run, current_run, prepared
from tasks.orchestration.settings import PlatformSettings


@pytest.fixture
def inside(tmp_path):
    """Run a function in a run of an executor."""

    def call(executor, function):
        with prepared(Run(PlatformSettings(store=str(tmp_path / "store"), executor=executor), "")):
            return function()

    return call


def test_in_this_process_one_part_follows_the_other(inside):
    seen = []

    def part(number):
        seen.append((number, threading.current_thread() is threading.main_thread()))
        return 10 * number

    assert inside("inprocess", lambda: each(part, [3, 1, 2])) == [30, 10, 20]
    assert seen == [(3, True), (1, True), (2, True)]


def test_in_containers_parts_wait_beside_each_other_and_know_their_run(inside):
    together = threading.Barrier(3, timeout=30)

    def part(number):
        together.wait()  # never passes unless three are under way
        return number, current_run()

    def all_parts():
        return current_run(), each(part, [3, 1, 2])

    run, results = inside("pools", all_parts)
    assert results == [(3, run), (1, run), (2, run)]


def test_the_first_part_that_fails_is_what_is_raised(inside):
    def part(number):
        if number > 1:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match=r"^2$"):
        inside("pools", lambda: each(part, [1, 2, 3]))
    with pytest.raises(ValueError, match=r"^2$"):
        inside("inprocess", lambda: each(part, [1, 2, 3]))


def test_a_signal_reaches_the_parts_that_wait(inside):
    def part(_):
        assert current_run().stop.wait(30), "nobody told"
        return "stopped"

    def all_parts():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return each(part, [1, 2])

    assert inside("pools", all_parts) == ["stopped", "stopped"]
