"""Dead letters as an owner would have written them, and an owner that carries requests out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import Action, Outcome, Request, RequestEnd
from rustok_iggy_connector import IggyConnector
from tests.dead_letters.hand_owner import HandOwner, event_of, original_of, source

PARTITION = 2
LETTERS = 6


@asynccontextmanager
async def owner_of(connector: IggyConnector) -> AsyncIterator[HandOwner]:
    owner = HandOwner(connector, source(PARTITION))
    await owner.join()
    await owner.claim()
    yield owner


async def write_letters(connector: IggyConnector) -> None:
    """Letters of two tenants."""
    async with owner_of(connector) as owner:
        for offset in range(LETTERS):
            envelope = event_of(offset, offset % 2)
            await owner.letter(offset, offset % 2, original=original_of(envelope), event_id=envelope.id)


class Worker:
    """Runs requests as an owner does: every letter is handled, but those at `failing`."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.requests: list[Request] = []
        self.left = set(range(LETTERS))

    async def __call__(self, connector: IggyConnector) -> None:
        async with owner_of(connector) as owner:
            reader = await connector.subscribe(stream="rustok", topic="dlq")
            position = 0
            while True:
                for message in await reader.poll(PARTITION, offset=position, max_messages=100):
                    position = message.offset + 1
                    record = decode_record(message.payload).record
                    if isinstance(record, Request):
                        await self.carry_out(owner, record)
                await asyncio.sleep(0.005)

    async def carry_out(self, owner: HandOwner, request: Request) -> None:
        self.requests.append(request)
        meant = self._meant(request)
        failed = 0
        for offset in sorted(meant):
            await owner.attempt(offset, request.id)
            outcome = Outcome.FAILED if offset in self.failing else Outcome.HANDLED
            if request.action is Action.DISCARD:
                outcome = Outcome.DISCARDED
            failed += outcome is Outcome.FAILED
            await owner.settle(offset, outcome, request.id)
            if outcome is not Outcome.FAILED:
                self.left.discard(offset)
        discarded = len(meant) if request.action is Action.DISCARD else 0
        await owner.append(
            RequestEnd(
                source=owner.source,
                epoch=owner.epoch,
                request=request.id,
                handled=len(meant) - failed - discarded,
                failed=failed,
                discarded=discarded,
                aborted=False,
            )
        )

    def _meant(self, request: Request) -> set[int]:
        """All of them, or as many as there are ids: the first, since a limit names the oldest."""
        count = len(request.selection.event_ids) or len(self.left)
        return set(sorted(self.left)[:count])
