"""The state of a server without its sockets: catalog, users, logs, sessions and commits, brought up from a storage."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from msgspec import ValidationError

from rustok_iggy_connector.local_server.catalog import Catalog
from rustok_iggy_connector.local_server.commits import Commits, Job, Schedule
from rustok_iggy_connector.local_server.entries import Partition, Topic
from rustok_iggy_connector.local_server.log import PartitionLog
from rustok_iggy_connector.local_server.options import NEVER
from rustok_iggy_connector.local_server.password_cache import PasswordCache
from rustok_iggy_connector.local_server.passwords import SALT_BYTES
from rustok_iggy_connector.local_server.recent import RecentBatches
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Peer, Session
from rustok_iggy_connector.local_server.storage.contract import (
    ConsumerKey,
    DropLog,
    NewLog,
    Storage,
    StorageDamagedError,
    StorageError,
    Stored,
    StoredLog,
    Write,
)
from rustok_iggy_connector.local_server.users import Users
from rustok_iggy_connector.wire.connection import MAX_REQUEST_BYTES
from rustok_iggy_connector.wire.primitives import ConsumerKind

SERVER_VERSION: Final = "0.9.0+local"
"""The generation it speaks, and that it is not iggy-server."""

RETENTION_INTERVAL: Final = 60.0
"""Seconds between two looks for what is too old or too much; iggy-server's default."""

HEARTBEAT_TIMEOUT: Final = 36.0
"""Seconds of silence after which a member of a group is dropped: 1.2 times iggy-server's heartbeat interval of 30 s."""

RunSlow: TypeAlias = Callable[[Callable[[], Any], Callable[[Any], None], str, int], None]
"""Runs the first where it may take 50 ms, and gives what it returned to the second, back where the broker lives. The
rest says whose turn it is (SlowWork): for which account it is, and how often that was guessed at."""


def _at_once(call: Callable[[], None]) -> None:
    call()


def _run_here(work: Callable[[], Any], then: Callable[[Any], None], *_: object) -> None:
    then(work())


def _nobody_is_told(_: StorageError) -> None:
    """The refused client is enough."""


