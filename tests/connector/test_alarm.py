"""The timer that is moved by every request and seldom rings."""

import asyncio

import pytest

from rustok_iggy_connector.alarm import Alarm, AlarmTimeout

pytestmark = pytest.mark.anyio


class Bell:
    def __init__(self) -> None:
        self.rung: list[float] = []
        self.heard = asyncio.Event()

    def __call__(self) -> None:
        self.rung.append(asyncio.get_running_loop().time())
        self.heard.set()


async def test_it_rings_once_and_not_before_it_is_due() -> None:
    loop, alarm, bell = asyncio.get_running_loop(), Alarm(), Bell()
    when = loop.time() + 0.02
    alarm.set(when, bell)
    await asyncio.wait_for(bell.heard.wait(), 20)
    await asyncio.sleep(0.02)
    assert len(bell.rung) == 1
    assert bell.rung[0] >= when - 0.001  # the loop's clock has a resolution


async def test_it_can_be_set_again_after_it_rang() -> None:
    loop, alarm, bell = asyncio.get_running_loop(), Alarm(), Bell()
    for _ in range(2):
        bell.heard.clear()
        alarm.set(loop.time(), bell)
        await asyncio.wait_for(bell.heard.wait(), 20)
    assert len(bell.rung) == 2


async def test_set_to_later_it_rings_later_and_for_the_last_one_only() -> None:
    loop, alarm, early, late = asyncio.get_running_loop(), Alarm(), Bell(), Bell()
    alarm.set(loop.time() + 0.01, early)
    when = loop.time() + 0.03
    alarm.set(when, late)
    await asyncio.wait_for(late.heard.wait(), 20)
    assert late.rung[0] >= when - 0.001
    assert not early.rung


async def test_set_to_sooner_it_rings_sooner() -> None:
    loop, alarm, late, early = asyncio.get_running_loop(), Alarm(), Bell(), Bell()
    alarm.set(loop.time() + 3600, late)
    alarm.set(loop.time() + 0.01, early)
    await asyncio.wait_for(early.heard.wait(), 20)


async def test_stopped_it_does_not_ring_and_can_be_set_again() -> None:
    loop, alarm, stopped, bell = asyncio.get_running_loop(), Alarm(), Bell(), Bell()
    alarm.set(loop.time() + 0.01, stopped)
    alarm.stop()
    await asyncio.sleep(0.02)
    alarm.set(loop.time() + 0.01, bell)
    await asyncio.wait_for(bell.heard.wait(), 20)
    assert not stopped.rung


async def test_a_thousand_requests_in_a_row_have_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, alarm, bell = asyncio.get_running_loop(), Alarm(), Bell()
    begun: list[float] = []
    call_at = loop.call_at
    monkeypatch.setattr(
        loop, "call_at", lambda when, *rest, **named: begun.append(when) or call_at(when, *rest, **named)
    )
    for _ in range(1000):
        alarm.set(loop.time() + 3600, bell)
        alarm.stop()
    assert len(begun) == 1


async def test_a_block_that_is_over_in_time_is_left_alone() -> None:
    loop, timeout = asyncio.get_running_loop(), AlarmTimeout()
    for _ in range(3):
        with timeout.at(loop.time() + 0.01):
            await asyncio.sleep(0)
    await asyncio.sleep(0.03)  # and nothing is cancelled later


@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0], ids=["soon", "now", "already over"])
async def test_a_block_that_is_late_ends_with_a_timeout_and_no_cancellation_stays(seconds: float) -> None:
    loop, timeout, task = asyncio.get_running_loop(), AlarmTimeout(), asyncio.current_task()
    assert task
    for _ in range(2):
        began = loop.time()
        with pytest.raises(TimeoutError), timeout.at(began + seconds):
            await asyncio.sleep(20)
        assert loop.time() >= began + seconds - 0.001
        assert not task.cancelling()
    await asyncio.sleep(0)


async def test_the_cancellation_of_somebody_else_goes_on() -> None:
    loop, timeout = asyncio.get_running_loop(), AlarmTimeout()

    async def block(when: float) -> None:
        with timeout.at(when):
            await asyncio.sleep(20)

    waiting = asyncio.ensure_future(block(loop.time() + 20))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    when = loop.time() + 0.01
    in_the_turn_of_its_end = asyncio.ensure_future(block(when))
    await asyncio.sleep(0)
    loop.call_at(when, in_the_turn_of_its_end.cancel)
    with pytest.raises(asyncio.CancelledError):
        await in_the_turn_of_its_end


async def test_an_error_of_the_block_is_its_own() -> None:
    timeout = AlarmTimeout()
    with pytest.raises(ValueError, match="its own"), timeout.at(asyncio.get_running_loop().time() + 20):
        raise ValueError("its own")


async def test_an_outer_timeout_is_told_apart() -> None:
    loop, timeout = asyncio.get_running_loop(), AlarmTimeout()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01) as outer:
            with timeout.at(loop.time() + 20):
                await asyncio.sleep(20)
    assert outer.expired()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20) as outer:
            with timeout.at(loop.time() + 0.01):
                await asyncio.sleep(20)
    assert not outer.expired()
