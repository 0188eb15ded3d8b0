import threading
from functools import partial

import pytest

from tests.waiting import until, wait_until

pytestmark = pytest.mark.anyio

AT_ONCE = 0.02


async def test_it_looks_until_the_condition_holds() -> None:
    looks = iter([False, None, [], 1])
    await until(lambda: next(looks))
    assert not list(looks)


async def test_what_can_be_awaited_is_awaited() -> None:
    answers = iter([False, False, True])

    async def agreed() -> bool:
        return next(answers)

    await until(agreed)
    assert not list(answers)


async def test_a_failure_shows_what_was_waited_for() -> None:
    handled: list[int] = []
    with pytest.raises(AssertionError, match=r"not within 0.02 s: .*len\(handled\) == 4"):
        await until(lambda: len(handled) == 4, within=AT_ONCE)


async def test_a_condition_that_never_answers_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="async def never"):

        async def never() -> bool:
            await until(lambda: False)
            return True

        await until(never, within=AT_ONCE)


async def test_a_time_limit_of_the_condition_itself_is_its_own() -> None:
    async def late() -> bool:
        raise TimeoutError("the server")

    with pytest.raises(TimeoutError, match="the server"):
        await until(late)


def test_without_a_loop() -> None:
    done = threading.Event()
    threading.Thread(target=done.set).start()
    wait_until(done.is_set)
    with pytest.raises(AssertionError, match="partial"):
        wait_until(partial(int, "0"), within=AT_ONCE)
