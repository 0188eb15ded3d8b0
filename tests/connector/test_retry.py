"""Tries again what may succeed later, with waits that grow, until the time is over."""

import pytest

from rustok_iggy_connector import ConnectionLostError, NotFoundError, RetryPolicy, ServerUnreachableError

pytestmark = pytest.mark.anyio


class Time:
    """A clock that only sleeping and calling move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Call:
    """Fails so many times, each try taking a while, then succeeds."""

    def __init__(self, time: Time, *, failures: int, error: Exception, takes: float = 0.0) -> None:
        self._time = time
        self._failures = failures
        self._error = error
        self._takes = takes
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        self._time.now += self._takes
        if self.tries <= self._failures:
            raise self._error
        return "done"


UNREACHABLE = ServerUnreachableError("down")


async def run(policy: RetryPolicy, call: Call, time: Time) -> str:
    return await policy.run(call, clock=time.clock, sleep=time.sleep)


async def test_a_call_that_works_is_made_once_and_waits_for_nothing() -> None:
    time = Time()
    call = Call(time, failures=0, error=UNREACHABLE)
    assert await run(RetryPolicy(), call, time) == "done"
    assert (call.tries, time.sleeps) == (1, [])


async def test_waits_double_up_to_the_longest_and_are_only_lengthened_by_jitter() -> None:
    time = Time()
    call = Call(time, failures=6, error=UNREACHABLE)
    policy = RetryPolicy(initial_delay=0.1, max_delay=0.5, jitter=0.01)
    assert await run(policy, call, time) == "done"
    for waited, least in zip(time.sleeps, [0.1, 0.2, 0.4, 0.5, 0.5, 0.5], strict=True):
        assert least <= waited <= least + 0.01


async def test_an_error_that_will_stay_is_raised_at_once() -> None:
    time = Time()
    call = Call(time, failures=9, error=NotFoundError("gone"))
    with pytest.raises(NotFoundError):
        await run(RetryPolicy(), call, time)
    assert call.tries == 1


async def test_a_lasting_error_after_a_passing_one_is_raised_as_it_is() -> None:
    errors = [UNREACHABLE, NotFoundError("gone")]

    async def call() -> str:
        raise errors.pop(0)

    with pytest.raises(NotFoundError):
        await RetryPolicy().run(call, sleep=Time().sleep)


async def test_a_first_try_that_took_all_the_time_is_the_only_one() -> None:
    time = Time()
    call = Call(time, failures=9, error=UNREACHABLE, takes=10.0)
    with pytest.raises(ServerUnreachableError, match="down"):
        await run(RetryPolicy(max_elapsed=10.0), call, time)
    assert (call.tries, time.sleeps) == (1, [])


async def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    time = Time()
    call = Call(time, failures=10**6, error=UNREACHABLE, takes=1.0)
    with pytest.raises(ServerUnreachableError):
        await run(RetryPolicy(initial_delay=0.5, max_delay=1.0, jitter=0, max_elapsed=5.5), call, time)
    assert (call.tries, time.sleeps, time.now) == (3, [0.5, 1.0], 4.5), "a third wait would end when the time is over"


@pytest.mark.parametrize("passing", [0, 1])
async def test_a_policy_says_itself_what_it_repeats(passing: int) -> None:
    errors = [*[ConnectionLostError("cut")] * passing, UNREACHABLE]

    async def call() -> str:
        raise errors.pop(0)

    policy = RetryPolicy(repeats=lambda error: isinstance(error, ConnectionLostError))
    with pytest.raises(ServerUnreachableError):
        await policy.run(call, sleep=Time().sleep)
    assert errors == []
