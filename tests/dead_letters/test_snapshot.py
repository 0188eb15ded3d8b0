from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.dead_letters import snapshot as snapshot_module
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import Outcome
from rustok_iggy.dead_letters.snapshot import Snapshot, decode_snapshot, encode_snapshot
from rustok_iggy.errors import DeadLetterError
from tests.dead_letters.journal_records import (
    SOURCE,
    attempt,
    claim,
    epoch,
    folded,
    letter,
    request,
    settlement,
    tenant,
)

OWNER = epoch(1)
FULL = folded(
    claim(OWNER),
    letter(OWNER, 5),
    letter(OWNER, 6, of=None, event_id=None, event_type=None, schema_version=None),
    letter(OWNER, 7),
    request(),
    attempt(OWNER, 5, 1),
    settlement(OWNER, 5, Outcome.HANDLED),
    settlement(OWNER, 6, Outcome.FAILED),
)


@pytest.mark.parametrize("journal", [FULL, Journal(SOURCE)], ids=["full", "empty"])
def test_a_journal_is_what_its_checkpoint_says(journal: Journal) -> None:
    again = Journal.restore(decode_snapshot(encode_snapshot(journal.snapshot())))
    assert again.snapshot() == journal.snapshot()
    assert again.pin == journal.pin
    assert again.requests == journal.requests
    assert again.parked_tenants == journal.parked_tenants
    assert again.parked_from(tenant(0)) == journal.parked_from(tenant(0))


def test_a_snapshot_holds_what_is_open_and_what_stands_above_the_low_mark() -> None:
    held = {known.offset: known.outcome for known in FULL.snapshot().letters}
    assert held == {5: Outcome.HANDLED, 6: None, 7: None}


def test_a_checkpoint_that_is_too_large_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    body = encode_snapshot(FULL.snapshot())
    monkeypatch.setattr(snapshot_module, "MAX_SNAPSHOT_BYTES", len(body) - 1)
    with pytest.raises(DeadLetterError, match=str(len(body))):
        encode_snapshot(FULL.snapshot())
    with pytest.raises(DeadLetterError, match=str(len(body))):
        decode_snapshot(body)


@given(st.binary(max_size=300))
def test_garbage_is_one_error(body: bytes) -> None:
    with pytest.raises(DeadLetterError):
        decode_snapshot(body)


@given(st.data())
def test_a_damaged_snapshot_is_one_error_or_another_snapshot(data: st.DataObject) -> None:
    body = bytearray(encode_snapshot(FULL.snapshot()))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_snapshot(bytes(body))
    except DeadLetterError:
        return
    assert isinstance(found, Snapshot)
    Journal.restore(found)
