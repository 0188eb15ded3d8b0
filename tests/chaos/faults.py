"""What goes wrong in a chaos run, and when: one fault a second, drawn from a seeded random."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.chaos.processes import Running
from tests.chaos.scenario import HEARTBEAT
from tests.chaos.server import Server, kill


class Fault(StrEnum):
    KILL_MEMBER = "member killed"
    KILL_PUBLISHER = "publisher killed"
    KILL_SERVER = "server killed"
    KILL_BOTH = "member killed while the server was down"
    HOLD_UP_MEMBER = "member stopped for longer than three heartbeats"
    END_MEMBER = "member told to end"


SHARES = {
    Fault.KILL_MEMBER: 4,
    Fault.KILL_PUBLISHER: 2,
    Fault.KILL_SERVER: 2,
    Fault.KILL_BOTH: 1,
    Fault.HOLD_UP_MEMBER: 2,
    Fault.END_MEMBER: 1,
}
"""How often each comes, against the others."""
OF_OUR_SERVER = (Fault.KILL_SERVER, Fault.KILL_BOTH)
HELD_UP = (3.5 * HEARTBEAT, 8 * HEARTBEAT)
"""Seconds."""


@dataclass
class Faults:
    """Makes things go wrong, until cancelled; what it holds up then goes on."""

    random: random.Random
    members: list[Running]
    publisher: Running
    server: Server
    interval: float = 1.0
    counts: Counter[Fault] = field(default_factory=Counter)
    _under_way: list[asyncio.Task[None]] = field(default_factory=list)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        shares = {fault: share for fault, share in SHARES.items() if self.server.is_ours or fault not in OF_OUR_SERVER}
        try:
            while True:
                await asyncio.sleep(self.interval)
                (fault,) = self.random.choices(list(shares), list(shares.values()))
                self._begin(fault)
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way)
            for each in self._under_way:
                each.result()

    def _begin(self, fault: Fault) -> None:
        # Drawn in any case: what is drawn next must not hang on how quick the processes are. Who is up goes first: one
        # that only just starts has nothing to lose.
        drawn = self.random.sample(self.members, len(self.members))
        member = next((each for each in drawn if each.ready.is_set()), drawn[0])
        seconds = self.random.uniform(*HELD_UP)
        match fault:
            case Fault.KILL_MEMBER:
                member.send(signal.SIGKILL)
            case Fault.KILL_PUBLISHER:
                self.publisher.send(signal.SIGKILL)
            case Fault.KILL_SERVER:
                self._keep(self._restart_server())
            case Fault.KILL_BOTH:
                self._keep(self._restart_server(and_kill=member))
            case Fault.HOLD_UP_MEMBER:
                self._keep(self._hold_up(member, seconds))
            case Fault.END_MEMBER:
                member.terminate()
        self.counts[fault] += 1

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        self._under_way = [each for each in self._under_way if not _is_over(each)]
        self._under_way.append(asyncio.create_task(work))

    async def _hold_up(self, member: Running, seconds: float) -> None:
        member.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            member.send(signal.SIGCONT)

    async def _restart_server(self, *, and_kill: Running | None = None) -> None:
        async with self._starting:
            kill(self.server)
            if and_kill is not None:  # nobody notices that its connection ends: iggy-server keeps it in the group
                and_kill.send(signal.SIGKILL)
            await self.server.restart()


def _is_over(task: asyncio.Task[None]) -> bool:
    """Whether it has ended; raises its error."""
    if task.done():
        task.result()
    return task.done()
