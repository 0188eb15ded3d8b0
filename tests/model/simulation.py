"""Runs the real delivery engine in several simulated processes, through every misfortune, from one random seed.

First everything goes wrong that may; then the world is healed, and everything must come to its end. At every step the
promises of history.py hold.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache, partial
from unittest import mock

from rustok_iggy.consumer.assignment import MAX_SILENT_HEARTBEATS
from rustok_iggy.consumer.failure import Block, FailurePolicy, ParkTenant, Retry
from rustok_iggy.consumer.subscription import Ordering
from rustok_iggy.dead_letters.records import Action, Selection
from rustok_iggy_connector import InMemoryConnector, TopicSpec
from rustok_iggy_connector.local_server import passwords
from tests.model.handlers import Moods
from tests.model.history import DLQ, DOMAIN, STREAM, History, Violation
from tests.model.network import TICK, Faults, SimulatedServer
from tests.model.outside import TENANTS, Outside
from tests.model.processes import CONFIG, Process, Setting
from tests.model.virtual_time import HotLoopError, World

PARTITIONS, MOST_PROCESSES = 2, 3
ACTIONS = 40
"""In the time when everything goes wrong."""
HEALED_TIMEOUT = 150.0
"""Seconds in which everything must come to its end: takeovers, the server's 36 s for a dead member, redrives."""
ASK_AGAIN = 15.0
"""Seconds between two looks whether the operator has to ask again."""
RETRY = Retry(attempts=2, delay=0.1, max_delay=0.5)
POLICIES: tuple[FailurePolicy, ...] = (ParkTenant(retry=RETRY), ParkTenant(retry=RETRY), Block(retry=RETRY))
"""Those that promise order."""
ORDERINGS = (Ordering.TENANT, Ordering.TENANT, Ordering.PARTITION)
WRITING = (0.0, 0.01, 0.3, 1.5)
"""Seconds that the server takes at most for a change: from memory, with fsync, and with followers that are slow."""
BURST = 0.6
"""Seconds that an idle process takes to poll and begin what was published."""
CUTS_OF_A_FLUTTER, BETWEEN_CUTS = 4, (0.3, 1.2)
"""Seconds from one to the next: an owner has claimed what it got, and others have not asked again."""
CHECKPOINTS = (4, 10_000)
"""Records after which an owner writes one."""

SHARE_STRUCK, CALM = 0.8, 2.0
"""Of the owners who have just overtaken somebody; seconds in which no other is struck then."""
TURN_TIMES = (0.0, 0.0, 0.05, 0.3)
"""Seconds that a turn of a process's loop takes at most: the host does much else in it."""
TAKEOVER_TIMEOUTS = (0.2, 3.0)
"""Seconds. Only overlap hangs on them; with the short one owners come to their work before they lose it again."""


class Kind(StrEnum):
    """What goes wrong in a world. Some sequences are rare unless little else happens: who is late must have worked."""

    EVERYTHING = "everything"
    FLUTTERING = "fluttering"
    """Only flutter(): partitions go and come back before their owner has heard of it."""
    CROWDED = "crowded"
    """Processes come and go, and what they store takes long: partitions are handed over with stores under way."""


SHARES = {Kind.EVERYTHING: 0.7, Kind.FLUTTERING: 0.15, Kind.CROWDED: 0.15}


