"""Waits until everything published is handled or dead-lettered, and says what is not when the time is over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from rustok_iggy.errors import ConfigError
from rustok_iggy.testing.history import Attempt, History, Outcome, Publication, describe, describe_error
from rustok_iggy.testing.observed_transport import ObservedTransport, Reached
from rustok_iggy.testing.waiting import LOOK_AGAIN

SHOWN_EVENTS = 10
"""Open events of a group that a failure names; the rest is counted."""

Progress = Mapping[tuple[str, str], Mapping[int, Reached]]
"""(group, topic) → partition → how far."""
Sleep = Callable[[float], Awaitable[object]]


class NotSettledError(AssertionError):
    """Something published was neither handled nor dead-lettered in time; the text says what, and how it stands."""


async def settle(
    transports: Iterable[ObservedTransport],
    history: History,
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Return when every group of the transports has committed all that is stored in its topics.

    Events that handlers publish meanwhile count as well. Raises NotSettledError after `timeout` seconds, ConfigError
    when nothing is subscribed.
    """
    opened = tuple(transports)
    if not any(each.subscribed for each in opened):
        raise ConfigError(["settle(): nothing is subscribed, so nothing would ever be handled"])
    deadline = clock() + timeout
    before: Progress | None = None
    while True:
        now = await _progress(opened)
        if _is_done(now):
            # Two looks alike: between the first two questions a handler may have published for a group asked before.
            if now == before:
                return
            before = now
        elif clock() >= deadline:
            raise NotSettledError("\n".join(_report(opened, history, now, timeout=timeout, time=clock())))
        else:
            before = None
            await sleep(LOOK_AGAIN)


async def _progress(transports: Iterable[ObservedTransport]) -> Progress:
    found: dict[tuple[str, str], Mapping[int, Reached]] = {}
    for transport in transports:
        for group, topic in sorted(transport.subscribed - found.keys()):
            found[group, topic] = await transport.reached(group=group, topic=topic)
    return found


def _is_done(progress: Progress) -> bool:
    return all(each.behind <= 0 for partitions in progress.values() for each in partitions.values())


def _report(
    transports: Iterable[ObservedTransport], history: History, progress: Progress, *, timeout: float, time: float
) -> Iterator[str]:
    opened = tuple(transports)
    yield f"not settled within {timeout:g} s"
    for (group, topic), partitions in progress.items():
        behind = {number: each for number, each in partitions.items() if each.behind > 0}
        if not behind:
            continue
        total = sum(each.behind for each in behind.values())
        yield f"group {group}, topic {topic}: {total} not settled, in partitions {', '.join(map(str, behind))}"
        if not any(each.is_consuming and (group, topic) in each.subscribed for each in opened):
            yield "  nobody consumes as this group: enter `async with transport.consuming()`"
        yield from _open_events(history, group, topic, behind, total=total, time=time)
    for transport in opened:
        yield from (f"health: {reason}" for reason in transport.health().reasons)


def _open_events(
    history: History, group: str, topic: str, behind: Mapping[int, Reached], *, total: int, time: float
) -> Iterator[str]:
    attempts: dict[object, list[Attempt]] = {}
    for attempt in history.calls(group=group):
        attempts.setdefault(attempt.envelope.id, []).append(attempt)
    found = [each for each in tuple(history.publications) if _is_open(each, topic, behind)]
    # What was begun says more than what waits behind it.
    found.sort(key=lambda each: each.envelope.id not in attempts)
    for each in found[:SHOWN_EVENTS]:
        yield f"  {describe(each.envelope)}: {_state(attempts.get(each.envelope.id, []), time=time)}"
    rest = Counter[str]()
    rest["more"] = max(0, len(found) - SHOWN_EVENTS)
    rest["that this test did not publish"] = max(0, total - len(found))
    yield from (f"  and {number} {what}" for what, number in rest.items() if number)


def _is_open(publication: Publication, topic: str, behind: Mapping[int, Reached]) -> bool:
    stored = publication.confirmation
    if stored is None or stored.topic != topic or stored.partition_id not in behind:
        return False
    return stored.offset > behind[stored.partition_id].committed


def _state(attempts: list[Attempt], *, time: float) -> str:
    if not attempts:
        return "not begun"
    last = attempts[-1]
    if last.outcome is Outcome.RUNNING:
        return f"{last.handler} has been running for {time - last.began:.1f} s, call {len(attempts)}"
    if last.outcome is Outcome.FAILED and last.error is not None:
        return f"{last.handler} failed {len(attempts)} times, at last with {describe_error(last.error)}"
    if last.outcome is Outcome.HANDLED:
        return f"{last.handler} returned, and the offset is not committed: an event before it is open, or ack() is due"
    return f"{last.handler} was {last.outcome}, call {len(attempts)}; the event comes again"
