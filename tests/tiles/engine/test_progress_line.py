"""The line on a terminal at most once per second, in a log every half minute; skipped tiles make no speed."""

import io
import logging

from tasks.tiles.progress_line import ProgressLine


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rate_leaves_out_skipped_tiles_and_gives_the_time_left():
    clock = Clock()
    progress = ProgressLine(100, io.StringIO(), clock)
    for _ in range(40):
        progress.count("resumed")
    clock.now = 10.0
    for status in ("done", "failed") * 10:
        progress.count(status)
    assert progress.text == "60/100 tiles, 10 failed, 2.0 tiles/s, 20 s left"


def test_no_time_and_no_tiles_divide_by_nothing():
    assert ProgressLine(0, io.StringIO(), Clock()).text == "0/0 tiles, 0 failed, 0.0 tiles/s"


def test_rate_is_that_of_the_last_minute():
    clock = Clock()
    progress = ProgressLine(1000, Terminal(), clock)
    for second in range(1, 201):
        clock.now = float(second)
        for _ in range(1 if second <= 100 else 3):
            progress.count("done")
    assert 2.9 < progress.rate < 3.1


def test_terminal_line_is_renewed_once_per_second():
    clock, terminal = Clock(), Terminal()
    progress = ProgressLine(100, terminal, clock)
    for step in range(30):
        clock.now = step / 10
        progress.count("done")
    assert terminal.getvalue().count("\r") == 2
    progress.close()
    assert "30/100 tiles" in terminal.getvalue().rpartition("\r")[2]


def test_elsewhere_a_log_line_comes_every_half_minute(caplog):
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLine(100, stream, clock)
    with caplog.at_level(logging.INFO, "tasks.tiles"):
        for second in range(70):
            clock.now = float(second)
            progress.count("done")
    assert [record.message.partition(" ")[0] for record in caplog.records] == ["31/100", "61/100"]
    assert stream.getvalue() == ""