class Simulation:
    """One world. `run()` raises Violation."""

    def __init__(self, seed: int, *, kind: Kind | None = None) -> None:
        self.seed = seed
        random.seed(seed)  # the jitter of retries
        self.world = World(random.Random(seed))
        self.chance = random.Random(seed + 1)
        self.server = SimulatedServer(self.world)
        drawn = self.chance.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        self.kind = kind or drawn
        self.server.writing = WRITING[-1] if self.kind is Kind.CROWDED else self.chance.choice(WRITING)
        dlq_partitions = self.chance.choice([1, PARTITIONS])
        asyncio.run(self._create_topics(dlq_partitions))
        takeover_timeout = self.chance.choice(TAKEOVER_TIMEOUTS)
        self.history = History(
            lambda: self.world.now - 1000,
            partitions=PARTITIONS,
            dlq_partitions=dlq_partitions,
            on_void_letter=self._strike,
            may_overlap=takeover_timeout < MAX_SILENT_HEARTBEATS * CONFIG.heartbeat_interval,
        )
        self.moods = Moods()
        self.setting = Setting(
            world=self.world,
            server=self.server,
            history=self.history,
            moods=self.moods,
            dlq_partitions=dlq_partitions,
            policy=self.chance.choice(POLICIES),
            ordering=self.chance.choice(ORDERINGS),
            checkpoint_every=self.chance.choice(CHECKPOINTS),
            takeover_timeout=takeover_timeout,
        )
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        self.outside = Outside(self.world, self.server, self.history, self.moods, self.chance)
        self.usual_turn_time = self.chance.choice(TURN_TIMES)
        self.is_healed = False
        self.calm_until = self.flutters_until = 0.0
        self._born = 0
        self.tick()

    async def _create_topics(self, dlq_partitions: int) -> None:
        connector = InMemoryConnector(self.server)
        await connector.connect()
        await connector.admin.create_stream(STREAM)
        for name, partitions in ((DOMAIN, PARTITIONS), (DLQ, dlq_partitions)):
            await connector.admin.create_topic(stream=STREAM, spec=TopicSpec(name=name, partitions=partitions))
        await connector.shutdown()

    # What a test asks for

    def run(self) -> History:
        """Everything that may go wrong, then the end. Raises Violation, which says how to see it again."""
        try:
            try:
                self._worst_case()
                self._happy_end()
            finally:
                self._dispose()
        except HotLoopError as error:
            self.history.broken.append(str(error))
        self._raise()
        return self.history

    def _worst_case(self) -> None:
        for _ in range(self.chance.choice([1, 2, 3, 3])):
            self.join()
        choices = self._misfortunes()
        self.moods.flaky = self.chance.choice([0.0, 0.05, 0.3])
        for _ in range(ACTIONS):
            if self.history.broken:
                return
            self.chance.choice(choices)()
            self._pass(self.chance.choice([0.02, 0.2, 1.0, 4.0]) * self.chance.random())

    def _misfortunes(self) -> list[Callable[[], None]]:
        """What may happen in this run: each as often as it stands there."""
        outside = self.outside
        if self.kind is Kind.FLUTTERING:
            often = [*[outside.publish] * 4, *[self.flutter] * 4]
            return [*often, self.join, self.join, outside.mend_events, outside.redrive]
        if self.kind is Kind.CROWDED:
            return [*[outside.publish] * 6, *[self.join] * 3, self.leave, self.leave]
        moves: list[tuple[int, Callable[[], None]]] = [
            (10, outside.publish),
            (2, outside.publish_a_late_copy),
            (2, outside.break_an_event),
            (1, outside.mend_events),
            (2, self.join),
            (1, self.leave),
            (2, self.kill),
            (1, self.interrupt),
            (2, self.cut),
            (2, self.stall),
            (1, self.flutter),
            (3, self.bad_network),
            (2, self.load),
            (3, outside.redrive),
            (1, outside.discard),
        ]
        # Some misfortunes never come in this run, others all the time: rare sequences need that.
        choices = [move for weight, move in moves for _ in range(weight * self.chance.choice([0, 1, 1, 3]))]
        return [*choices, outside.publish]

    def _happy_end(self) -> None:
        self.history.note("healed", "")
        self.is_healed = self.outside.is_over = True
        self.moods.heal()
        for process in self.processes:
            process.network.faults = Faults()
            process.loop.turn_time = 0.0
        self.usual_turn_time = self.server.writing = 0.0
        if not self.processes:
            self.join()
        ends = self.world.now + HEALED_TIMEOUT
        while self.world.now < ends and not self.history.broken:
            if self.history.open_letters and not self.history.asked:
                self.outside.ask(Action.REDRIVE, Selection(everything=True), force=True)
            if self._pass(ASK_AGAIN, until=lambda: self.history.is_all_done):
                return
        self.history.check(self.history.is_all_done, f"not done in time: {self.history.what_is_left()}")

    def _pass(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        broken = self.history.broken
        held = self.world.run_for(seconds, until=lambda: bool(broken) or until())
        for process in self.processes:
            if process.main.done() and not process.stop.is_set():
                self.history.check(False, f"{process.name} ended: {process.main.exception()!r}")
            for error in process.loop.errors:
                self.history.check(False, f"{process.name}: nobody caught {error}")
        return held and until()

    def _raise(self) -> None:
        if self.history.broken:
            told = "\n".join(self.history.lines)
            raise Violation(f"seed {self.seed}: {self.history.broken[0]}\n{told}\nseed {self.seed}")

    # What may happen

    def join(self) -> None:
        if len(self.processes) < MOST_PROCESSES:
            self._born += 1
            process = Process(self.setting, f"p{self._born}")
            process.loop.turn_time = self.usual_turn_time
            self.processes.append(process)
            self.history.note("join", process.name)

    def leave(self) -> None:
        if len(self.processes) > 1:
            process = self._any_process()
            process.leave()
            self._gone("leave", process)

    def kill(self) -> None:
        if self.processes:
            process = self._any_process()
            process.kill()
            self._gone("kill", process)

    def interrupt(self) -> None:
        """Ctrl-C, somewhere in a burst that a busy process takes in."""
        if self.processes:
            process = self._any_process()
            process.loop.turn_time = TURN_TIMES[-1]
            for _ in range(TENANTS):
                self.outside.publish()
            self.world.at(self.world.now + self.chance.uniform(0, BURST), partial(self._interrupted, process))

    def _interrupted(self, process: Process) -> None:
        if process in self.processes and not self.is_healed:
            process.interrupt()
            self._gone("interrupt", process)

    def cut(self) -> None:
        if self.processes:
            process, seconds = self._any_process(), self.chance.choice([0.0, 1.0, 8.0]) * self.chance.random()
            self.history.note("cut", f"{process.name} for {seconds:.3f}")
            process.network.cut(seconds)

    def stall(self) -> None:
        if self.processes:
            process, seconds = self._any_process(), self.chance.choice([0.5, 4.0, 12.0]) * self.chance.random()
            self.history.note("stall", f"{process.name} for {seconds:.3f}")
            process.stall(seconds)

    def flutter(self) -> None:
        """A switch chokes while letters are being written: one owner hears everything late, others come and go.

        What is dealt anew again and again may be back before the one knows that it was ever gone.
        """
        owners = [process for process in self.processes if process.name in self.history.storers]
        slow = self.chance.choice(owners or self.processes or [None])
        others = [process for process in self.processes if process is not slow]
        if slow is None or not others or self.world.now < self.flutters_until:
            return
        self.history.note("flutter", f"{slow.name} slow, {[other.name for other in others]} cut")
        self.flutters_until = self.world.now + CUTS_OF_A_FLUTTER * BETWEEN_CUTS[1]
        slow.network.faults = Faults(latency=0.02, slow_replies=self.chance.choice([0.5, 1.0]))
        for _ in range(TENANTS):
            self.outside.publish()
            self.outside.break_an_event()
        at = self.world.now
        for _ in range(CUTS_OF_A_FLUTTER):
            at += self.chance.uniform(*BETWEEN_CUTS)
            self.world.at(at, self.outside.publish)
            self.world.at(at, partial(self._cut_now, self.chance.choice(others)))
        self.world.at(at + 1, partial(setattr, slow.network, "faults", Faults()))

    def _strike(self, claimant: str) -> None:
        """Faults fall where they hurt: who has overtaken another loses its connections just when that one goes on."""
        if self.is_healed or self.world.now < self.calm_until or self.chance.random() > SHARE_STRUCK:
            return
        for process in self.processes:
            if process.name == claimant:
                self.history.note("strike", claimant)
                self.world.at(self.world.now, partial(self._cut_now, process))
                self.world.at(self.world.now, self._stay_calm)

    def _cut_now(self, process: Process) -> None:
        if self.world.now >= self.calm_until:
            process.network.cut(0, lingers=0)

    def _stay_calm(self) -> None:
        """What was dealt stays dealt for a while."""
        self.calm_until = self.world.now + CALM

    def load(self) -> None:
        """A process has much else to do, or nothing any more."""
        if self.processes:
            process = self._any_process()
            process.loop.turn_time = self.chance.choice(TURN_TIMES)
            self.history.note("load", f"{process.name} {process.loop.turn_time}")

    def bad_network(self) -> None:
        """Or a good one again."""
        if self.processes:
            process, chance = self._any_process(), self.chance
            process.network.faults = Faults(
                lost_requests=chance.choice([0, 0, 0.02]),
                lost_replies=chance.choice([0, 0, 0.02, 0.1]),
                stalls=chance.choice([0, 0, 0.02]),
                latency=chance.choice([0.002, 0.02, 0.2, 0.5]),
                slow_replies=chance.choice([0, 0, 0.3]),
            )
            self.history.note("network", f"{process.name} {process.network.faults}")

    # Inside

    def _gone(self, how: str, process: Process) -> None:
        self.processes.remove(process)
        self.dead.append(process)
        self.history.note(how, process.name)

    def _any_process(self) -> Process:
        return self.chance.choice(self.processes)

    def tick(self) -> None:
        """What the server and all connections do as time goes by."""
        for process in (*self.processes, *self.dead):
            process.network.ping()
        self.server.tick()
        self.world.at(self.world.now + TICK, self.tick)

    def _dispose(self) -> None:
        """Let everything end that still runs, also of killed processes, so that nothing is left to be collected."""
        self.history.is_over = True
        loops = [process.loop for process in (*self.processes, *self.dead)]
        self.world.loops[:] = loops
        for process in (*self.processes, *self.dead):
            process.network.shut()
            process.loop.stalled_until = process.loop.turn_time = 0.0
            for task in asyncio.all_tasks(process.loop):
                task.cancel()
        self.world.run_for(60, until=lambda: not any(map(asyncio.all_tasks, loops)))
        left = [task.get_name() for loop in loops for task in asyncio.all_tasks(loop)]
        for loop in loops:
            loop.close()
        if left:
            self.history.broken.append(f"cancelled, and do not end: {left}")


def simulate(seed: int, *, kind: Kind | None = None) -> History:
    """Run one simulation, in a world of any kind or of the given one. Raises Violation."""
    with mock.patch.object(passwords, "_scrypt", _scrypt_once), quiet_logs():
        return Simulation(seed, kind=kind).run()


_scrypt_once = lru_cache(passwords._scrypt)
"""Of the one password there is: its hash takes longer than a simulation."""


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Thousands of lines nobody reads."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
