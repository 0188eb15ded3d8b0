"""check_handler: good handlers pass, and each kind of bad one is told what is wrong and where."""

import asyncio
from typing import Any

import pytest

from rustok_iggy import ConfigError, DeliveryContext, EventEnvelope, Reject, RetryLater
from rustok_iggy.testing import Trial, check_handler, rig
from rustok_iggy.testing.settling import settle
from rustok_iggy.testing.verdict import HandlerVerdict
from tests.testing.services import BOB, Ledger, Sum, catalog, counted
from tests.waiting import WITHIN

pytestmark = pytest.mark.anyio

EVENTS = (*counted(1, 2), *counted(3, tenant=BOB))


def failed(verdict: HandlerVerdict) -> set[Trial]:
    return {each.trial for each in verdict.results if not each.passed}


async def test_an_idempotent_handler_passes() -> None:
    ledger = Ledger()
    verdict = await check_handler(
        ledger.enter, *EVENTS, effects=lambda: ledger.entries, reset=ledger.entries.clear, catalog=catalog
    )
    verdict.raise_for_failures()
    assert [each.trial for each in verdict.results] == list(Trial)
    assert str(verdict).startswith("Ledger.enter: passed")


async def test_effects_that_add_up_are_found_by_every_trial_that_repeats() -> None:
    total = Sum()

    async def current() -> int:
        await asyncio.sleep(0)
        return total.total

    verdict = await check_handler(total.add, *EVENTS, effects=current, reset=total.reset, catalog=catalog)
    assert failed(verdict) == {Trial.REDELIVERY, Trial.CANCELLATION, Trial.HAND_OVER}
    assert "redelivery: effects differ: 6 undisturbed, 12 now" in verdict.reasons
    (cancelled,) = [each for each in verdict.reasons if each.startswith("cancellation")]
    assert "cancelled at services.py:" in cancelled
    with pytest.raises(AssertionError, match=r"Sum.add: failed(?s:.)*effects differ"):
        verdict.raise_for_failures()


async def test_a_handler_that_refuses_what_it_knows_is_told_where_it_raises() -> None:
    known = set()

    async def insert(envelope: EventEnvelope, context: DeliveryContext) -> None:
        if envelope.id in known:
            raise KeyError("duplicate key")
        known.add(envelope.id)

    verdict = await check_handler(insert, *EVENTS, effects=lambda: known, reset=known.clear, catalog=catalog)
    assert failed(verdict) == {Trial.REDELIVERY, Trial.HAND_OVER}
    assert any("'duplicate key' (test_handler_check.py:" in reason for reason in verdict.reasons)
    assert any(reason.startswith("hand-over: in the new process: raises KeyError") for reason in verdict.reasons)
    assert "not tried: it never waits" in str(verdict)


async def test_a_swallowed_cancellation_is_found_without_effects() -> None:
    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            return

    verdict = await check_handler(handle, *EVENTS, catalog=catalog)
    assert failed(verdict) == {Trial.CANCELLATION}
    assert "swallows its cancellation at test_handler_check.py:" in verdict.reasons[0]
    assert "effects were not compared" in str(verdict)


async def test_another_exception_in_place_of_the_cancellation_is_found() -> None:
    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise LookupError("cleanup went wrong") from None

    verdict = await check_handler(handle, EVENTS[0], catalog=catalog)
    assert failed(verdict) == {Trial.CANCELLATION}
    assert "it raises LookupError: cleanup went wrong" in verdict.reasons[0]


async def test_a_handler_that_fails_undisturbed_is_tried_no_further() -> None:
    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        raise LookupError("not there")

    verdict = await check_handler(handle, EVENTS[0], catalog=catalog)
    assert [each.trial for each in verdict.results] == [Trial.UNDISTURBED]
    assert "LookupError: not there (test_handler_check.py:" in verdict.reasons[0]


async def test_a_handler_that_hangs_is_named_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def settle_once_it_hangs(*given: Any, **options: Any) -> None:
        async with asyncio.timeout(WITHIN):
            await begun.wait()
        await settle(*given, **options)

    monkeypatch.setattr(rig, "settle", settle_once_it_hangs)
    verdict = await check_handler(handle, EVENTS[0], catalog=catalog, timeout=0.05)
    assert failed(verdict) == {Trial.UNDISTURBED}
    assert "has been running for" in verdict.reasons[0]


async def test_signals_are_answers_and_handlers_in_threads_are_tried_as_well() -> None:
    later = set()
    ledger: dict[object, int] = {}

    def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        number = envelope.event.number  # type: ignore[attr-defined]
        if number == 1:
            raise Reject("never")
        if envelope.id not in later:
            later.add(envelope.id)
            raise RetryLater(0)
        ledger[envelope.id] = number

    verdict = await check_handler(handle, *EVENTS, effects=lambda: ledger, reset=ledger.clear, catalog=catalog)
    verdict.raise_for_failures()
    assert "runs in a thread, which is not cancelled" in str(verdict)


async def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one envelope"):
        await check_handler(Ledger().enter)
    with pytest.raises(ConfigError, match="effects and reset go together"):
        await check_handler(Ledger().enter, EVENTS[0], effects=dict)
