"""check_handler: puts a handler through what at-least-once delivery may do to it, over a server in memory."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
from collections.abc import Awaitable, Callable, Iterable

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import IggyConfig
from rustok_iggy.consumer.failure import Block
from rustok_iggy.consumer.subscription import Handler, is_async
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError
from rustok_iggy.events import RUSTOK
from rustok_iggy.testing.history import describe
from rustok_iggy.testing.observed_handler import handler_name
from rustok_iggy.testing.observed_transport import ObservedTransport
from rustok_iggy.testing.rig import TIMEOUT, Rig
from rustok_iggy.testing.servers import rig_config
from rustok_iggy.testing.settling import NotSettledError
from rustok_iggy.testing.trial_handler import TrialHandler
from rustok_iggy.testing.verdict import HandlerVerdict, Trial, TrialResult
from rustok_iggy.testing.waiting import until
from rustok_iggy.topology import topic_of
from rustok_iggy_connector import ConnectorMode, InMemoryConnector, MemoryServer

GROUP = "handler-under-test"
MAX_PLACES = 20
"""Places where a handler is cancelled, each in a run of its own of some 0.1 s. A handler that waits more often is
usually a loop, whose later turns are like the first."""
SHOWN_CHARACTERS = 300
"""Of effects that differ."""
DEATH_TIMEOUT = 5.0
"""Seconds for a process to notice that it is dead: its next poll says so."""
NEVER = 3600.0
"""Seconds between commits of a process that is to be killed before one."""

Effects = Callable[[], object]
Reset = Callable[[], Awaitable[None] | None]


async def check_handler(
    handler: Handler,
    *envelopes: EventEnvelope,
    effects: Effects | None = None,
    reset: Reset | None = None,
    catalog: EventCatalog = RUSTOK,
    timeout: float = TIMEOUT,
) -> HandlerVerdict:
    """Hand events to a handler undisturbed, twice, cancelled at each place where it waits, and to a second process.

    `effects` returns what the handler has brought about, as a value that can be compared (or an awaitable of it), and
    `reset` undoes that before each trial. With both, the effects of every trial must equal those of the undisturbed
    one: the handler is idempotent. Without, only exceptions, swallowed cancellations and hangs are found. `timeout` is
    for each run. Raises ConfigError without envelopes, or with only one of `effects` and `reset`.
    """
    if not envelopes:
        raise ConfigError(["check_handler(): needs at least one envelope to hand over"])
    if (effects is None) != (reset is None):
        raise ConfigError(
            ["check_handler(): effects and reset go together: each trial is compared from the same start"]
        )
    check = _HandlerCheck(handler, envelopes, effects=effects, reset=reset, catalog=catalog, timeout=timeout)
    return HandlerVerdict(handler=handler_name(handler), results=tuple(await check.run()))


class _HandlerCheck:
    """One check; `_expected` are the effects of the undisturbed run."""

    def __init__(
        self,
        handler: Handler,
        envelopes: tuple[EventEnvelope, ...],
        *,
        effects: Effects | None,
        reset: Reset | None,
        catalog: EventCatalog,
        timeout: float,
    ) -> None:
        self._handler = handler
        self._envelopes = envelopes
        self._effects = effects
        self._reset = reset
        self._catalog = catalog
        self._timeout = timeout
        self._expected: object = None

    async def run(self) -> list[TrialResult]:
        undisturbed, waits = await self._undisturbed()
        if not undisturbed.passed:
            return [undisturbed]
        return [undisturbed, await self._redelivery(), await self._cancellation(waits), await self._hand_over()]

    async def _undisturbed(self) -> tuple[TrialResult, int]:
        trial = TrialHandler(self._handler)
        reasons = await self._run(trial)
        self._expected = await self._current_effects()
        note = None if self._effects else "effects were not compared: none were given"
        return TrialResult(trial=Trial.UNDISTURBED, reasons=tuple(reasons), note=note), trial.waits

    async def _redelivery(self) -> TrialResult:
        reasons = await self._run(TrialHandler(self._handler, calls=2))
        return TrialResult(trial=Trial.REDELIVERY, reasons=(*reasons, *await self._difference()))

    async def _cancellation(self, waits: int) -> TrialResult:
        if not is_async(self._handler):
            note = "not tried: a handler that is no `async def` runs in a thread, which is not cancelled"
            return TrialResult(trial=Trial.CANCELLATION, note=note)
        reasons: dict[str, None] = {}
        for at in range(1, min(waits, MAX_PLACES) + 1):
            trial = TrialHandler(self._handler, cancel_at=at)
            found = await self._run(trial)
            different = await self._difference()
            where = ", ".join(sorted(trial.places))
            reasons |= dict.fromkeys([*found, *(f"cancelled at {where} and run again: {each}" for each in different)])
        tried = "not tried: it never waits" if not waits else None
        if waits > MAX_PLACES:
            tried = f"at the first {MAX_PLACES} of {waits} waits"
        return TrialResult(trial=Trial.CANCELLATION, reasons=tuple(reasons), note=tried)

    async def _hand_over(self) -> TrialResult:
        await self._start_anew()
        server = MemoryServer()
        before, after = TrialHandler(self._handler), TrialHandler(self._handler)
        dying = self._rig(server, {"commit_interval": NEVER, "commit_every": 10**9}, stream="check")
        await self._live_and_die(dying, before)
        reasons = await self._consume(self._rig(server, {}, stream="check"), after, publish=False)
        found = [*before.reasons, *(f"in the new process: {each}" for each in [*after.reasons, *reasons])]
        return TrialResult(trial=Trial.HAND_OVER, reasons=(*found, *await self._difference()))

    async def _live_and_die(self, rig: Rig, trial: TrialHandler) -> None:
        """Handle everything and be killed before anything is committed."""
        async with rig.open_mortal() as (transport, connector):
            self._subscribe(transport, trial)
            (await transport.publish_batch(self._envelopes)).raise_for_failures()
            running = asyncio.create_task(transport.run(), name="process to be killed")
            try:
                # What it does not get to in time is left to the other process, which says so if it does not either.
                with contextlib.suppress(TimeoutError):
                    await until(
                        lambda: len(trial.ended) == len(self._envelopes) or running.done(), timeout=self._timeout
                    )
            finally:
                connector.die()
                await asyncio.wait({running}, timeout=DEATH_TIMEOUT)
                running.cancel()
                await asyncio.wait({running})
                if not running.cancelled():
                    running.exception()  # that it lost its connector is no news

    async def _run(self, trial: TrialHandler) -> list[str]:
        await self._start_anew()
        reasons = await self._consume(self._rig(MemoryServer(), {}, stream="check"), trial, publish=True)
        return [*trial.reasons, *reasons]

    async def _consume(self, rig: Rig, trial: TrialHandler, *, publish: bool) -> list[str]:
        async with rig.open() as transport:
            self._subscribe(transport, trial)
            if publish:
                (await transport.publish_batch(self._envelopes)).raise_for_failures()
            try:
                async with transport.consuming():
                    await rig.settle(timeout=self._timeout)
            except NotSettledError as error:
                return [str(error)]
        missed = [each for each in self._envelopes if each.id not in trial.ended]
        return [f"{describe(each)} was not handed over" for each in missed]

    def _subscribe(self, transport: ObservedTransport, trial: TrialHandler) -> None:
        topics = sorted({topic_of(each.event_type) for each in self._envelopes})
        transport.subscribe(group=GROUP, topics=topics, on_failure=Block())(trial.handler)

    def _rig(self, server: MemoryServer, consumer: dict[str, float], *, stream: str) -> Rig:
        # The drain is short: a handler that hangs was told so by then.
        quick = {"takeover_timeout": 0.01, "drain_timeout": 0.5, **consumer}
        config: IggyConfig = rig_config(
            {"topology": {"stream_name": stream, "domain_partitions": 1}, "consumer": quick}, mode=ConnectorMode.MEMORY
        )
        return Rig(config, catalog=self._catalog, connect=lambda: InMemoryConnector(server))

    async def _start_anew(self) -> None:
        if self._reset is not None:
            waiting = self._reset()
            if inspect.isawaitable(waiting):
                await waiting

    async def _current_effects(self) -> object:
        if self._effects is None:
            return None
        found = self._effects()
        return copy.deepcopy(await found if inspect.isawaitable(found) else found)

    async def _difference(self) -> Iterable[str]:
        found = await self._current_effects()
        if found == self._expected:
            return ()
        return (f"effects differ: {_shown(self._expected)} undisturbed, {_shown(found)} now",)


def _shown(effects: object) -> str:
    text = repr(effects)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
