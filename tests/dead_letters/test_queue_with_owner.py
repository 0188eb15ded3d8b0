"""An operator and a real owner of the journal, in two processes of one server: what one asks for the other does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from rustok_iggy import EVERYTHING, EventCatalog, IggyConfig, IggyTransport, RequestState
from rustok_iggy.dead_letters.access import JournalAccess, OwnerTiming
from rustok_iggy.dead_letters.appender import JournalAppender
from rustok_iggy.dead_letters.drafts import RecordDraft
from rustok_iggy.dead_letters.layout import encode_original
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy.dead_letters.records import Action, Epoch, Outcome, RequestEnd, Settlement, Source
from rustok_iggy.dead_letters.redrive_plan import plan_redrive
from rustok_iggy_connector import IggyConnector
from tests.dead_letters.hand_owner import NOW, STREAM, event_of, original_of
from tests.dead_letters.journal_records import epoch, letter

pytestmark = pytest.mark.anyio

CATALOG = EventCatalog("tests")
SOURCE = Source(group="billing", topic="domain", partition=1)
SERVERS = [
    pytest.param({"mode": "memory"}, id="memory"),
    pytest.param({"mode": "embedded", "engine": "local"}, id="local"),
    pytest.param(
        {"mode": "embedded", "engine": "iggy-server", "server_path": os.environ.get("RUSTOK_IGGY_SERVER")},
        id="iggy-server",
        marks=pytest.mark.skipif("RUSTOK_IGGY_SERVER" not in os.environ, reason="RUSTOK_IGGY_SERVER names no binary"),
    ),
]


@CATALOG.event("thing.happened")
class Happened(Struct, frozen=True, kw_only=True):
    number: int


@pytest.fixture(params=SERVERS)
async def transport(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IggyTransport]:
    engine: dict[str, Any] = dict(request.param)
    config = IggyConfig(
        mode=engine.pop("mode"), embedded={"data_dir": tmp_path / "data", **engine}, topology={"domain_partitions": 2}
    )
    async with IggyTransport(config, catalog=CATALOG) as opened:
        yield opened


@asynccontextmanager
async def owned(connector: IggyConnector) -> AsyncIterator[OwnedJournal]:
    """A member of the group whose journal is taken over."""
    where = {"stream": STREAM, "topic": "domain", "group": "billing"}
    await connector.admin.create_group(**where)
    member = await connector.subscribe(**where)
    await member.assignment()
    reader = JournalReader(await connector.subscribe(stream=STREAM, topic="dlq"))
    async with JournalAppender(connector, stream=STREAM, topic="dlq") as appender:
        access = JournalAccess(reader=reader, appender=appender, admin=connector.admin, stream=STREAM, topic="dlq")
        journal = OwnedJournal(
            SOURCE, partition=1, handled_types="all", access=access, timing=OwnerTiming(checkpoint_every=10)
        )
        await journal.gain(epoch=epoch(1), committed=-1)
        yield journal


def letter_of(offset: int) -> RecordDraft:
    body = encode_original(original_of(event_of(offset)))
    return lambda under: (letter(under, offset, offset % 3, source=SOURCE), body)


async def carry_out(owner: OwnedJournal) -> None:
    """What the engine does with a request."""
    while not owner.journal.requests:
        await owner.catch_up()
        await asyncio.sleep(0.01)
    request = owner.journal.requests[0].request
    plan = plan_redrive(owner.journal, request)
    for found in [each for lane in plan.lanes for each in lane.letters]:
        outcome = Outcome.HANDLED if request.action is Action.REDRIVE else Outcome.DISCARDED

        def settled(under: Epoch, offset: int = found.offset, outcome: Outcome = outcome) -> Settlement:
            return Settlement(
                source=SOURCE, epoch=under, offset=offset, number=1, request=request.id, outcome=outcome, settled_at=NOW
            )

        await owner.write(settled)
    done = owner.journal.progress(request.id)

    def ended(under: Epoch) -> RequestEnd:
        return RequestEnd(
            source=SOURCE,
            epoch=under,
            request=request.id,
            handled=done.handled,
            failed=done.failed,
            discarded=done.discarded,
            aborted=False,
        )

    await owner.write(ended)
    await owner.keep_start()


async def test_what_an_operator_asks_for_the_owner_does(transport: IggyTransport, tmp_path: Path) -> None:
    manager = transport.dead_letters
    async with asyncio.timeout(40), owned(transport._connector) as owner:
        await owner.write(*(letter_of(offset) for offset in range(12)))
        await owner.keep_start()
        assert (await manager.stats(group="billing")).letters == 12
        assert (await manager.export(tmp_path / "letters.jsonl", group="billing")).letters == 12

        canary = await manager.redrive(EVERYTHING, group="billing", by="ada", limit=2)
        working = asyncio.create_task(carry_out(owner))
        result = await manager.wait(canary, timeout=20)
        await working
        assert (result.state, result.handled, result.left) == (RequestState.DONE, 2, 0)
        page = await manager.list(group="billing")
        assert [found.key.offset for found in page.letters] == list(range(2, 12))

        await owner.write(letter_of(20))
        request = await manager.discard(EVERYTHING, group="billing", by="ada", reason="tests", seen=page.seen)
        assert request.letters == 10
        working = asyncio.create_task(carry_out(owner))
        result = await manager.wait(request, timeout=20)
        await working
        assert (result.discarded, result.left) == (10, 0)
        assert [found.key.offset for found in (await manager.list(group="billing")).letters] == [20]
        # The owner has stored checkpoints meanwhile: a wait that begins late still finds the end.
        assert (await manager.wait(canary, timeout=20)).handled == 2
