"""Clients that do what they are told."""

import asyncio
from collections.abc import Awaitable, Callable

from rustok_iggy_connector import PolledMessages, PublishBatch
from rustok_iggy_connector.client import Client, PollRequest
from rustok_iggy_connector.wire.commands import Message


class FakeClient(Client):
    """Does what it is told; can die."""

    def __init__(self) -> None:
        self.alive = True
        self.closed = False
        self.sent: list[PublishBatch] = []

    @property
    def usable(self) -> bool:
        return self.alive

    async def request(self, request: Message, *, subject: str) -> Message | None:
        raise NotImplementedError

    async def send(self, batch: PublishBatch, *, subject: str) -> int:
        self.sent.append(batch)
        return len(self.sent) - 1

    async def poll(self, request: PollRequest, *, subject: str) -> PolledMessages:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


class Opener:
    """Hands out clients; waits or fails when told."""

    def __init__(self) -> None:
        self.clients: list[FakeClient] = []
        self.attempts = 0
        self.asked = asyncio.Event()
        self.before: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, timeout: float) -> Client:
        self.attempts += 1
        self.asked.set()
        if self.before is not None:
            await self.before()
        self.clients.append(FakeClient())
        return self.clients[-1]
