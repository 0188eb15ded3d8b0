"""Reading the journal from outside: from what its owners stored, and up to where it ended when the call began."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rustok_iggy.dead_letters.records import Outcome
from rustok_iggy.dead_letters.snapshot import encode_snapshot
from rustok_iggy.dead_letters.stored_start import JournalPlace, Kept, keep
from rustok_iggy.dead_letters.survey import open_survey
from rustok_iggy.errors import DeadLetterError
from rustok_iggy_connector import MessageSubscriber, PublishRequest
from tests.dead_letters.hand_owner import STREAM, HandOwner, Host, open_host
from tests.dead_letters.journal_records import checkpoint, epoch, event

pytestmark = pytest.mark.anyio


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as opened:
        yield opened


async def offsets(host: Host, *, up_to: int | None = None, group: str | None = "billing") -> list[int]:
    async with open_survey(host.connector, stream=STREAM) as survey:
        partition = await survey.fold(0, group=group, up_to=up_to)
    return [letter.offset for journal in partition.journals() for letter in journal.open_letters()]


async def store(owner: HandOwner, kept: Kept, offset: int) -> None:
    place = JournalPlace(stream=STREAM, topic="dlq", partition=owner.source.partition % 4)
    await keep(owner.connector.admin, place=place, source=owner.source, kept=kept, offset=offset)


async def stale_then_settled(host: Host) -> HandOwner:
    """Letters 1 to 3; a checkpoint that knows 1 and 2, and that 1 was handled."""
    owner = await host.owner(0)
    await owner.letter(1)
    await owner.letter(2)
    await owner.settle(1, Outcome.HANDLED, event(0))
    async with open_survey(host.connector, stream=STREAM) as survey:
        journal = (await survey.fold(0, group="billing")).journal(owner.source)
    assert journal is not None
    record = replace(checkpoint(owner.epoch, source=owner.source), committed=-1)
    at = await owner.append(record, body=encode_snapshot(journal.snapshot()))
    await store(owner, Kept.CHECKPOINT, at)
    await owner.letter(3)
    return owner


@pytest.mark.parametrize("group", ["billing", None])
async def test_a_stored_checkpoint_gives_what_a_fold_from_the_first_record_gives(host: Host, group: str | None) -> None:
    await stale_then_settled(host)
    assert await offsets(host, group=group) == [2, 3]


async def test_with_a_checkpoint_only_what_follows_it_is_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    await stale_then_settled(host)
    polled: list[int] = []
    subscribe = host.connector.subscribe

    async def noting(**where: str) -> MessageSubscriber:
        subscriber = await subscribe(**where)
        poll = subscriber.poll

        async def note(partition: int, *, offset: int, max_messages: int) -> object:
            if max_messages > 1:
                polled.append(offset)
            return await poll(partition, offset=offset, max_messages=max_messages)

        monkeypatch.setattr(subscriber, "poll", note)
        return subscriber

    monkeypatch.setattr(host.connector, "subscribe", noting)
    assert await offsets(host) == [2, 3]
    assert polled[0] == 4  # system 0 and domain 4 have nothing stored, and nobody consumes them
    await host.connector.admin.create_group(stream=STREAM, topic="system", group="billing")
    polled.clear()
    assert await offsets(host) == [2, 3]
    assert polled[0] == 0  # now there may be records of an owner who has stored nothing yet


async def test_what_is_stored_is_left_aside_when_it_tells_of_later_records(host: Host) -> None:
    """A wait that begins late reads up to its request, which a checkpoint may long have passed."""
    await stale_then_settled(host)
    assert await offsets(host, up_to=2) == [1, 2]


async def test_what_a_checkpoint_holds_counts_as_read_though_nothing_is_left_to_read(host: Host) -> None:
    await stale_then_settled(host)
    async with open_survey(host.connector, stream=STREAM) as survey:
        partition = await survey.fold(0, group="billing", up_to=3)  # the last record before the checkpoint's own
    assert partition.folded_up_to == 3


async def test_a_fold_begins_at_the_pin_where_that_is_about_the_source(host: Host) -> None:
    stale = await host.owner(0)
    await stale.letter(1)
    owner = await host.owner(0, epoch=epoch(2, "B"))
    await owner.settle(1, Outcome.HANDLED, event(0))
    await owner.letter(2)
    await store(owner, Kept.PIN, owner.claimed_at - 1)
    assert await offsets(host) == [2]


async def test_a_fold_ends_where_the_partition_ended_when_it_was_asked(host: Host) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    async with open_survey(host.connector, stream=STREAM) as survey:
        await owner.letter(2)
        partition = await survey.fold(0, group="billing")
        assert partition.folded_up_to == 1
        applied = await survey.follow(partition, 0)
        assert [record.offset for record in applied] == [2]  # type: ignore[union-attr]


async def test_messages_that_are_no_records_are_passed_over(host: Host) -> None:
    owner = await host.owner(0)
    await host.connector.publish(
        PublishRequest(stream=STREAM, topic="dlq", partition_id=0, payload=b"by hand", event_id=event(1))
    )
    await owner.letter(1)
    assert await offsets(host) == [1]


async def test_a_server_that_gives_nothing_where_something_is_makes_an_error(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await host.owner(0)
    for offset in range(20):
        await owner.letter(offset)
    subscribe = host.connector.subscribe

    async def failing(**where: str) -> MessageSubscriber:
        subscriber = await subscribe(**where)
        poll = subscriber.poll

        async def empty_after_the_first(partition: int, *, offset: int, max_messages: int) -> object:
            return await poll(partition, offset=offset, max_messages=max_messages) if offset < 5 else []

        monkeypatch.setattr(subscriber, "poll", empty_after_the_first)
        return subscriber

    async def no_pause(seconds: float) -> None:
        return

    monkeypatch.setattr(host.connector, "subscribe", failing)
    async with open_survey(host.connector, stream=STREAM, sleep=no_pause) as survey:
        with pytest.raises(DeadLetterError, match="gives none"):
            await survey.fold(0, group="billing")
