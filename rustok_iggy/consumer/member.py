"""One member of one group on one topic: asks every heartbeat what it owns, and consumes that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from uuid import UUID

from rustok_iggy.consumer.assignment import Handover, changes, handover, may_begin
from rustok_iggy.consumer.context import NO_GROUP
from rustok_iggy.consumer.group_statistics import GroupStanding, standing
from rustok_iggy.consumer.liveness import patience, stalled
from rustok_iggy.consumer.membership import is_transient, life_of
from rustok_iggy.consumer.partition import PartitionConsumer
from rustok_iggy.consumer.partition_health import together
from rustok_iggy.consumer.source_journal import Journals
from rustok_iggy.consumer.start import starting_point
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.subscription import Start
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy_connector import (
    AlreadyExistsError,
    Assignment,
    ConnectorError,
    IggyConnector,
    MessageSubscriber,
    get_logger,
)

log = get_logger(__name__)

PAUSE_BETWEEN_ANSWERS = 0.02
"""Seconds, when partitions ask for an answer before its time: an answer that never helps must not become a hot loop."""
PAUSE_AFTER_FAILURE = 0.2
"""Seconds until a server that did not answer is asked again; the connector waits longer by itself."""
CANCELLED_HANDLERS_TIMEOUT = 2.0
"""Seconds for cancelled handlers to end and a last commit, and again to end without it; threads are left alone then."""


class GroupMember:
    """Consumes one topic of `stream` as a member of a group. For one event loop; run() once."""

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        start: Start | datetime,
        services: PartitionServices,
        journals: Journals,
    ) -> None:
        self._connector = connector
        self._stream = stream
        self._start = start
        self._services = services
        self._journals = journals
        self._clock: Callable[[], float] = services.clock
        self._subscriber: MessageSubscriber | None = None
        self._consumers: dict[int, PartitionConsumer] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._handing_over: set[int] = set()
        self._ending: dict[int, PartitionConsumer] = {}
        self._generation = 0
        self._asked_at = float("-inf")
        self._round_at = services.clock()
        self._asking = asyncio.Event()
        self._answered = asyncio.Event()
        self._stopping = False
        self._failure: Exception | None = None
        self.life = NO_GROUP

    @property
    def name(self) -> str:
        """How logs and health call it."""
        return f"{self._services.group}/{self._services.topic}"

    @property
    def group(self) -> str:
        return self._services.group

    @property
    def topic(self) -> str:
        return self._services.topic

    @property
    def partitions(self) -> tuple[int, ...]:
        """What is consumed here now."""
        return tuple(sorted(self._consumers))

    @property
    def subscriber(self) -> MessageSubscriber:
        assert self._subscriber is not None, "asked before it joined"
        return self._subscriber

    def may_begin(self) -> bool:
        """Whether the last answer is young enough to begin a delivery."""
        return may_begin(
            asked_at=self._asked_at, now=self._clock(), heartbeat_interval=self._services.config.heartbeat_interval
        )

    def ask(self) -> None:
        """Ask soon, instead of at the next heartbeat."""
        self._asking.set()

    def overtaken(self, partition_id: int) -> None:
        """The journal says that a partition is another's, whatever the server says."""
        self._lose(partition_id)

    async def assignment(self) -> Assignment:
        """Ask who owns what. Raises connector errors. Whoever asks acts on the answer before anything is stored."""
        asked_at = self._clock()
        answer = await self.subscriber.assignment()
        self._asked_at = asked_at
        return answer

    async def next_answer(self) -> None:
        """Ask at once; return when the answer was acted upon, or could not be had."""
        self._asking.set()
        if not self._stopping:
            await self._answered.wait()

    def stop(self) -> None:
        """Begin nothing more; let run() finish what is in flight, commit and leave."""
        self._stopping = True
        for consumer in self._consumers.values():
            consumer.stop()  # now: the next round may be a pause away, and events would begin until then
        self._asking.set()
        self._release()

    def pause(self, tenant: UUID | None) -> None:
        """Begin nothing of a tenant, or (None) of anybody, until resume(). What runs ends."""
        pauses = self._services.pauses
        if tenant is None:
            pauses.everything = True
            for consumer in self._consumers.values():
                consumer.runner.look_again()
        else:
            pauses.tenants.add(tenant)
            for consumer in self._consumers.values():
                consumer.runner.pause(tenant)

    def resume(self, tenant: UUID | None) -> None:
        """Undo pause(); None leaves tenants paused that were paused by themselves."""
        if tenant is None:
            self._services.pauses.everything = False
            self._kick()
        else:
            self._services.pauses.tenants.discard(tenant)
            for consumer in self._consumers.values():
                consumer.runner.resume(tenant)

    def unacked(self, event_id: UUID) -> Iterator[Callable[[], None]]:
        """What acknowledges an event, for each open delivery that has its id."""
        for consumer in self._consumers.values():
            yield from consumer.runner.unacked(event_id)

    def degraded(self) -> Iterator[str]:
        """Say what somebody should look at."""
        if self._services.breaker.is_open:
            yield f"{self.name}: nearly every delivery fails; all wait, and one after another is tried"
        yield from together(self.name, {number: each.degraded() for number, each in self._consumers.items()})

    def unhealthy(self) -> Iterator[str]:
        """Say what keeps events from being handled."""
        if not self.may_begin():
            yield f"{self.name}: the server has not said for several heartbeats which partitions are ours"
        # What was lost is not taken over again before its last handler has ended.
        held = {**self._consumers, **self._ending}
        yield from together(self.name, {number: each.unhealthy() for number, each in held.items()})

    def stalled(self) -> Iterator[str]:
        """Say why nothing moves here any more."""
        now, limit = self._clock(), patience(self._services.config)
        held = (*self._consumers.values(), *self._ending.values())
        found = stalled(
            since_round=now - self._round_at,
            running_long=sum(each.runner.handling.running_for(limit, now=now) for each in held),
            slots=self._services.slots.limit,
            limit=limit,
        )
        yield from (f"{self.name}: {each}" for each in found)

    def standing(self) -> GroupStanding:
        """How things stand in the partitions this member has."""
        return standing(self._services, self._consumers.values(), is_assigned=self.may_begin())

    async def run(self) -> None:
        """Consume until stop(). Raises what a partition raises (partition.py), once the others have ended."""
        watching = asyncio.create_task(self._watch(), name=f"watch {self.name}")
        try:
            while not self._stopping and self._failure is None:
                self._round_at = self._clock()
                await self._round()
                await self._until_next_round()
        finally:
            try:
                await self._end()
            finally:
                watching.cancel()
        if self._failure is not None:
            raise self._failure

    async def _round(self) -> None:
        """Ask, and act on the answer; a server that cannot be asked now is asked again."""
        try:
            if self._subscriber is None:
                self._subscriber = await self._join()
            for consumer in self._consumers.values():
                consumer.asking()
            await self._act(await self.assignment())
        except ConnectorError as error:
            if not is_transient(error):
                raise
            log.warning("assignment_unknown", group=self.group, topic=self.topic, error=str(error))
            await asyncio.sleep(PAUSE_AFTER_FAILURE)
        finally:
            self._release()

    async def _join(self) -> MessageSubscriber:
        await self._journals.opener.ready()
        stream, topic, group = self._stream, self._services.topic, self._services.group
        admin = self._connector.admin
        if await admin.describe_group(stream=stream, topic=topic, group=group) is None:
            with contextlib.suppress(AlreadyExistsError):  # another process may be faster
                await admin.create_group(stream=stream, topic=topic, group=group)
        return await self._connector.subscribe(stream=stream, topic=topic, group=group)

    async def _know_group(self) -> None:
        """A group that was made anew counts its generations again: what was claimed in its earlier life is not ours."""
        life = await life_of(self._connector.admin, stream=self._stream, topic=self.topic, group=self.group)
        if life is not None and life != self.life:
            self.life = life
            for partition_id in self.partitions:
                self._lose(partition_id)

    async def _act(self, answer: Assignment) -> None:
        if answer.generation != self._generation:
            for consumer in self._consumers.values():
                consumer.tenure.freeze(answer.generation)
            await self._know_group()
        # A partition that is being handed over stays missing until its last event is committed.
        owned = self._consumers.keys() - (self._handing_over if answer.generation == self._generation else set())
        found = changes(owned=owned, generation=self._generation, answer=answer)
        for partition_id in found.lost:
            self._lose(partition_id)
        for partition_id in found.missing:
            await self._part_with(partition_id, answer)
        for partition_id in found.reread:
            await self._look_again(partition_id, answer)
        for partition_id in found.gained:
            if partition_id not in self._tasks:
                await self._gain(partition_id, answer)
        for consumer in tuple(self._consumers.values()):
            consumer.answered(answer.generation)
            consumer.commits.store_soon()  # its own loop may be held up by a slow handler
        if answer.generation != self._generation:
            self._services.statistics.rebalances += 1
            log.info("assigned", group=self._services.group, topic=self._services.topic, partitions=answer.partitions)
        self._generation = answer.generation

    async def _gain(self, partition_id: int, answer: Assignment) -> None:
        try:
            point = await starting_point(
                self.subscriber,
                self._connector.admin,
                stream=self._stream,
                topic=self._services.topic,
                partition_id=partition_id,
                start=self._start,
                has_begun=partial(self._journals.opener.has_begun, self.group, self.topic, partition_id),
            )
        except OffsetOutOfRangeError as error:
            self._services.statistics.gaps += 1
            self._failed(partition_id, error)
            return
        consumer = self._consumers[partition_id] = PartitionConsumer(
            self._services, self, self._journals, partition_id=partition_id, generation=answer.generation, point=point
        )
        task = asyncio.create_task(consumer.run(), name=f"consume {self.name}/{partition_id}")
        self._tasks[partition_id] = task
        task.add_done_callback(lambda ended: self._ended(consumer, ended))

    async def _part_with(self, partition_id: int, answer: Assignment) -> None:
        consumer = self._consumers.get(partition_id)
        if consumer is None:
            return
        commits = consumer.commits
        if not commits.has_something:
            # Nothing tells whose it is: what runs may end, and then be stored; else giving it up costs nothing.
            if consumer.runner.is_idle:
                self._lose(partition_id)
            else:
                consumer.hold()
            return
        # A generation later somebody may have owned it in between, and storing again would move the offset back.
        unchanged = not commits.frozen or await commits.is_still_ours()
        accepted = unchanged and await commits.store_again()
        after = await self.subscriber.assignment() if accepted else answer
        decision = handover(store_accepted=accepted, before=answer, after=after)
        if decision is Handover.LOST:
            self._lose(partition_id)
        elif decision is Handover.REVOKED:
            log.info("partition_handed_over", group=self._services.group, partition_id=partition_id)
            self._handing_over.add(partition_id)
            consumer.hand_over()
            if commits.frozen:
                consumer.tenure.renew(answer.generation)
        else:
            self._asking.set()

    async def _look_again(self, partition_id: int, answer: Assignment) -> None:
        consumer = self._consumers.get(partition_id)
        if consumer is None:
            return
        if not consumer.is_held and await consumer.commits.is_still_ours():
            consumer.tenure.renew(answer.generation)
        else:
            self._lose(partition_id)
            self._asking.set()  # it is ours again, from another offset

    def _lose(self, partition_id: int) -> None:
        """Cancel what runs and commit nothing: somebody else may own it already."""
        consumer = self._consumers.pop(partition_id, None)
        if consumer is None:
            return
        consumer.lose()
        self._handing_over.discard(partition_id)
        self._services.statistics.lost_partitions += 1
        log.warning("partition_lost", group=self._services.group, partition_id=partition_id)
        self._ending[partition_id] = consumer
        if self._tasks[partition_id] is not asyncio.current_task():
            self._tasks[partition_id].cancel()

    def _ended(self, consumer: PartitionConsumer, task: asyncio.Task[None]) -> None:
        partition_id = consumer.partition_id
        del self._tasks[partition_id]
        self._consumers.pop(partition_id, None)
        self._handing_over.discard(partition_id)
        if self._ending.pop(partition_id, None) is not None:
            self._asking.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(partition_id, error)

    def _failed(self, partition_id: int, error: BaseException) -> None:
        self._services.statistics.failed += 1
        log.error("subscription_failed", group=self.group, partition_id=partition_id, error=type(error).__name__)
        if self._failure is None and isinstance(error, Exception):
            self._failure = error
        self._asking.set()

    async def _until_next_round(self) -> None:
        if self._stopping or self._failure is not None:
            return
        try:
            async with asyncio.timeout(self._services.config.heartbeat_interval):
                await self._asking.wait()
        except TimeoutError:
            return
        self._asking.clear()
        await asyncio.sleep(PAUSE_BETWEEN_ANSWERS)

    def _release(self) -> None:
        answered, self._answered = self._answered, asyncio.Event()
        answered.set()
        self._kick()

    def _kick(self) -> None:
        for consumer in self._consumers.values():
            consumer.runner.kick()
            consumer.changed()

    async def _watch(self) -> None:
        """Look after handlers that run long, until cancelled."""
        while True:
            await asyncio.sleep(self._services.watch_interval)
            for consumer in tuple(self._consumers.values()):
                consumer.runner.watch(self._clock())

    async def _end(self) -> None:
        """Finish what is in flight within the drain timeout, cancel the rest, leave the group."""
        for consumer in self._consumers.values():
            consumer.tenure.answers_end()
        self.stop()
        tasks = set(self._tasks.values())
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._services.config.drain_timeout + CANCELLED_HANDLERS_TIMEOUT)
        finally:
            left = [task for task in tasks if not task.done()]
            for task in left:
                task.cancel()
            if left:
                log.warning("handlers_cancelled", group=self._services.group, count=len(left))
                await asyncio.wait(left, timeout=CANCELLED_HANDLERS_TIMEOUT)
            if self._subscriber is not None:
                await self._subscriber.leave()
