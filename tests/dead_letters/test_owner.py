"""Owners of one source partition: taking over, losing it, writing through faults, reading back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rustok_iggy.dead_letters.access import OwnerTiming
from rustok_iggy.dead_letters.journal import Verdict
from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.dead_letters.records import (
    Attempt,
    Checkpoint,
    Claim,
    Failure,
    Letter,
    Outcome,
    Release,
    letter_id,
)
from rustok_iggy.dead_letters.stored_start import JournalPlace, Kept, consumer_name, read_start
from rustok_iggy.errors import DeadLetterError, OffsetOutOfRangeError
from rustok_iggy_connector import MAX_PAYLOAD_BYTES, ConnectionLostError, NotFoundError, OutgoingMessage, PublishBatch
from rustok_iggy_connector.wire.commands.topics import PurgeTopic
from tests.dead_letters.journal_records import (
    ELSEWHERE,
    SOURCE,
    attempt,
    claim,
    epoch,
    request,
    settlement,
    tenant,
)
from tests.dead_letters.owned import DLQ, ORIGINAL, PARTITION, PATIENT, STREAM, Place, dlq, letter_draft
from tests.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with dlq() as opened:
        yield opened


async def append(place: Place, *records: object) -> None:
    """By somebody else: another member, an operator."""
    messages = []
    for number, record in enumerate(records):
        payload = record if isinstance(record, bytes) else encode_record(record).payload
        messages.append(OutgoingMessage(id=letter_id(SOURCE, offset=number), payload=payload))
    await place.connector.publish_batch(
        PublishBatch(stream=STREAM, topic=DLQ, partition_id=PARTITION, messages=messages)
    )


# Taking over


async def test_the_first_owner_does_not_wait(place: Place) -> None:
    owner = place.owner(timing=PATIENT)
    assert owner.claim_generation == 0
    assert await asyncio.wait_for(owner.gain(epoch=epoch(4), committed=-1), 20) == -1
    assert owner.claim_generation == 4
    assert owner.predecessor is None
    assert [type(record) for _, record in await place.log()] == [Claim]


async def test_what_is_wrong_with_the_source_is_raised_before_anything_is_written(place: Place) -> None:
    """A claim would note the offset again, as of now: the next owner would see nothing wrong."""
    await place.owner().gain(epoch=epoch(1), committed=9)
    before, owner = await place.log(), place.owner()
    known: list[int] = []

    async def check() -> None:
        known.append(owner.journal.low_mark)
        raise OffsetOutOfRangeError("another log", topic="domain", partition_id=3, expected=10, found=None)

    with pytest.raises(OffsetOutOfRangeError, match="another log"):
        await owner.gain(epoch=epoch(2, "B"), committed=-1, check=check)
    await owner.release()
    assert known == [9]
    assert await place.log() == before


async def test_nothing_is_claimed_anew_when_the_source_is_another(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=9)
    before = await place.log()

    async def check() -> None:
        raise OffsetOutOfRangeError("another log", topic="domain", partition_id=3, expected=10, found=None)

    with pytest.raises(OffsetOutOfRangeError, match="another log"):
        await owner.renew(epoch=epoch(2), committed=9, check=check)
    assert await place.log() == before


async def test_a_check_is_repeated_while_the_server_is_away(place: Place) -> None:
    answers: list[Exception] = [ConnectionLostError("cut"), ConnectionLostError("cut")]

    async def check() -> None:
        if answers:
            raise answers.pop()

    owner = place.owner()
    assert await owner.gain(epoch=epoch(1), committed=4, check=check) == 4
    assert owner.trouble is None


async def test_a_fold_from_a_checkpoint_knows_the_low_mark_as_of_the_checkpoint(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=4)
    await owner.release()
    (position,) = [at for at, record in await place.log() if isinstance(record, Checkpoint)]
    found = await place.access.reader.read_at(PARTITION, position=position)
    following = place.owner()
    await following.gain(epoch=epoch(2), committed=4)
    assert found is not None
    assert following.low_mark_at == found.stored_at


async def test_delivery_begins_after_the_committed_offset_or_the_low_mark(place: Place) -> None:
    assert await place.owner().gain(epoch=epoch(1), committed=9) == 9
    assert await place.owner().gain(epoch=epoch(2), committed=4) == 9
    assert await place.owner().gain(epoch=epoch(3), committed=12) == 12


async def test_a_release_ends_the_wait(place: Place) -> None:
    first, second = place.owner(), place.owner(timing=PATIENT)
    await first.gain(epoch=epoch(1), committed=-1)
    gaining = asyncio.create_task(second.gain(epoch=epoch(2, "B"), committed=-1))
    await until(lambda: second.claim_generation == 2)
    with pytest.raises(OvertakenError):
        await first.catch_up()
    assert not gaining.done()
    await first.release()
    await asyncio.wait_for(gaining, 20)
    assert second.predecessor is not None
    assert second.predecessor.epoch == epoch(1)


async def test_a_release_before_the_claim_leaves_nothing_to_wait_for(place: Place) -> None:
    first = place.owner()
    await first.gain(epoch=epoch(1), committed=-1)
    await first.release()
    second = place.owner(timing=PATIENT)
    await asyncio.wait_for(second.gain(epoch=epoch(2, "B"), committed=-1), 20)
    assert second.predecessor is not None
    assert second.predecessor.is_released


async def test_without_a_release_the_wait_ends_by_itself(place: Place) -> None:
    await place.owner().gain(epoch=epoch(1), committed=-1)
    times = iter(range(100))
    second = place.owner(timing=OwnerTiming(takeover_timeout=3), clock=lambda: next(times))
    await second.gain(epoch=epoch(2, "B"), committed=-1)
    assert next(times) == 4, "read when the claim stood, then until 3 s had passed"


async def test_who_never_ended_its_wait_releases_nothing(place: Place) -> None:
    first, second = place.owner(), place.owner(timing=PATIENT)
    await first.gain(epoch=epoch(1), committed=-1)
    gaining = asyncio.create_task(second.gain(epoch=epoch(2, "B"), committed=-1))
    await until(lambda: second.claim_generation == 2)
    gaining.cancel()
    await asyncio.wait({gaining})
    await second.release()
    assert not [record for _, record in await place.log() if isinstance(record, Release)]


async def test_a_higher_claim_stands_already(place: Place) -> None:
    await append(place, claim(epoch(7, "B")))
    late = place.owner()
    with pytest.raises(OvertakenError):
        await late.gain(epoch=epoch(6), committed=-1)
    assert late.is_lost


async def test_a_higher_claim_that_comes_during_the_wait_ends_it(place: Place) -> None:
    await place.owner().gain(epoch=epoch(1), committed=-1)
    second = place.owner(timing=PATIENT)
    gaining = asyncio.create_task(second.gain(epoch=epoch(2, "B"), committed=-1))
    await until(lambda: second.claim_generation == 2)
    await append(place, claim(epoch(3, "C")))
    with pytest.raises(OvertakenError):
        await asyncio.wait_for(gaining, 20)
    await second.release()
    assert not [record for _, record in await place.log() if isinstance(record, Release)]


async def test_a_created_again_group_has_the_higher_claim(place: Place) -> None:
    first = place.owner()
    await first.gain(epoch=epoch(9, group_id=1), committed=-1)
    await place.owner().gain(epoch=epoch(1, group_id=2), committed=-1)
    with pytest.raises(OvertakenError):
        await first.catch_up()


# A change of generation


async def test_a_generation_is_renewed_and_writing_goes_on_under_it(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    await owner.renew(epoch=epoch(3), committed=2)
    assert owner.claim_generation == 3
    assert await owner.write(letter_draft(5)) == [Verdict.APPLIED]
    assert [record.epoch.generation for _, record in await place.log() if isinstance(record, Letter)] == [3]
    assert owner.journal.low_mark == 2


async def test_ownership_that_went_away_and_came_back_is_lost(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    await append(place, claim(epoch(2, "B")))
    with pytest.raises(OvertakenError):
        await owner.renew(epoch=epoch(3), committed=-1)
    assert owner.claim_generation == 1
    with pytest.raises(OvertakenError):
        await owner.write(letter_draft(5))


async def test_a_renewal_during_the_wait_leaves_the_wait_as_it_is(place: Place) -> None:
    first, second = place.owner(), place.owner(timing=PATIENT)
    await first.gain(epoch=epoch(1), committed=-1)
    gaining = asyncio.create_task(second.gain(epoch=epoch(2, "B"), committed=-1))
    await until(lambda: second.claim_generation == 2)
    await second.renew(epoch=epoch(3, "B"), committed=6)
    assert second.claim_generation == 3
    assert not gaining.done()
    await first.release()
    assert await asyncio.wait_for(gaining, 20) == 6


async def test_nothing_goes_out_while_a_claim_is_not_read_back(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    place.connector.gate.clear()
    renewing = asyncio.create_task(owner.renew(epoch=epoch(3), committed=-1))
    await until(lambda: place.connector.under_way)
    writing = asyncio.create_task(owner.write(letter_draft(5)))
    await asyncio.sleep(0)
    sent = len(place.connector.sent)
    await append_under(place, claim(epoch(2, "B")))
    place.connector.gate.set()
    with pytest.raises(OvertakenError):
        await renewing
    with pytest.raises(OvertakenError):
        await writing
    assert len(place.connector.sent) == sent
    assert not [record for _, record in await place.log() if isinstance(record, Letter)]


async def append_under(place: Place, record: Claim) -> None:
    """While the gate of `place` is shut: through another process."""
    async with dlq(place.server) as other:
        await append(other, record)


# Writing and reading back


async def test_letters_are_read_back_and_can_be_opened(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    assert await owner.write(letter_draft(5), letter_draft(6)) == [Verdict.APPLIED] * 2
    folded = owner.journal.letter(6)
    assert folded is not None
    assert owner.journal.parked_from(tenant(0)) == 5
    before = owner.journal.letter(5)
    assert before is not None
    assert await owner.bodies([before, folded]) == [ORIGINAL] * 2
    assert await owner.bodies([folded, before]) == [ORIGINAL]
    ids = [message.id for message in place.connector.sent[-1].messages]
    assert ids == [letter_id(SOURCE, offset=5), letter_id(SOURCE, offset=6)]


@pytest.mark.parametrize(
    ("faults", "copies"),
    [(["fail", "fail"], 1), (["lose reply"], 2), (["twice"], 2), (["lose reply", "fail", "twice"], 3)],
)
async def test_what_a_fault_repeats_counts_once(place: Place, faults: list[str | Exception], copies: int) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    await owner.write(letter_draft(5))
    place.connector.faults = faults
    assert await owner.write(lambda under: attempt(under, 5, 1), letter_draft(6)) == [Verdict.APPLIED] * 2
    assert sum(isinstance(record, Attempt) for _, record in await place.log()) == copies
    folded = owner.journal.letter(5)
    assert folded is not None
    assert folded.attempts == 1
    repeated = [[message.id for message in batch.messages] for batch in place.connector.sent[2:]]
    assert all(ids == repeated[0] for ids in repeated)


async def test_a_letter_that_is_known_already_is_ignored(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=3)
    await owner.write(letter_draft(5))
    assert await owner.write(letter_draft(5), letter_draft(2)) == [Verdict.IGNORED] * 2


async def test_the_letter_of_an_owner_that_was_overtaken_is_void(place: Place) -> None:
    stale = place.owner()
    await stale.gain(epoch=epoch(1), committed=-1)
    owner = place.owner()
    await owner.gain(epoch=epoch(2, "B"), committed=-1)
    with pytest.raises(OvertakenError):
        await stale.write(letter_draft(5))
    await owner.catch_up()
    assert owner.journal.letter(5) is None
    with pytest.raises(OvertakenError):
        await stale.write(letter_draft(6))


async def test_requests_are_caught_up_with(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    assert not await owner.catch_up()
    await append(place, claim(epoch(1), source=ELSEWHERE), b"made by hand")
    assert not await owner.catch_up()
    await append(place, request())
    assert await owner.catch_up()
    assert [open_.request.id for open_ in owner.journal.requests] == [request().id]
    assert not await owner.catch_up()


async def purge(place: Place) -> None:
    """Empty the dlq topic, which this library has no call for."""
    await place.connector.admin._session.run(  # type: ignore[attr-defined]  # of SessionAdmin
        lambda client: client.request(PurgeTopic(stream=STREAM, topic=DLQ), subject=DLQ)
    )


async def test_a_log_that_was_emptied_is_missed_at_the_next_look(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=4)
    await owner.write(letter_draft(5), letter_draft(6, 1))
    await purge(place)
    with pytest.raises(OffsetOutOfRangeError, match="it was emptied, and with it 2 open dead letters"):
        await owner.catch_up()
    assert owner.is_lost, "nothing of what it knows may be written any more"
    await owner.release()
    assert [type(record) for _, record in await place.log()] == [Release]


async def test_a_log_that_was_emptied_and_is_as_long_again_is_missed(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=4)
    await owner.write(letter_draft(5))
    await purge(place)
    await append(place, *[claim(epoch(1), source=ELSEWHERE)] * 5)
    with pytest.raises(OffsetOutOfRangeError, match="it was emptied, and with it 1 open dead letters"):
        await owner.catch_up()


async def test_a_log_that_was_emptied_of_nothing_that_was_open_is_claimed_anew(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=4)
    await purge(place)
    with pytest.raises(OvertakenError, match="was emptied: claim it again"):
        await owner.catch_up()
    assert await place.owner().gain(epoch=epoch(1), committed=4) == 4


async def test_a_pin_that_somebody_deleted_is_stored_again(place: Place) -> None:
    owner, pin = place.owner(), consumer_name(SOURCE, Kept.PIN)
    await owner.gain(epoch=epoch(1), committed=4)
    await owner.write(letter_draft(5))
    where = {"stream": STREAM, "topic": DLQ, "partition_id": PARTITION, "consumer": pin}
    await place.connector.admin.delete_reader_offset(**where)  # type: ignore[arg-type]  # as reader_offset
    await owner.catch_up()
    await owner.keep_start()
    assert await place.connector.admin.reader_offset(**where) is not None  # type: ignore[arg-type]
    assert owner.journal.open_count == 1


async def test_a_crash_between_letter_and_commit_leaves_the_letter(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=4)
    await owner.write(letter_draft(5), letter_draft(6, 1))
    del owner  # nothing was committed, nothing released
    again = place.owner()
    assert await again.gain(epoch=epoch(2, "B"), committed=4) == 4
    assert [letter.offset for letter in again.journal.open_letters()] == [5, 6]
    assert await again.write(letter_draft(5)) == [Verdict.IGNORED]


async def test_a_record_too_big_is_its_callers_matter_only(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    too_big = letter_draft(5, body=bytes(MAX_PAYLOAD_BYTES))
    results = await asyncio.gather(
        owner.write(too_big),
        owner.write(letter_draft(6), too_big),
        owner.write(letter_draft(7)),
        return_exceptions=True,
    )
    assert isinstance(results[0], DeadLetterError)
    assert isinstance(results[1], DeadLetterError)
    assert results[2] == [Verdict.APPLIED]
    assert [letter.offset for letter in owner.journal.open_letters()] == [7]


async def test_a_stack_that_was_cut_is_recognised(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    long = Failure(error_type="ValueError", fingerprint="f", stack="x" * 200_000)
    assert await owner.write(letter_draft(5, failure=long)) == [Verdict.APPLIED]


async def test_nothing_is_written_before_the_partition_was_gained(place: Place) -> None:
    with pytest.raises(DeadLetterError):
        await place.owner().write(letter_draft(5))
    assert await place.log() == []


# Losing it


async def test_what_waits_when_the_partition_is_lost_is_not_sent(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    place.connector.gate.clear()
    first = asyncio.create_task(owner.write(letter_draft(5)))
    await until(lambda: place.connector.under_way)
    second = asyncio.create_task(owner.write(letter_draft(6)))
    await asyncio.sleep(0)
    owner.abandon()
    place.connector.gate.set()
    assert isinstance((await asyncio.gather(second, return_exceptions=True))[0], OvertakenError)
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], OvertakenError)
    assert [record.offset for _, record in await place.log() if isinstance(record, Letter)] == [5], "it was under way"


async def test_a_release_is_written_also_when_the_partition_was_lost(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    owner.abandon()
    await owner.release()
    await owner.release()
    assert [type(record) for _, record in await place.log()] == [Claim, Release]
    claimed = (await place.folded()).claim
    assert claimed is not None
    assert claimed.is_released


async def test_a_release_behind_the_next_claim_counts(place: Place) -> None:
    owner, following = place.owner(), place.owner(timing=PATIENT)
    await owner.gain(epoch=epoch(1), committed=-1)
    gaining = asyncio.create_task(following.gain(epoch=epoch(2, "B"), committed=-1))
    await until(lambda: following.claim_generation == 2)
    await owner.release()  # it does not know yet: its checkpoint is void
    await asyncio.wait_for(gaining, 20)


async def test_releasing_gives_up_when_the_server_is_away(place: Place) -> None:
    owner = place.owner(timing=OwnerTiming(takeover_timeout=0, release_timeout=0.3))
    await owner.gain(epoch=epoch(1), committed=-1)
    place.connector.faults = ["fail"] * 100_000
    await asyncio.wait_for(owner.release(), 20)
    place.connector.faults = []
    assert not [record for _, record in await place.log() if isinstance(record, Release)]


# The start of the fold


async def test_the_next_owner_starts_at_the_checkpoint_of_the_release(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    await owner.write(letter_draft(5), letter_draft(6))
    await owner.write(lambda under: settlement(under, 5, Outcome.HANDLED))
    await owner.release(committed=8)
    kinds = [type(record) for _, record in await place.log()]
    assert kinds[-2:] == [Checkpoint, Release]
    following = place.owner(timing=PATIENT)
    assert await following.gain(epoch=epoch(2, "B"), committed=7) == 8
    assert following.journal.snapshot() == (await place.folded()).snapshot()
    assert [letter.offset for letter in following.journal.open_letters()] == [6]


async def test_a_checkpoint_is_written_every_so_many_records(place: Place) -> None:
    owner = place.owner(timing=OwnerTiming(takeover_timeout=0, checkpoint_every=5))
    await owner.gain(epoch=epoch(1), committed=-1)
    for offset in range(12):
        await owner.write(letter_draft(offset))
        await owner.keep_start(committed=offset)
    checkpoints = [(at, record.committed) for at, record in await place.log() if isinstance(record, Checkpoint)]
    assert checkpoints == [(5, 3), (11, 8)]
    assert owner.journal.low_mark == 8


async def test_the_pin_keeps_what_is_open_and_moves_when_it_is_closed(place: Place) -> None:
    await append(place, *[claim(epoch(1), source=ELSEWHERE)] * 3)
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    await owner.write(letter_draft(5))
    await owner.renew(epoch=epoch(2), committed=6)
    await owner.keep_start()
    assert await stored_pin(place) == 2, "the position before the claim under which the letter was written"
    await owner.write(lambda under: settlement(under, 5, Outcome.DISCARDED))
    await owner.keep_start()
    assert await stored_pin(place) == 4


async def stored_pin(place: Place) -> int | None:
    where = JournalPlace(stream=STREAM, topic=DLQ, partition=PARTITION)
    return (await read_start(place.access.reader, place.connector.admin, place=where, source=SOURCE)).pin


async def test_a_journal_from_the_first_record_is_pinned_too(place: Place) -> None:
    owner = place.owner()
    await owner.gain(epoch=epoch(1), committed=-1)
    await owner.write(letter_draft(5))
    await owner.keep_start()
    assert await stored_pin(place) == 0
    following = place.owner()
    await following.gain(epoch=epoch(2, "B"), committed=-1)
    assert following.journal.letter(5) is not None
    assert not following.letters_expired


async def test_a_missing_dlq_topic_is_waited_for_and_named(place: Place) -> None:
    await place.connector.admin.delete_topic(stream=STREAM, topic=DLQ)
    owner = place.owner()
    gaining = asyncio.create_task(owner.gain(epoch=epoch(1), committed=-1))
    await until(lambda: owner.trouble)
    assert isinstance(owner.trouble, NotFoundError)
    owner.abandon()
    with pytest.raises(OvertakenError):
        await asyncio.wait_for(gaining, 20)
