"""What follows from the server's answers."""

from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.consumer.assignment import Changes, Handover, changes, handover, is_still_ours, may_begin
from rustok_iggy_connector import Assignment, CommittedOffset


def answer(generation: int, *partitions: int) -> Assignment:
    return Assignment(generation=generation, partitions=partitions)


def test_the_first_answer_gains_all() -> None:
    assert changes(owned=[], generation=0, answer=answer(1, 0, 2)) == Changes(gained=(0, 2))


def test_the_same_answer_changes_nothing() -> None:
    assert changes(owned=[0, 2], generation=1, answer=answer(1, 0, 2)).is_empty


def test_a_new_generation_makes_what_is_kept_uncertain() -> None:
    found = changes(owned=[0, 1], generation=1, answer=answer(2, 1, 2))
    assert found == Changes(gained=(2,), missing=(0,), reread=(1,))


def test_who_is_no_member_has_lost_all() -> None:
    assert changes(owned=[0, 1], generation=4, answer=answer(0)) == Changes(lost=(0, 1))


@given(owned=st.sets(st.integers(0, 9)), now=st.sets(st.integers(0, 9)), generation=st.integers(1, 3))
def test_every_partition_has_one_fate(owned: set[int], now: set[int], generation: int) -> None:
    found = changes(owned=owned, generation=1, answer=answer(generation, *sorted(now)))
    fates = [*found.gained, *found.missing, *found.reread, *found.lost]
    assert len(fates) == len(set(fates))
    expected = owned ^ now if generation == 1 else owned | now
    assert set(fates) == expected


def test_a_missing_partition_is_handed_over_only_if_the_server_takes_its_offset_in_the_same_generation() -> None:
    before = answer(3, 1)
    assert handover(store_accepted=False, before=before, after=before) is Handover.LOST
    assert handover(store_accepted=True, before=before, after=answer(3, 1)) is Handover.REVOKED
    assert handover(store_accepted=True, before=before, after=answer(4, 1)) is Handover.UNDECIDED


def test_ours_is_what_holds_the_offset_we_stored() -> None:
    assert is_still_ours(stored=None, sent=None, found=None)
    assert is_still_ours(stored=5, sent=5, found=CommittedOffset(committed=5, current=9))
    assert not is_still_ours(stored=5, sent=5, found=CommittedOffset(committed=6, current=9))
    assert not is_still_ours(stored=None, sent=None, found=CommittedOffset(committed=0, current=9))
    assert not is_still_ours(stored=5, sent=5, found=None)


def test_ours_is_also_what_holds_an_offset_whose_store_had_no_answer() -> None:
    assert is_still_ours(stored=5, sent=7, found=CommittedOffset(committed=5, current=9))
    assert is_still_ours(stored=5, sent=7, found=CommittedOffset(committed=7, current=9))
    assert not is_still_ours(stored=5, sent=7, found=CommittedOffset(committed=6, current=9))


def test_nothing_begins_three_heartbeats_after_the_last_answer() -> None:
    assert may_begin(asked_at=10.0, now=13.0, heartbeat_interval=1.0)
    assert not may_begin(asked_at=10.0, now=13.1, heartbeat_interval=1.0)
    assert not may_begin(asked_at=float("-inf"), now=0.0, heartbeat_interval=1.0)
