"""Replays a seed of the differential driver's `groups` profile against the catalog, without sockets or waiting.

The driver draws everything from one random.Random, so drawing in the same order gives the same operations, and its
answers can be compared with the recorded ones of a real iggy-server, line by line.
"""

import hashlib
import json
import random
from collections.abc import Iterator

from rustok_iggy_connector.local_server.catalog import Catalog
from rustok_iggy_connector.local_server.entries import Partition, Topic
from rustok_iggy_connector.local_server.groups import ConsumerGroup
from rustok_iggy_connector.local_server.refusal import Refusal

WEIGHTS = {
    "join": 14,
    "leave": 8,
    "cut": 4,
    "sync": 18,
    "group_poll": 34,
    "group_store": 22,
    "group_get": 6,
    "group": 4,
    "send": 2,
}
NOT_FOUND = "RuntimeError: Resource with key:  was not found."
NO_PARTITION = "RuntimeError: Partition with ID: 0 for topic with ID: 0 for stream with ID: 0 was not found."
NO_MEMBER = (
    "RuntimeError: Consumer group member with client ID: 0 for group with ID: 0 for topic with ID: 0 was not found."
)
SETTLING_MICROS = 1_300_000
TICK_MICROS = 10_000
CALL_MICROS = 2_000


class GroupDriver:
    """One topic of four partitions with 30 messages each, one group, four clients that come and go."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.offsets: dict[tuple[int, int], int] = {}
        self.catalog = Catalog(group_offsets=self.offset)
        self.catalog.create_stream("s", now=0)
        self.catalog.create_topic("s", name="t0", partitions_count=4, now=0)
        self.catalog.groups.create(self.topic, "g")
        self.ends = [30] * 4
        self.sessions = [f"client-{place}" for place in range(4)]
        self.made = 4
        self.undead = {self.sessions[-1]}

    @property
    def topic(self) -> Topic:
        return self.catalog.topic("s", "t0")

    @property
    def group(self) -> ConsumerGroup:
        return self.catalog.groups.get(self.topic, "g")

    def offset(self, partition: Partition, group_id: int) -> int | None:
        return self.offsets.get((partition.incarnation, group_id))

    def run(self, count: int) -> Iterator[str]:
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        for number in range(count):
            operation = self.random.choices(names, weights)[0]
            who = self.random.randrange(4)
            if operation == "cut":
                self.cut(self.sessions[who])
                self.sessions[who] = f"client-{self.made}"
                self.made += 1
                operation = "sync"
                self.wait(SETTLING_MICROS)
            outcome = self.one(operation, self.sessions[who])
            yield json.dumps([number, operation, who, outcome], ensure_ascii=False)
            self.wait(SETTLING_MICROS if operation in ("join", "leave", "group_store") else CALL_MICROS)

    def cut(self, session: str) -> None:
        """The driver drops a client; its connection goes only if nothing else in the driver's process holds it.

        A call that raised does: exception, traceback and frame hold each other until a garbage collection, which such
        a short run does not see. And a loop variable holds the last of the first four clients for ever.
        """
        if session not in self.undead:
            self.catalog.groups.drop_session(session)

    def wait(self, micros: int) -> None:
        end = self.now + micros
        while self.now < end:
            self.now = min(self.now + TICK_MICROS, end)
            self.catalog.groups.settle(now=self.now)

    def one(self, operation: str, session: str) -> object:
        self.random.choice(["t0"])
        partition_id = self.random.randrange(4 + (self.random.random() < 0.06))
        self.random.choice([7, 8, "alpha", "beta"])
        draw = self.draw(operation)
        try:
            return getattr(self, f"do_{operation}")(session, partition_id, draw)
        except Refusal as refusal:
            self.undead.add(session)
            return {20: NOT_FOUND, 3007: NO_PARTITION, 5006: NO_MEMBER}[refusal.status]

    def draw(self, operation: str) -> int:
        """What the driver draws for this operation, in its order."""
        if operation == "group_poll":
            return self.random.randrange(10)
        if operation == "group_store":
            return self.random.randrange(20)
        if operation != "send":
            return 0
        count = self.random.choice([1, 1, 2, 5, 20])
        for _ in range(count):
            size = self.random.choice([1, 10, 100, 1000, 5000])
            for _ in range(self.random.choice([0, 0, 1, 3])):
                self.random.choice(["v", 1, 2.5, True, b"\x00\xff"])
            self.random.randbytes(size)
        return count

    def do_join(self, session: str, partition_id: int, draw: int) -> object:
        self.catalog.groups.join(self.topic, "g", session, now=self.now)
        return []

    def do_leave(self, session: str, partition_id: int, draw: int) -> object:
        self.catalog.groups.leave(self.topic, "g", session)
        return []

    def do_sync(self, session: str, partition_id: int, draw: int) -> object:
        assignment = self.group.assignment(session)
        return [] if assignment is None else sorted(assignment[1])

    def do_group_poll(self, session: str, partition_id: int, draw: int) -> object:
        if not self.group.may_poll(session, partition_id):
            return []
        offsets = range(draw, draw + 5)
        self.group.polled(partition_id, offsets[-1])
        payloads = [f"{partition_id}-{offset}".encode() for offset in offsets]
        return [
            [offset, len(payload), hashlib.sha1(payload).hexdigest()[:8], []]
            for offset, payload in zip(offsets, payloads, strict=True)
        ]

    def do_group_store(self, session: str, partition_id: int, draw: int) -> object:
        if not self.group.may_commit(session, partition_id):
            raise Refusal(20)
        self.offsets[self.topic.partitions[partition_id].incarnation, self.group.id] = draw
        self.catalog.groups.settle(now=self.now)
        return 0

    def do_group_get(self, session: str, partition_id: int, draw: int) -> object:
        partition = self.topic.partition(partition_id)
        if partition is None:
            raise Refusal(3007)
        stored = self.offset(partition, self.group.id)
        if stored is None:
            return ""
        current = self.ends[partition_id] - 1
        return (partition_id.to_bytes(4, "little") + current.to_bytes(8, "little") + stored.to_bytes(8, "little")).hex()

    def do_group(self, session: str, partition_id: int, draw: int) -> object:
        return [self.group.name, len(self.topic.partitions), self.group.members_count]

    def do_send(self, session: str, partition_id: int, draw: int) -> object:
        if self.topic.partition(partition_id) is None:
            raise Refusal(20)
        first = self.ends[partition_id]
        self.ends[partition_id] += draw
        return [[partition_id, first]]