def _microseconds() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the broker takes from the world. The defaults do everything at once, in the calling thread."""

    now: Callable[[], int] = _microseconds
    monotonic: Callable[[], float] = time.monotonic
    randomness: Callable[[int], bytes] = secrets.token_bytes
    schedule: Schedule = _at_once
    run_slow: RunSlow = _run_here
    report: Callable[[StorageError], None] = _nobody_is_told


class Broker:
    """One server's state. Everything happens in one thread; nothing waits.

    Raises StorageError when the storage cannot be read, StorageDamagedError when what it holds does not fit together.
    """

    def __init__(self, storage: Storage, *, surroundings: Surroundings | None = None) -> None:
        self.world = surroundings or Surroundings()
        self.storage = storage
        self.started_at = self.world.now()
        self.logs: dict[int, PartitionLog] = {}
        self.sessions: dict[int, Session] = {}
        self.passwords = PasswordCache(key=self.world.randomness(32))
        self._recent = RecentBatches()
        self._touched: list[Write] = []
        stored = storage.load()
        try:
            self.catalog = Catalog.from_rows(stored.rows, group_offsets=self._group_offset)
            self.users = Users.from_rows(stored.rows, verify=self.passwords.verify)
            self._restore_logs(stored)
        except (ValidationError, KeyError) as error:
            raise StorageDamagedError(
                f"the catalog that is stored does not fit together ({error}); "
                "restore the data directory from a backup, or move it away to start empty"
            ) from error
        self.commits = Commits(
            storage=storage,
            logs=self.logs,
            take_changes=self._take_changes,
            after_commit=self._after_commit,
            schedule=self.world.schedule,
            report=self.world.report,
        )
        self._last_session_id = 0
        self._last_login = 0
        self._next_retention = self.world.monotonic() + RETENTION_INTERVAL

    def ensure_root(self, username: str, password: str) -> bool:
        """Make the root account when there is none yet. ValueError: name or password out of bounds."""
        salt = self.world.randomness(SALT_BYTES)
        made = self.users.ensure_root(username, password, salt=salt, now=self.world.now())
        root = self.users.find(username)
        if made and root is not None:
            self.passwords.learn(password, root.password_hash, True)  # a first login need not hash it again
        self.commits.flush_changes()
        return made

    # Sessions

    def open_session(self, peer: Peer, *, address: str) -> Session:
        """A connection has been made."""
        self._last_session_id += 1
        session = Session(id=self._last_session_id, address=address, peer=peer, last_heard=self.world.monotonic())
        self.sessions[session.id] = session
        return session

    def next_login_number(self) -> int:
        """A number no session had before."""
        self._last_login += 1
        return self._last_login

    def log_out(self, session: Session) -> None:
        """Forget who it is; its memberships end."""
        session.user_id = None
        session.number = 0
        if self.catalog.groups.drop_session(session):
            self.commits.flush_changes()

    def is_taken(self, client: int, *, by: int) -> bool:
        """Whether a client id is in use by another user than `by`."""
        return any(found.user_id != by for found in self._logged_in(client))

    def hand_on(self, client: int, heir: Session) -> None:
        """A client id was logged in over a new connection: it is that member again, and the old connection nobody's."""
        for session in self._logged_in(client):
            self.catalog.groups.hand_on(session, heir)
            self.log_out(session)

    def end_session(self, session: Session) -> None:
        """The connection is gone. Idempotent."""
        if session.closed:
            return
        session.closed = True
        del self.sessions[session.id]
        self.log_out(session)

    def memberships(self, session: Session) -> list[tuple[int, int, int]]:
        """Stream, topic and group ids of the groups the session is a member of."""
        return [
            (*topic.key, group.id)
            for stream in self.catalog.streams
            for topic in self.catalog.topics(stream.id)
            for group in self.catalog.groups.of(topic)
            if group.is_member(session)
        ]

    # Logs

    def log(self, partition: Partition) -> PartitionLog:
        """The partition's log."""
        return self.logs[partition.incarnation]

    def add_logs(self, topic: Topic, partitions: Iterable[Partition]) -> None:
        """Partitions of this topic begin a life."""
        for partition in partitions:
            self._add_log(StoredLog(id=partition.incarnation), topic)
            self._touched.append(NewLog(log_id=partition.incarnation))

    def drop_logs(self, partitions: Iterable[Partition]) -> None:
        """These lives are over."""
        for partition in partitions:
            del self.logs[partition.incarnation]
            self._touched.append(DropLog(log_id=partition.incarnation))

    # Time

    def group_clock(self) -> int:
        """Microseconds of a clock that does not go back, for the consumer groups."""
        return int(self.world.monotonic() * 1_000_000)

    def tick(self) -> list[Session]:
        """Call it once a second. Gives the silent members of groups, which are to be evicted."""
        self._after_commit()
        now = self.world.monotonic()
        if now >= self._next_retention:
            self._next_retention = now + RETENTION_INTERVAL
            self.clean_up()
        silent = [session for session in self.sessions.values() if now - session.last_heard > HEARTBEAT_TIMEOUT]
        return [session for session in silent if self.memberships(session)]

    def clean_up(self) -> None:
        """Remove what retention does not keep any more, and tokens whose time is over."""
        self.users.delete_expired_tokens(now=self.world.now())
        self.commits.submit(Job(run=self._plan_retention, answer=_nobody_waits))

    def _plan_retention(self) -> list[Any]:
        now = self.world.now()
        for stream in self.catalog.streams:
            for topic in self.catalog.topics(stream.id):
                expiry = None if topic.message_expiry in (0, NEVER) else topic.message_expiry
                budget = partition_budget(topic)
                for partition in topic.partitions:
                    trim = self.log(partition).plan_retention(now=now, expiry=expiry, max_bytes=budget)
                    if trim is not None:
                        self.commits.writes.append(trim)
        return []

    # Inside

    def _logged_in(self, client: int) -> list[Session]:
        return [found for found in self.sessions.values() if found.user_id is not None and found.client == client]

    def _group_offset(self, partition: Partition, group_id: int) -> int | None:
        return self.log(partition).offsets.get(ConsumerKey(ConsumerKind.GROUP, group_id))

    def _take_changes(self) -> list[Write]:
        changes = [*self._touched, *self.catalog.take_changes(), *self.users.take_changes()]
        self._touched = []
        return changes

    def _after_commit(self) -> None:
        """Offsets may have moved: hand over partitions that waited for that, and keep the new generations."""
        self.catalog.groups.settle(now=self.group_clock())
        changes = self.catalog.take_changes()
        if changes:
            self._touched += changes
            self.commits.flush_changes()

    def _add_log(self, stored: StoredLog, topic: Topic) -> None:
        self.logs[stored.id] = PartitionLog(
            stored, storage=self.storage, recent=self._recent, segment_size=topic.segment_size
        )

    def _restore_logs(self, stored: Stored) -> None:
        found = {log.id: log for log in stored.logs}
        for stream in self.catalog.streams:
            for topic in self.catalog.topics(stream.id):
                for partition in topic.partitions:
                    self._add_log(found.pop(partition.incarnation), topic)
        self._touched += [DropLog(log_id=log_id) for log_id in found]


def partition_budget(topic: Topic) -> int | None:
    """How many bytes of closed segments a partition keeps: its share, but no less than one segment can have.

    A segment closes with the batch that crosses its size, which may be as large as a request.
    """
    if topic.max_topic_size in (0, NEVER):
        return None
    share = topic.max_topic_size // max(len(topic.partitions), 1)
    return max(share, topic.segment_size + MAX_REQUEST_BYTES)


def _nobody_waits(_: list[Any] | Refusal) -> None:
    """The answer of work that nobody asked for."""
