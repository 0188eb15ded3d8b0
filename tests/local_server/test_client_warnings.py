"""Warnings that clients cause: how many are written."""

import pytest

from rustok_iggy_connector.local_server.client_warnings import INTERVAL, MAX_LINES, ClientWarnings
from tests.local_server.clients import Clock


class Log:
    """What was written, and the warnings that write it."""

    def __init__(self, clock: Clock) -> None:
        self.lines: list[str] = []
        self.warnings = ClientWarnings(write=self.write, monotonic=clock.monotonic)

    def write(self, text: str, *values: object) -> None:
        self.lines.append(text % values)


@pytest.fixture
def log(clock: Clock) -> Log:
    return Log(clock)


def test_so_many_a_minute_are_written_and_the_rest_are_counted(log: Log, clock: Clock) -> None:
    for number in range(MAX_LINES + 7):
        log.warnings.warn("client %d", number)
    assert log.lines == [f"client {number}" for number in range(MAX_LINES)]
    clock.seconds += INTERVAL
    log.warnings.tick()
    log.warnings.warn("client %d", 99)
    assert log.lines[MAX_LINES:] == ["7 more warnings about clients were left out", "client 99"]


def test_a_quiet_minute_says_nothing(log: Log, clock: Clock) -> None:
    log.warnings.warn("client")
    clock.seconds += INTERVAL
    log.warnings.tick()
    assert log.lines == ["client"]
