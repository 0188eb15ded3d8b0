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
from functools import lru_cache
from unittest import mock
from uuid import UUID

from msgspec.structs import replace

from rustok_iggy.consumer.failure import Block, FailurePolicy, ParkTenant, Retry
from rustok_iggy.consumer.subscription import Ordering
from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.records import Action, Request, Selection
from rustok_iggy_connector import InMemoryConnector, OutgoingMessage, TopicSpec
from rustok_iggy_connector.local_server import passwords
from rustok_iggy_connector.models import PublishBatch
from tests.consumer.hosts import counted
from tests.consumer.scripted import SERIALIZER
from tests.model.handlers import Moods
from tests.model.history import DLQ, DOMAIN, GROUP, STREAM, History, Published, Violation
from tests.model.network import TICK, Faults, SimulatedServer
from tests.model.processes import Process, Setting
from tests.model.virtual_time import HotLoopError, World, at_once

PARTITIONS, TENANTS, MOST_PROCESSES = 2, 3, 3
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
CHECKPOINTS = (4, 10_000)
"""Records after which an owner writes one."""


class Simulation:
    """One world. `run()` raises Violation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        random.seed(seed)  # the jitter of retries
        self.world = World(random.Random(seed))
        self.chance = random.Random(seed + 1)
        self.server = SimulatedServer(self.world)
        dlq_partitions = self.chance.choice([1, PARTITIONS])
        asyncio.run(self._create_topics(dlq_partitions))
        self.history = History(lambda: self.world.now - 1000, partitions=PARTITIONS, dlq_partitions=dlq_partitions)
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
        )
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        self._client = self.server.open_client()
        self._sent: list[tuple[int, OutgoingMessage, UUID]] = []
        self._born = 0
        self._next_id = 0
        self.tick()

    async def _create_topics(self, dlq_partitions: int) -> None:
        connector = InMemoryConnector(self.server)
        await connector.connect()
        await connector.admin.create_stream(STREAM)
        for name, partitions in ((DOMAIN, PARTITIONS), (DLQ, dlq_partitions)):
            await connector.admin.create_topic(stream=STREAM, spec=TopicSpec(name=name, partitions=partitions))
        await connector.shutdown()

    # What a test asks for

    def run(self, *, actions: int = ACTIONS) -> History:
        """Everything that may go wrong, then the end. Raises Violation, which says how to see it again."""
        try:
            self._worst_case(actions)
            self._happy_end()
        except HotLoopError as error:
            self.history.broken.append(str(error))
        finally:
            self._dispose()
        self._raise()
        return self.history

    def _worst_case(self, actions: int) -> None:
        for _ in range(self.chance.randint(1, 2)):
            self.join()
        moves: list[tuple[int, Callable[[], None]]] = [
            (10, self.publish),
            (2, self.publish_a_late_copy),
            (2, self.break_an_event),
            (1, self.mend_events),
            (2, self.join),
            (1, self.leave),
            (2, self.kill),
            (2, self.cut),
            (2, self.stall),
            (3, self.bad_network),
            (3, self.redrive),
            (1, self.discard),
        ]
        # Some misfortunes never come in this run, others all the time: rare sequences need that.
        choices = [move for weight, move in moves for _ in range(weight * self.chance.choice([0, 1, 1, 3]))]
        choices.append(self.publish)
        self.moods.flaky = self.chance.choice([0.0, 0.05, 0.3])
        for _ in range(actions):
            self.chance.choice(choices)()
            self._pass(self.chance.choice([0.02, 0.2, 1.0, 4.0]) * self.chance.random())

    def _happy_end(self) -> None:
        self.history.note("healed", "")
        self.moods.heal()
        for process in self.processes:
            process.network.faults = Faults()
        if not self.processes:
            self.join()
        ends = self.world.now + HEALED_TIMEOUT
        while self.world.now < ends and not self.history.broken:
            if self.history.open_letters and not self.history.asked:
                self._ask(Action.REDRIVE, Selection(everything=True), force=True)
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
            self.processes.append(process)
            self.history.note("join", process.name)

    def leave(self) -> None:
        if len(self.processes) > 1:
            process = self._any_process()
            process.leave()
            self.processes.remove(process)
            self.dead.append(process)
            self.history.note("leave", process.name)

    def kill(self) -> None:
        if self.processes:
            process = self._any_process()
            process.kill()
            self.processes.remove(process)
            self.dead.append(process)
            self.history.note("kill", process.name)

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

    def bad_network(self) -> None:
        """Or a good one again."""
        if self.processes:
            process, chance = self._any_process(), self.chance
            process.network.faults = Faults(
                lost_requests=chance.choice([0, 0, 0.02]),
                lost_replies=chance.choice([0, 0, 0.02, 0.1]),
                stalls=chance.choice([0, 0, 0.02]),
                latency=chance.choice([0.002, 0.02, 0.2, 0.5]),
            )
            self.history.note("network", f"{process.name} {process.network.faults}")

    def publish(self) -> None:
        tenant = UUID(int=1 + self.chance.randrange(TENANTS))
        for _ in range(self.chance.choice([1, 1, 3, 8])):
            self._next_id += 1
            number = len(self.history.by_tenant[tenant]) + 1
            envelope = replace(counted(number, tenant), id=UUID(int=1000 + self._next_id))
            message = OutgoingMessage(id=envelope.id, payload=SERIALIZER.encode(envelope))
            partition = tenant.int % PARTITIONS
            self._sent.append((partition, message, tenant))
            self._store(partition, message)
            self.history.published(Published(id=envelope.id, tenant=tenant, number=number, partition=partition))
            if self.chance.random() < 0.03:
                self.moods.broken.add(envelope.id)

    def publish_a_late_copy(self) -> None:
        if self._sent:
            partition, message, _ = self.chance.choice(self._sent[-20:])
            self._store(partition, message)
            self.history.published(self.history.events[message.id])

    def break_an_event(self) -> None:
        if self._sent:
            self.moods.broken.add(self._sent[-1][1].id)

    def mend_events(self) -> None:
        self.moods.broken.clear()

    def redrive(self) -> None:
        self._ask(Action.REDRIVE, self._selection())

    def discard(self) -> None:
        self._ask(Action.DISCARD, self._selection())

    def _selection(self) -> Selection:
        letters = self.history.open_letters
        choice = self.chance.randrange(3)
        if choice == 0 or not letters:
            return Selection(everything=True)
        partition, offset = self.chance.choice(letters)
        event = self.history.events[self.history.logs[partition][offset]]
        return Selection(tenants=(event.tenant,)) if choice == 1 else Selection(event_ids=(event.id,))

    def _ask(self, action: Action, selection: Selection, *, force: bool = False) -> None:
        """As an operator does: the same request to each partition of the dlq topic."""
        self._next_id += 1
        seen = {partition: self.history.records(partition) - 1 for partition in range(self.history.dlq_partitions)}
        for partition, last in seen.items():
            request = Request(
                id=UUID(int=5_000_000 + self._next_id),
                group=GROUP,
                action=action,
                selection=selection,
                requested_at=round(self.world.now * 1_000_000),
                requested_by="the operator",
                reason="why not",
                seen=max(last, 0) if action is Action.DISCARD else None,
                force=force,
            )
            encoded = encode_record(request)
            message = OutgoingMessage(id=request.id, payload=encoded.payload, headers=encoded.headers)
            batch = self._store(partition, message, topic=DLQ)
            self.history.landed("operator", batch)

    # Inside

    def _store(self, partition: int, message: OutgoingMessage, *, topic: str = DOMAIN) -> PublishBatch:
        batch = PublishBatch(stream=STREAM, topic=topic, partition_id=partition, messages=(message,))
        if not self._client.usable:
            self._client = self.server.open_client()
        at_once(self._client.send(batch, subject="what the outside sends"))
        return batch

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
            process.loop.stalled_until = 0
            for task in asyncio.all_tasks(process.loop):
                task.cancel()
        ended = self.world.run_for(60, until=lambda: not any(map(asyncio.all_tasks, loops)))
        for loop in loops:
            loop.close()
        assert ended, "tasks that do not end"


def simulate(seed: int, *, actions: int = ACTIONS) -> History:
    """Run one simulation. Raises Violation."""
    with mock.patch.object(passwords, "_scrypt", _scrypt_once), quiet_logs():
        return Simulation(seed).run(actions=actions)


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
