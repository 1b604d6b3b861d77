"""When the nightly deployment runs over a change of the clocks, by Prefect's own schedule."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from prefect.server.schemas.schedules import CronSchedule

from tasks.orchestration.serving.deployments import _deployment
from tasks.orchestration.serving.table import rows

BERLIN = ZoneInfo("Europe/Berlin")
(NIGHTLY,) = [row for row in rows("docker") if row.cron]


def nights(first: datetime, count: int = 4) -> list[datetime]:
    (made,) = _deployment(NIGHTLY, "{}", "Europe/Berlin").schedules
    schedule = CronSchedule(**made.schedule.model_dump())
    return [moment.astimezone(BERLIN) for moment in asyncio.run(schedule.get_dates(count, start=first))]


def local(moments: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d %H:%M %Z}" for moment in moments]


def test_the_night_without_two_o_clock_runs_an_hour_early():
    assert local(nights(datetime(2027, 3, 26, 12, tzinfo=UTC))) == [
        "03-27 02:00 CET",
        "03-28 01:00 CET",
        "03-29 02:00 CEST",
        "03-30 02:00 CEST",
    ]


def test_the_night_with_two_o_clock_twice_runs_once():
    assert local(nights(datetime(2027, 10, 29, 12, tzinfo=UTC))) == [
        "10-30 02:00 CEST",
        "10-31 02:00 CEST",
        "11-01 02:00 CET",
        "11-02 02:00 CET",
    ]


def test_asking_between_the_two_does_not_add_a_run():
    between = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert local(nights(between, 1)) == ["11-01 02:00 CET"]
