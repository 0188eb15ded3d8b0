"""What an operator sees and asks for, over a journal in memory that real records were written to by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy import (
    EVERYTHING,
    Cause,
    DeadLetterError,
    LetterSelection,
    ReadProgress,
    RedriveError,
    RequestProgress,
    RequestState,
)
from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import Action, Outcome, Request
from rustok_iggy_connector import ConnectionLostError, IggyConnector
from tests.dead_letters.hand_owner import NOW, STREAM, Host, event_of, manager_of, open_host, original_of
from tests.dead_letters.journal_records import epoch, event, failure, tenant
from tests.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as opened:
        yield opened


async def records_in(connector: IggyConnector, partition: int) -> list[Any]:
    reader = await connector.subscribe(stream=STREAM, topic="dlq")
    try:
        messages = await reader.poll(partition, offset=0, max_messages=1000)
    finally:
        await reader.leave()
    return [decode_record(message.payload).record for message in messages]


async def requests_in(connector: IggyConnector, partition: int) -> list[Request]:
    return [record for record in await records_in(connector, partition) if isinstance(record, Request)]


def offsets(letters: Any) -> list[tuple[int, int]]:
    return [(letter.key.partition_id, letter.key.offset) for letter in letters]


# Looking


async def test_open_letters_are_listed_with_what_is_known_of_them(host: Host) -> None:
    owner = await host.owner(3)
    position = await owner.letter(7, of=1, failure=failure(error_type="KeyError", fingerprint="f9"))
    page = await host.manager.list(group="billing")
    (found,) = page.letters
    assert found.key == ("billing", "domain", 3, 7)
    assert found.journal_position == position
    assert (found.tenant_id, found.event_id, found.event_type) == (tenant(1), event(7), "order.placed")
    assert (found.cause, found.error_type, found.fingerprint, found.redrives) == (Cause.FAILED, "KeyError", "f9", 0)
    assert found.first_failed_at == datetime(1970, 1, 1, 0, 0, 2, 7, tzinfo=UTC)
    assert found.age == pytest.approx((NOW - 2_000_007) / 1e6)
    assert page.next is None
    assert page.seen == {0: -1, 1: -1, 2: -1, 3: position}


async def test_letters_come_in_order_of_source_offset_page_by_page(host: Host) -> None:
    for partition in (3, 7, 5):  # 3 and 7 share a dlq partition
        owner = await host.owner(partition)
        for offset in (4, 2, 9):
            await owner.letter(offset, of=partition)
    found = []
    after = None
    while True:
        page = await host.manager.list(limit=2, after=after)
        assert len(page.letters) <= 2
        found += page.letters
        after = page.next
        if after is None:
            break
    assert (await host.manager.list(limit=9)).next is None  # a page that holds all is the last
    assert offsets(found) == [(partition, offset) for partition in (5, 3, 7) for offset in (2, 4, 9)]


async def test_settled_letters_and_letters_of_an_overtaken_owner_are_not_listed(host: Host) -> None:
    stale = await host.owner(0)
    await stale.letter(1)
    await stale.letter(2)
    owner = await host.owner(0, epoch=epoch(2, "B"))
    await owner.settle(1, Outcome.HANDLED, event(0))
    await stale.letter(3)  # void: a higher claim stands before it
    assert offsets((await host.manager.list()).letters) == [(0, 2)]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (LetterSelection(tenants=(tenant(1),)), [2, 3]),
        (LetterSelection(event_ids=(event(1), event(3))), [1, 3]),
        (LetterSelection(fingerprints=("other",)), [3]),
        (LetterSelection(event_types=("order.shipped",)), [2]),
        (LetterSelection(since=datetime.fromtimestamp(1.000002, UTC)), [2, 3]),
        (LetterSelection(until=datetime.fromtimestamp(1.000002, UTC)), [1]),
        (LetterSelection(tenants=(tenant(1),), fingerprints=("other",)), [3]),
        (EVERYTHING, [1, 2, 3]),
    ],
)
async def test_a_selection_narrows_the_list(host: Host, selection: LetterSelection, wanted: list[int]) -> None:
    owner = await host.owner(0)
    await owner.letter(1, of=0)
    await owner.letter(2, of=1, event_type="order.shipped")
    await owner.letter(3, of=1, failure=failure(fingerprint="other"))
    page = await host.manager.list(selection=selection)
    assert [letter.key.offset for letter in page.letters] == wanted


async def test_a_group_is_told_from_another(host: Host) -> None:
    await (await host.owner(0)).letter(1)
    await (await host.owner(0, group="mail")).letter(2)
    assert offsets((await host.manager.list(group="mail")).letters) == [(0, 2)]
    assert offsets((await host.manager.list()).letters) == [(0, 1), (0, 2)]


async def test_an_unknown_group_is_told_which_groups_have_letters(host: Host) -> None:
    await (await host.owner(0)).letter(1)
    await host.owner(1, group="idle")
    with pytest.raises(DeadLetterError, match=r"group biling has never .* groups with letters: billing$"):
        await host.manager.list(group="biling")
    with pytest.raises(DeadLetterError, match="biling"):
        await host.manager.stats(group="biling")
    assert (await host.manager.list(group="idle")).letters == ()


async def test_a_letter_is_shown_with_its_event_and_without_it_in_the_repr(host: Host) -> None:
    envelope = event_of(41)
    owner = await host.owner(2)
    await owner.letter(
        5, original=original_of(envelope), failure=failure(message="no such card 4711", stack="a.py:1 in f\nKeyError")
    )
    (letter,) = (await host.manager.list()).letters
    shown = await host.manager.show(letter)
    assert shown.envelope == envelope
    assert (shown.headers, shown.payload) == (original_of(envelope).headers, original_of(envelope).payload)
    assert (shown.handler, shown.attempts, shown.message) == ("billing.bill", 3, "no such card 4711")
    assert shown.stack.endswith("KeyError")
    assert "4711" not in repr(shown)
    assert "41" not in repr(shown).replace(str(letter.key), "")


async def test_a_payload_that_cannot_be_decoded_is_shown_by_its_size(host: Host) -> None:
    await (await host.owner(2)).letter(5, of=None, cause=Cause.UNDECODABLE, event_id=None, event_type=None)
    (letter,) = (await host.manager.list()).letters
    shown = await host.manager.show(letter)
    assert shown.envelope is None
    assert shown.payload_bytes == len(b"not an event")


async def test_a_letter_of_a_topic_that_was_made_anew_is_gone(host: Host) -> None:
    owner = await host.owner(2)
    await owner.letter(5)
    (letter,) = (await host.manager.list()).letters
    await owner.letter(6)
    (_, other) = (await host.manager.list()).letters
    for position in (99, other.journal_position, 0):
        with pytest.raises(DeadLetterError, match="list again"):
            await host.manager.show(replace(letter, journal_position=position))


async def test_statistics_add_up_in_every_way(host: Host) -> None:
    first = await host.owner(0)
    await first.letter(1, of=0)
    await first.letter(2, of=0, cause=Cause.SEQUENCE)
    await first.letter(3, of=None, cause=Cause.UNDECODABLE, event_type=None)
    second = await host.owner(1, group="mail")
    await second.letter(1, of=2, failure=failure(error_type="KeyError", fingerprint="f9"))
    stats = await host.manager.stats()
    assert stats.letters == 4
    for mapping in (stats.groups, stats.fingerprints, stats.event_types, stats.tenants, stats.causes):
        assert sum(count.letters for count in mapping.values()) == stats.letters
    assert {group: count.letters for group, count in stats.groups.items()} == {"billing": 3, "mail": 1}
    assert stats.error_types == {"f1": "ValueError", "f9": "KeyError"}
    assert stats.oldest_age == pytest.approx((NOW - 2_000_001) / 1e6)
    assert stats.groups["billing"].oldest_age == stats.oldest_age
    assert stats.parked_tenants == 2
    assert (await host.manager.stats(group="mail")).letters == 1


async def test_open_requests_are_counted_until_every_owner_ended_them(host: Host) -> None:
    owners = [await host.owner(partition) for partition in (0, 1)]
    for owner in owners:
        await owner.letter(1, of=owner.source.partition)
    request = await host.manager.redrive(EVERYTHING, group="billing", by="ada", reason="fixed")
    (open_,) = (await host.manager.stats()).open_requests
    assert (open_.id, open_.requested_by, open_.waiting_in) == (request.id, "ada", 2)
    await owners[0].end(request.id)
    (open_,) = (await host.manager.stats()).open_requests
    assert open_.waiting_in == 1
    await owners[1].end(request.id)
    assert (await host.manager.stats()).open_requests == ()


async def test_reading_tells_how_far_it_is(host: Host) -> None:
    owner = await host.owner(3)
    for offset in range(40):
        await owner.letter(offset)
    seen: list[ReadProgress] = []
    await host.manager.list(progress=seen.append)
    assert [progress.position for progress in seen] == sorted(progress.position for progress in seen)
    assert (seen[-1].partition_id, seen[-1].partitions, seen[-1].position, seen[-1].end) == (3, 4, 40, 40)
    assert len(seen) > 1


async def test_a_stream_that_was_never_opened_has_no_journal() -> None:
    async with open_host() as host:
        await host.connector.admin.delete_topic(stream=STREAM, topic="dlq")
        with pytest.raises(DeadLetterError, match="no topic dlq"):
            await host.manager.stats()


# Exporting


async def test_an_export_holds_what_rebuilds_the_messages_byte_for_byte(host: Host, tmp_path: Path) -> None:
    owner = await host.owner(0)
    originals = [original_of(event_of(number)) for number in (1, 2)]
    for offset, original in enumerate(originals):
        await owner.letter(offset, original=original)
    await owner.letter(2, of=None, event_id=None)
    path = tmp_path / "letters.jsonl"
    done = await host.manager.export(path, group="billing")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert done.letters == len(lines) == 3
    assert done.written_bytes == path.stat().st_size
    for line, original in zip(lines, originals, strict=False):
        assert base64.b64decode(line["payload"]) == original.payload
        assert {name: base64.b64decode(value) for name, value in line["headers"].items()} == original.headers
        assert line["envelope"] == json.loads(original.payload)
    assert lines[2]["envelope"] is None
    assert path.stat().st_mode & 0o077 == 0
    assert [line["offset"] for line in lines] == [0, 1, 2]


async def test_an_export_takes_what_is_selected_and_reports(host: Host, tmp_path: Path) -> None:
    owner = await host.owner(0)
    for offset in range(5):
        await owner.letter(offset, of=offset % 2)
    seen: list[int] = []
    path = tmp_path / "letters.jsonl"
    await host.manager.export(
        path, selection=LetterSelection(tenants=(tenant(1),)), progress=lambda progress: seen.append(progress.letters)
    )
    assert seen[-1] == len(path.read_bytes().splitlines()) == 2


async def test_a_full_disk_is_an_error_and_leaves_the_old_file(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await host.owner(0)).letter(1)
    path = tmp_path / "letters.jsonl"
    path.write_text("before", encoding="utf-8")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeadLetterError, match="No space left"):
        await host.manager.export(path)
    assert [each.name for each in tmp_path.iterdir()] == ["letters.jsonl"]
    assert path.read_text(encoding="utf-8") == "before"


async def test_a_folder_that_is_not_there_is_an_error(host: Host, tmp_path: Path) -> None:
    await host.owner(0)
    with pytest.raises(DeadLetterError, match="cannot write"):
        await host.manager.export(tmp_path / "nowhere" / "letters.jsonl")


# Asking


async def test_a_dry_run_says_what_would_run_and_writes_nothing(host: Host) -> None:
    owner = await host.owner(0)
    for offset, of in ((1, 0), (2, 1), (3, 0), (4, 0)):
        await owner.letter(offset, of=of)
    planned = await host.manager.redrive(
        LetterSelection(event_ids=(event(3),)), group="billing", by="ada", dry_run=True
    )
    (lane,) = planned.lanes
    assert lane.tenant_id == tenant(0)
    assert [letter.key.offset for letter in lane.letters] == [1, 3]  # the letter before it in its tenant comes first
    assert planned.letters == 2
    assert planned.positions == {}
    assert await requests_in(host.connector, 0) == []
    with pytest.raises(RedriveError, match="dry run"):
        await host.manager.wait(planned, timeout=1)


async def test_breaking_the_order_runs_exactly_what_is_selected(host: Host) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    await owner.letter(3)
    planned = await host.manager.redrive(
        LetterSelection(event_ids=(event(3),)), group="billing", by="ada", break_order=True, dry_run=True
    )
    assert [letter.key.offset for lane in planned.lanes for letter in lane.letters] == [3]


async def test_letters_that_used_up_their_redrives_are_named_unless_forced(host: Host) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    await owner.attempt(1, event(0), number=5)
    planned = await host.manager.redrive(EVERYTHING, group="billing", by="ada", dry_run=True)
    assert planned.lanes == ()
    assert [letter.key.offset for letter in planned.needs_force] == [1]
    assert planned.needs_force[0].redrives == 5
    forced = await host.manager.redrive(EVERYTHING, group="billing", by="ada", force=True, dry_run=True)
    assert forced.letters == 1


async def test_a_request_is_written_once_to_each_dlq_partition_with_letters_for_it(host: Host) -> None:
    for partition in (0, 3, 7):  # 3 and 7 share one
        await (await host.owner(partition)).letter(1, of=partition)
    await host.owner(2)  # owned, without letters
    request = await host.manager.redrive(
        EVERYTHING, group="billing", by="ada", reason="fixed in 1.2", rate=5, abort_ratio=0.5
    )
    assert sorted(request.positions) == [0, 3]
    found = [record for partition in range(4) for record in await requests_in(host.connector, partition)]
    assert {record.id for record in found} == {request.id}
    assert len(found) == 2
    assert {(record.group, record.action, record.rate, record.abort_ratio) for record in found} == {
        ("billing", Action.REDRIVE, 5, 0.5)
    }
    assert {(record.requested_by, record.reason, record.requested_at) for record in found} == {
        ("ada", "fixed in 1.2", NOW)
    }


async def test_nothing_is_written_when_nothing_is_meant(host: Host) -> None:
    await (await host.owner(0)).letter(1)
    selection = LetterSelection(event_types=("never.seen",))
    request = await host.manager.redrive(selection, group="billing", by="ada")
    assert request.positions == {}
    assert (await host.manager.wait(request, timeout=20)).state is RequestState.DONE
    assert await requests_in(host.connector, 0) == []


async def test_a_canary_takes_the_oldest_letters_each_tenant_in_order(host: Host) -> None:
    owner = await host.owner(0)
    for offset, of in ((1, 0), (2, 1), (3, 0), (4, 0)):
        await owner.letter(offset, of=of)
    planned = await host.manager.redrive(EVERYTHING, group="billing", by="ada", limit=3)
    assert [[letter.key.offset for letter in lane.letters] for lane in planned.lanes] == [[1, 3], [2]]
    (record,) = await requests_in(host.connector, 0)
    assert set(record.selection.event_ids) == {event(1), event(2), event(3)}


async def test_a_canary_of_some_partitions_leaves_the_others_alone(host: Host) -> None:
    for partition in (0, 4):
        await (await host.owner(partition)).letter(1, of=partition)
    planned = await host.manager.redrive(EVERYTHING, group="billing", by="ada", partitions=[4])
    assert {lane.partition_id for lane in planned.lanes} == {4}
    (record,) = await requests_in(host.connector, 0)
    assert record.partitions == (4,)


async def test_a_discard_means_only_letters_that_were_seen(host: Host) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    page = await host.manager.list()
    last_seen = page.seen[0]
    await owner.letter(2)
    other = await host.owner(1)
    await other.letter(1, of=3)
    request = await host.manager.discard(
        EVERYTHING, group="billing", by="ada", reason="test orders", seen={0: last_seen}
    )
    assert [letter.key.offset for lane in request.lanes for letter in lane.letters] == [1]
    assert sorted(request.positions) == [0]
    (record,) = await requests_in(host.connector, 0)
    assert (record.action, record.seen) == (Action.DISCARD, last_seen)


async def test_a_discard_without_a_look_before_means_what_it_reads_itself(host: Host) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    position = await owner.letter(2)
    request = await host.manager.discard(EVERYTHING, group="billing", by="ada", reason="test orders")
    assert request.letters == 2
    (record,) = await requests_in(host.connector, 0)
    assert record.seen == position


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by=""), "who"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", rate=0), "rate"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", abort_ratio=1.5), "abort_ratio"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", limit=0), "limit"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", limit=1001), "limit"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", partitions=[]), "partitions"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", reason="x" * 1001), "reason"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", rate="5"), "rate '5' is not above 0"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by="ada", force="yes"), "force 'yes' is neither"),
        (lambda manager: manager.redrive(EVERYTHING, group="billing", by=None), "by: must be text, not NoneType"),
        (lambda manager: manager.redrive(EVERYTHING, group=None, by="ada"), "group: must be text"),
        (lambda manager: manager.redrive("all", group="billing", by="ada"), "str selects no letters: use .*EVERYTHING"),
        (lambda manager: manager.discard(EVERYTHING, group="billing", by="ada", reason=" "), "reason"),
        (lambda manager: manager.discard([], group="billing", by="ada", reason="x"), "list selects no letters"),
        (lambda manager: manager.list(selection={"tenants": []}), "dict selects no letters"),
        (lambda manager: manager.wait("id", timeout=1), "what redrive.. or discard.. returned, not for str"),
    ],
)
async def test_a_request_that_cannot_be_is_refused(host: Host, ask: Callable[..., Any], message: str) -> None:
    await (await host.owner(0)).letter(1)
    with pytest.raises(RedriveError, match=message):
        await ask(host.manager)
    assert await requests_in(host.connector, 0) == []


async def test_a_request_that_reached_some_partitions_says_which(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for partition in (0, 1):
        await (await host.owner(partition)).letter(1, of=partition)
    publish = host.connector.publish

    async def refuse(request: Any) -> Any:
        if request.partition_id == 1:
            raise_not_retryable()
        return await publish(request)

    def raise_not_retryable() -> None:
        error = ConnectionLostError("cut")
        error.retryable = False
        raise error

    monkeypatch.setattr(host.connector, "publish", refuse)
    with pytest.raises(RedriveError, match=r"not written to dlq partitions \[1\].*stands in \[0\]"):
        await host.manager.redrive(EVERYTHING, group="billing", by="ada")


async def test_a_lost_reply_does_not_make_two_requests_of_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    publish = host.connector.publish
    lost = iter([True])

    async def lose_first(request: Any) -> Any:
        confirmation = await publish(request)
        if next(lost, False):
            raise ConnectionLostError("cut after it was stored")
        return confirmation

    monkeypatch.setattr(host.connector, "publish", lose_first)
    request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
    copies = await requests_in(host.connector, 0)
    assert len(copies) == 2
    assert copies[0] == copies[1]
    (open_,) = (await host.manager.stats()).open_requests
    assert open_.id == request.id


# Waiting


async def ended(host: Host, request: Any, seen: list[RequestProgress]) -> asyncio.Task[RequestProgress]:
    """A wait under way that has looked at least once."""
    waiting = asyncio.create_task(host.manager.wait(request, timeout=20, progress=seen.append))
    await until(lambda: bool(seen) or waiting.done())
    return waiting


async def test_waiting_follows_a_request_to_its_end() -> None:
    async with open_host() as host:
        owner = await host.owner(0)
        await owner.join()
        for offset, of in ((1, 0), (2, 1), (3, 1)):
            await owner.letter(offset, of=of)
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        seen: list[RequestProgress] = []
        waiting = await ended(host, request, seen)
        assert (seen[0].state, seen[0].left) == (RequestState.RUNNING, 3)
        await owner.attempt(1, request.id)
        await owner.settle(1, Outcome.HANDLED, request.id)
        await until(lambda: seen[-1].handled == 1)
        await owner.settle(2, Outcome.FAILED, request.id)
        await owner.end(request.id, handled=1, failed=1)
        done = await waiting
        assert (done.state, done.handled, done.failed, done.left) == (RequestState.DONE, 1, 1, 1)
        assert not done.aborted


async def test_waiting_needs_every_source_that_has_letters_and_no_other() -> None:
    async with open_host() as host:
        owners = [await host.owner(partition) for partition in (0, 1, 5)]
        await owners[0].join()
        for owner in owners[:2]:
            await owner.letter(1, of=owner.source.partition)
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        seen: list[RequestProgress] = []
        waiting = await ended(host, request, seen)
        await owners[0].settle(1, Outcome.HANDLED, request.id)
        await owners[0].end(request.id, handled=1)
        await until(lambda: seen[-1].handled == 1)
        assert not waiting.done()
        await owners[1].settle(1, Outcome.HANDLED, request.id)
        await owners[1].end(request.id, handled=1, aborted=True)
        done = await waiting
        assert (done.state, done.handled, done.left, done.aborted) == (RequestState.DONE, 2, 0, True)


async def test_the_end_of_another_request_does_not_count() -> None:
    async with open_host() as host:
        owner = await host.owner(0)
        await owner.join()
        await owner.letter(1)
        other = await host.manager.redrive(EVERYTHING, group="billing", by="bob")
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        await owner.end(other.id, handled=1)
        late = await host.manager.wait(request, timeout=0.5)
        assert late.state is not RequestState.DONE, "whatever it had read by then"
        seen: list[RequestProgress] = []
        waiting = await ended(host, request, seen)
        assert (seen[0].state, seen[0].handled) == (RequestState.RUNNING, 0)
        await owner.end(request.id, handled=1)
        assert (await waiting).state is RequestState.DONE


async def test_an_end_of_an_overtaken_owner_does_not_count() -> None:
    async with open_host() as host:
        stale = await host.owner(0)
        await stale.letter(1)
        owner = await host.owner(0, epoch=epoch(2, "B"))
        await owner.join()
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        await stale.end(request.id, handled=1)
        seen: list[RequestProgress] = []
        waiting = await ended(host, request, seen)
        assert (seen[0].state, seen[0].handled, seen[0].left) == (RequestState.RUNNING, 0, 1)
        await owner.end(request.id, handled=1)
        assert (await waiting).state is RequestState.DONE


async def test_a_request_that_was_ended_before_the_wait_is_done() -> None:
    async with open_host() as host:
        owner = await host.owner(0)
        await owner.letter(1)
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        await owner.settle(1, Outcome.HANDLED, request.id)
        await owner.end(request.id, handled=1)
        done = await host.manager.wait(request, timeout=20)
        assert (done.state, done.handled, done.left) == (RequestState.DONE, 1, 0)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.mark.parametrize("gone", ["released", "killed", "never joined"])
async def test_without_an_owner_it_says_that_the_request_waits_for_a_member(gone: str) -> None:
    clock = Clock()
    async with open_host(clock=clock, sleep=clock.sleep) as host:
        owner = await host.owner(3)
        await owner.letter(1)
        if gone != "never joined":
            await owner.join()
        if gone == "released":
            await owner.release()
        elif gone == "killed" and owner.member is not None:
            await owner.member.leave()
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        found = await host.manager.wait(request, timeout=20)
        assert (found.state, found.left) == (RequestState.WAITING_FOR_MEMBER, 1)
        assert found.waiting_for == ("topic domain, partition 3 waits for a member of group billing",)
        assert "waits for a member of group billing" in found.advice
        assert 5 <= clock.now < 7


async def test_every_call_survives_that_the_server_was_away_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question after that is lost: the connection is noticed to be dead by asking."""
    async with open_host() as host:
        owner = await host.owner(0)
        await owner.letter(1)
        await owner.join()
        admin = host.connector.admin
        lost: set[str] = set()

        def lose_once(name: str) -> None:
            ask = getattr(admin, name)

            async def asked(*names: str, **where: Any) -> Any:
                if name not in lost:
                    lost.add(name)
                    raise ConnectionLostError("cut while nothing was asked")
                return await ask(*names, **where)

            monkeypatch.setattr(admin, name, asked)

        monkeypatch.setattr(type(host.connector), "admin", property(lambda _: admin))
        for name in ("describe_stream", "describe_group", "reader_offset"):
            lose_once(name)
        assert (await host.manager.stats()).letters == 1
        lost.clear()
        request = await host.manager.redrive(EVERYTHING, group="billing", by="ada")
        await owner.end(request.id, handled=1)
        lost.clear()
        assert (await host.manager.wait(request, timeout=20)).state is RequestState.DONE
        assert lost == {"describe_stream", "describe_group", "reader_offset"}


async def test_reading_survives_a_cut_connection(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await host.owner(0)
    await owner.letter(1)
    subscribe = host.connector.subscribe
    cuts = iter([True, False, True])

    async def cutting(**where: Any) -> Any:
        subscriber = await subscribe(**where)
        poll = subscriber.poll

        async def cut_sometimes(partition: int, **how: Any) -> Any:
            if next(cuts, False):
                raise ConnectionLostError("cut")
            return await poll(partition, **how)

        monkeypatch.setattr(subscriber, "poll", cut_sometimes)
        return subscriber

    monkeypatch.setattr(host.connector, "subscribe", cutting)
    assert len((await manager_of(host.connector).list(group="billing")).letters) == 1
