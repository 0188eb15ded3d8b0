"""What is known about a batch after some tries."""

import pytest

from rustok_iggy.publish_attempt import LONGEST_RETRY_DELAY, PublishAttempt
from rustok_iggy.publish_queue import PublishStatus
from rustok_iggy_connector import (
    ConnectionLostError,
    ConnectorError,
    NotFoundError,
    RequestTimeoutError,
    ServerUnreachableError,
)

LOST, DOWN, REFUSED = ConnectionLostError("cut"), ServerUnreachableError("down"), NotFoundError("no topic")


def after(*errors: ConnectorError) -> PublishAttempt:
    attempt = PublishAttempt()
    for error in errors:
        attempt.begin()
        attempt.failed(error)
    return attempt


@pytest.mark.parametrize(
    ("errors", "status", "told"),
    [
        ((REFUSED,), PublishStatus.FAILED, NotFoundError),
        ((DOWN, DOWN), PublishStatus.FAILED, ServerUnreachableError),
        ((LOST,), PublishStatus.UNKNOWN, ConnectionLostError),
        ((DOWN, LOST), PublishStatus.UNKNOWN, ConnectionLostError),
        ((LOST, DOWN), PublishStatus.UNKNOWN, ConnectionLostError),
        ((LOST, REFUSED), PublishStatus.UNKNOWN, ConnectionLostError),
    ],
)
def test_one_unknown_try_makes_the_whole_unknown(
    errors: tuple[ConnectorError, ...], status: PublishStatus, told: type[Exception]
) -> None:
    failure = after(*errors).failure(30.0)
    assert (failure.status, type(failure.error)) == (status, told)


def test_a_try_that_was_cut_off_is_unknown() -> None:
    attempt = after(DOWN)
    attempt.begin()
    failure = attempt.failure(30.0)
    assert (failure.status, type(failure.error)) == (PublishStatus.UNKNOWN, RequestTimeoutError)


def test_the_wait_doubles_up_to_a_bound() -> None:
    delays = [after(*[DOWN] * tries).delay for tries in range(1, 10)]
    assert delays[1] == 2 * delays[0]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_RETRY_DELAY
