"""docs/how-to/dead-letters.md: its examples run as printed, in order, over a transport whose group has dead letters."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy import LetterSelection, RequestState
from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import Action, Outcome, Request
from rustok_iggy.dead_letters.redrive_plan import plan_redrive
from rustok_iggy.dead_letters.survey import open_survey
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import transport
from tests.dead_letters.hand_owner import STREAM, HandOwner, event_of, original_of, source
from tests.dead_letters.journal_records import tenant
from tests.printed import code_blocks

pytestmark = pytest.mark.anyio

EXAMPLES = code_blocks("docs/how-to/dead-letters.md", "python")


async def work(owner: HandOwner) -> None:
    """Carry out every request as an owner whose handler succeeds."""
    done: set[Any] = set()
    while True:
        async with open_survey(owner.connector, stream=STREAM) as survey:
            journal = (await survey.fold(0, group=owner.source.group)).journal(owner.source)
        assert journal is not None
        for open_ in journal.requests:
            if open_.request.id in done:
                continue
            done.add(open_.request.id)
            outcome = Outcome.HANDLED if open_.request.action is Action.REDRIVE else Outcome.DISCARDED
            letters = [letter for lane in plan_redrive(journal, open_.request).lanes for letter in lane.letters]
            for letter in letters:
                await owner.settle(letter.offset, outcome, open_.request.id, number=letter.attempts + 1)
            await owner.end(open_.request.id, handled=len(letters))
        await asyncio.sleep(0.01)


async def run(example: str, names: dict[str, Any]) -> None:
    code = compile(example, "docs/how-to/dead-letters.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)
    if inspect.isawaitable(running):
        await running


async def test_the_examples_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    async with transport(MemoryServer(), partitions=1) as opened:
        owner = HandOwner(opened._connector, source(0), dlq_partitions=1)
        await owner.claim()
        await owner.join()
        for offset in range(4):
            await owner.letter(offset, of=offset % 2, original=original_of(event_of(offset, offset % 2)))
        working = asyncio.create_task(work(owner))
        names: dict[str, Any] = {"transport": opened}
        try:
            for number, example in enumerate(EXAMPLES):
                await run(example, names)
                if number == len(EXAMPLES) - 2:  # before the discard: a letter that is still open
                    await owner.letter(9, of=3, original=original_of(event_of(9, 3)))
                    names["letter"] = (await opened.dead_letters.list()).letters[0]
        finally:
            working.cancel()
        assert names["canary"].letters == 1
        assert names["result"].state is RequestState.DONE
        assert names["request"].letters == 1
        assert (await opened.dead_letters.stats()).letters == 0
        assert len((tmp_path / "letters.jsonl").read_bytes().splitlines()) == 4
    printed = capsys.readouterr().out
    assert "4 open, 2 tenants parked" in printed
    assert str(tenant(0)) in printed


async def test_a_command_line_sees_what_a_service_left_behind() -> None:
    """Another transport on the same server, without a subscription."""
    server = MemoryServer()
    async with transport(server) as service:
        owner = HandOwner(service._connector, source(0), dlq_partitions=1)
        await owner.claim()
        await owner.letter(1)
        async with transport(server) as command_line:
            (letter,) = (await command_line.dead_letters.list(group="billing")).letters
            request = await command_line.dead_letters.redrive(
                LetterSelection(tenants=(letter.tenant_id,)), group="billing", by="ada"
            )
        reader = await service._connector.subscribe(stream=STREAM, topic="dlq")
        (message,) = await reader.poll(0, offset=request.positions[0], max_messages=1)
        record = decode_record(message.payload).record
        assert isinstance(record, Request)
        assert record.id == request.id
