"""The lag is asked beside consuming; what is too old is not known."""

import asyncio
from collections.abc import Mapping

import pytest

from rustok_iggy.consumer.lag_watch import LagWatch
from rustok_iggy_connector import ConnectionLostError
from tests.waiting import until

pytestmark = pytest.mark.anyio


class Server:
    def __init__(self) -> None:
        self.now = 0.0
        self.rounds = 0
        self.answers: Mapping[int, int] | None = {0: 1}
        self.next_round = asyncio.Event()

    async def ask(self, group: str, topic: str) -> Mapping[int, int]:
        if self.answers is None:
            raise ConnectionLostError("gone")
        return self.answers

    async def sleep(self, seconds: float) -> None:
        self.rounds += 1
        await self.next_round.wait()
        self.next_round.clear()


async def test_answers_are_kept_until_they_are_three_intervals_old() -> None:
    server = Server()
    watch = LagWatch(server.ask, [("g", "t")], interval=10, clock=lambda: server.now, sleep=server.sleep)
    assert watch.lag("g", "t") == {}
    running = asyncio.create_task(watch.run())
    await until(lambda: server.rounds == 1)
    assert watch.lag("g", "t") == {0: 1}
    server.answers = None
    server.next_round.set()
    await until(lambda: server.rounds == 2)
    server.now = 30.0
    assert watch.lag("g", "t") == {0: 1}, "a server that is away for a moment"
    server.now = 30.1
    assert watch.lag("g", "t") == {}
    running.cancel()
    await asyncio.wait({running})
