"""The results of a batch: one per envelope, in order, whatever became of them."""

from uuid import UUID

import pytest

from rustok_iggy.errors import PredecessorFailedError, ValidationError
from rustok_iggy.publish_queue import PublishFailure, PublishStatus, Submission, predecessor_failure
from rustok_iggy.publish_results import PublishResults, Share
from rustok_iggy_connector import OutgoingMessage

IDS = [UUID(int=number) for number in range(1, 7)]
TENANT = UUID(int=99)


def share(partition: int, *indexes: int) -> Share:
    messages = [OutgoingMessage(id=IDS[index], payload=b"x") for index in indexes]
    submission = Submission(messages, [TENANT] * len(messages), deadline=0.0)
    return Share(topic="domain", partition_id=partition, indexes=indexes, submission=submission)


def mixed() -> PublishResults:
    """0, 2, 3 in partition 1: all stored, in two sends. 1, 4 in partition 2: 1 lost, 4 held back. 5 was invalid."""
    one, two = share(1, 0, 2, 3), share(2, 1, 4)
    one.submission.confirmed += [(range(2), 10), (range(2, 3), 20)]
    two.submission.failures[0] = PublishFailure(PublishStatus.UNKNOWN, ConnectionError("lost"))
    two.submission.failures[1] = predecessor_failure(IDS[1])
    invalid = PublishFailure(PublishStatus.FAILED, ValidationError(["kind: is empty"]))
    return PublishResults(IDS, [one, two], {5: invalid})


def test_each_envelope_has_its_result_in_order() -> None:
    results = mixed()
    assert [result.event_id for result in results] == IDS
    assert [result.status.value for result in results] == [
        "confirmed",
        "unknown",
        "confirmed",
        "confirmed",
        "unsent",
        "failed",
    ]
    places = [(c.partition_id, c.offset, c.event_id) for r in results if (c := r.confirmation) is not None]
    assert places == [(1, 10, IDS[0]), (1, 11, IDS[2]), (1, 20, IDS[3])]
    assert isinstance(results[4].error, PredecessorFailedError)
    assert results[1:3] == [results[1], results[2]]


def test_the_counts_add_up() -> None:
    results = mixed()
    assert {status.value: count for status, count in results.counts.items()} == {
        "confirmed": 3,
        "failed": 1,
        "unknown": 1,
        "unsent": 1,
    }
    assert sum(results.counts.values()) == len(results) == 6
    assert not results.all_confirmed


def test_the_cause_is_raised_rather_than_what_was_held_back() -> None:
    with pytest.raises(ConnectionError) as caught:
        mixed().raise_for_failures()
    assert caught.value.__notes__ == ["of 6 events published together: 3 confirmed, 1 failed, 1 unknown, 1 unsent"]


def test_nothing_is_raised_when_all_are_confirmed() -> None:
    one = share(0, 0, 1)
    one.submission.confirmed.append((range(2), 5))
    results = PublishResults(IDS[:2], [one], {})
    results.raise_for_failures()
    assert results.all_confirmed
    assert [result.is_confirmed for result in results] == [True, True]


def test_no_envelopes_no_results() -> None:
    results = PublishResults([], [], {})
    results.raise_for_failures()
    assert list(results) == []
