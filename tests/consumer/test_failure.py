"""What a failure leads to: retries, policies, the breaker; and which messages came before."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy import Block, ConfigError, DeadLetter, DecodeError, ParkTenant, Reject, Retry, RetryLater, Stop
from rustok_iggy.consumer.breaker import FIRST_PAUSE, LAST_OUTCOMES, CircuitBreaker
from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.failure import Decision, FailurePolicy, Outcome, decide
from rustok_iggy.dead_letters.records import Cause

RETRY = Retry(attempts=3, delay=1.0, max_delay=5.0, jitter=0.5, fatal=(KeyError,))


def decision(
    error: Exception, *, policy: FailurePolicy, failures: int = 1, elapsed: float = 0.0, **more: bool
) -> Decision:
    return decide(policy, error, failures=failures, elapsed=elapsed, chance=0.0, **more)


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_jitter_only_lengthens_and_delays_are_bounded(failures: int, chance: float) -> None:
    planned = RETRY.delay_after(failures, 0.0)
    assert planned == min(5.0, 2.0 ** min(failures - 1, 60))
    assert planned <= RETRY.delay_after(failures, chance) <= planned * 1.5


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"attempts": "3"}, "Retry.attempts: '3' is no whole number of at least 1"),
        ({"attempts": 0}, "Retry.attempts: 0 is no whole number"),
        ({"delay": "1s"}, "Retry.delay: '1s' is no number of at least 0"),
        ({"jitter": float("nan")}, "Retry.jitter: nan is no number"),
        ({"max_elapsed": -1}, "Retry.max_elapsed: -1 is no number"),
        ({"delay": 2, "max_delay": 1}, "Retry.max_delay: is below delay"),
        ({"fatal": KeyError}, "Retry.fatal: is no tuple of exception classes"),
        ({"fatal": ("KeyError",)}, "Retry.fatal: is no tuple of exception classes"),
    ],
)
def test_a_retry_that_would_fail_at_the_first_failure_is_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Retry(**values)


def test_retries_come_before_the_policy() -> None:
    policy = Stop(retry=RETRY)
    assert [decision(ValueError(), policy=policy, failures=n).outcome for n in (1, 2, 3)] == ["again", "again", "stop"]


def test_what_is_fatal_is_not_retried() -> None:
    error = KeyError("no")
    assert decision(error, policy=Stop(retry=RETRY)).outcome is Outcome.STOP
    assert decision(error, policy=Block(retry=RETRY)) == Decision(outcome=Outcome.AGAIN, delay=5.0)
    assert decision(error, policy=ParkTenant(retry=RETRY)) == Decision(outcome=Outcome.LETTER, parks=True)
    assert decision(error, policy=DeadLetter(retry=RETRY)) == Decision(outcome=Outcome.LETTER)


@pytest.mark.parametrize(
    ("policy", "outcome", "parks"),
    [
        (ParkTenant(), Outcome.LETTER, True),
        (Block(), Outcome.LETTER, True),
        (DeadLetter(), Outcome.LETTER, False),
        (Stop(retry=RETRY), Outcome.STOP, False),
    ],
)
def test_what_is_rejected_or_unreadable_is_kept_at_once(policy: FailurePolicy, outcome: Outcome, parks: bool) -> None:
    rejected = decision(Reject("never"), policy=policy)
    assert (rejected.outcome, rejected.parks) == (outcome, parks)
    assert decision(Reject("never", park=False), policy=policy).parks is False
    unreadable = decision(DecodeError("no", format="json"), policy=policy, unreadable=True)
    assert (unreadable.outcome, unreadable.parks) == (outcome, parks)
    if outcome is Outcome.LETTER:
        assert (rejected.cause, unreadable.cause) == (Cause.REJECTED, Cause.UNDECODABLE)


@pytest.mark.parametrize("policy", [ParkTenant(), Block(), DeadLetter(), Stop()])
def test_a_letter_that_fails_again_stays_one_whatever_the_policy(policy: FailurePolicy) -> None:
    assert decision(ValueError(), policy=policy, failures=99, redriven=True).outcome is Outcome.LETTER
    assert decision(RetryLater(1), policy=policy, failures=99, redriven=True).outcome is Outcome.AGAIN


def test_block_goes_on_at_the_longest_delay() -> None:
    assert decision(ValueError(), policy=Block(retry=RETRY), failures=99) == Decision(outcome=Outcome.AGAIN, delay=5.0)


def test_nothing_is_retried_after_the_longest_time() -> None:
    policy = Stop(retry=Retry(attempts=100, max_elapsed=10.0))
    assert decision(ValueError(), policy=policy, elapsed=10.0).outcome is Outcome.AGAIN
    assert decision(ValueError(), policy=policy, elapsed=10.1).outcome is Outcome.STOP


def test_retry_later_uses_up_nothing() -> None:
    assert decision(RetryLater(120), policy=Stop(), failures=99) == Decision(outcome=Outcome.AGAIN, delay=120)


def test_a_retry_that_makes_no_sense_is_refused_with_every_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        Retry(attempts=0, delay=-1, max_delay=-2)
    assert all(name in str(caught.value) for name in ("delay", "attempts", "max_delay"))


def failing(breaker: CircuitBreaker, count: int, tenants: int, now: float = 0.0) -> None:
    for number in range(count):
        breaker.failed(number % tenants, now)


def test_ten_failures_in_a_row_of_three_tenants_open_the_breaker() -> None:
    breaker = CircuitBreaker()
    failing(breaker, 9, 3)
    assert not breaker.is_open
    failing(breaker, 1, 3)
    assert breaker.is_open


def test_two_ill_tenants_do_not() -> None:
    breaker = CircuitBreaker()
    failing(breaker, 30, 2)
    assert not breaker.is_open


def test_more_than_half_of_the_last_hundred_do() -> None:
    breaker = CircuitBreaker()
    for _ in range(LAST_OUTCOMES // 2):
        breaker.succeeded()
        breaker.failed("a", 0.0)
    assert not breaker.is_open
    breaker.failed("a", 0.0)  # pushes out a success
    assert breaker.is_open


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=12))
def test_the_breaker_opens_when_more_than_half_of_the_last_hundred_failed(runs: list[tuple[bool, int]]) -> None:
    breaker = CircuitBreaker()
    outcomes = [failed for failed, times in runs for _ in range(times)]
    for number, failed in enumerate(outcomes, start=1):
        if failed:
            breaker.failed("a", 0.0)
        else:
            breaker.succeeded()
        assert breaker.is_open is (sum(outcomes[max(0, number - LAST_OUTCOMES) : number]) * 2 > LAST_OUTCOMES)
        if breaker.is_open:
            return


def test_an_open_breaker_lets_one_probe_through_at_a_time() -> None:
    breaker = CircuitBreaker()
    failing(breaker, 10, 3)
    assert not breaker.may_begin(FIRST_PAUSE / 2)
    assert breaker.may_begin(FIRST_PAUSE)
    assert not breaker.may_begin(FIRST_PAUSE)
    breaker.failed("a", FIRST_PAUSE)
    assert not breaker.may_begin(FIRST_PAUSE * 2.5), "each pause is twice as long"
    assert breaker.may_begin(FIRST_PAUSE * 3)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.may_begin(FIRST_PAUSE * 3)


def test_a_probe_without_an_outcome_makes_way_for_another() -> None:
    breaker = CircuitBreaker()
    failing(breaker, 10, 3)
    assert breaker.may_begin(FIRST_PAUSE)
    breaker.given_up()
    assert breaker.may_begin(FIRST_PAUSE)


@given(st.lists(st.integers(0, 20), max_size=200), st.integers(1, 12))
def test_an_id_is_new_unless_it_is_among_the_last_ones(ids: list[int], window: int) -> None:
    known, order = Deduplication(window=window), list[int]()
    for each in ids:
        assert known.is_new(each) is (each not in order)
        if each not in order:
            order = [*order, each][-window:]
