"""When the disk fails, and when the process is killed: what was acknowledged holds, what was refused left nothing."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.local_server.storage import (
    MemoryStorage,
    StorageError,
    StoredBatch,
    Write,
)
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import messages, offsets, streams, system, topics
from rustok_iggy_connector.wire.primitives import PollingStrategy, StrategyKind
from tests.local_server.clients import SINGLE, confirmation, logged_in, payloads, poll, send, store
from tests.local_server.program import running
from tests.local_server.socket_client import SocketClient
from tests.waiting import wait_until


class FailingStorage(MemoryStorage):
    """Memory that can be full, and that can be unreadable."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.unreadable = False

    def commit(self, writes: Sequence[Write], done: Callable[[StorageError | None], None]) -> None:
        if self.full:
            done(StorageError("no room left", full=True))
        else:
            super().commit(writes, done)

    def read(self, log_id: int, offset: int) -> Iterator[StoredBatch]:
        if self.unreadable:
            raise StorageError("disk fault")
        return super().read(log_id, offset)


def with_topic(storage: FailingStorage) -> InProcessSession:
    client = logged_in(InProcessServer(storage=storage))
    client.request(streams.CreateStream(name="s"))
    client.request(topics.CreateTopic(stream="s", name="t", partitions_count=1))
    return client


def test_a_full_disk_refuses_sends_and_offsets_until_there_is_room() -> None:
    storage = FailingStorage()
    client = with_topic(storage)
    client.request(send(b"kept"))
    storage.full = True
    assert client.request(send(b"lost")) == Refusal(Status.CANNOT_APPEND_MESSAGE)
    assert client.request(store(SINGLE, 0)) == Refusal(Status.ERROR)
    assert payloads(client.request(poll())) == [b"kept"]
    assert client.request(system.Ping()) == system.Empty()
    storage.full = False
    assert client.request(send(b"again")) == confirmation(1)
    assert client.request(offsets.GetOffset(consumer=SINGLE, stream="s", topic="t", partition_id=0)) is None


def test_a_topic_whose_creation_failed_is_stored_with_the_first_that_works() -> None:
    storage = FailingStorage()
    client = with_topic(storage)
    storage.full = True
    create = topics.CreateTopic(stream="s", name="late", partitions_count=1)
    assert client.request(create) == Refusal(Status.ERROR)
    storage.full = False
    assert client.request(create) == Refusal(Status.TOPIC_NAME_ALREADY_EXISTS, committed=True)
    reply = client.request(send(b"x", topic="late"))
    assert isinstance(reply, messages.SendMessagesReply)


def test_a_disk_fault_is_an_error_and_not_an_empty_poll() -> None:
    storage = FailingStorage()
    server = InProcessServer(storage=storage)
    server._broker._recent._limit = 0  # nothing in memory
    client = logged_in(server)
    client.request(streams.CreateStream(name="s"))
    client.request(topics.CreateTopic(stream="s", name="t", partitions_count=1))
    client.request(send(b"a"))
    client.request(send(b"b"))
    storage.unreadable = True
    assert client.request(poll()) == Refusal(Status.ERROR)
    storage.unreadable = False
    assert payloads(client.request(poll())) == [b"a", b"b"]


def test_recent_messages_are_served_without_the_disk() -> None:
    storage = FailingStorage()
    client = with_topic(storage)
    client.request(send(b"a", b"b"))
    storage.unreadable = True
    assert payloads(client.request(poll())) == [b"a", b"b"]


ROUNDS = 6
PUBLISHERS = 3


def test_kill_9_of_the_server_in_the_middle_of_publishing_loses_nothing(tmp_path: Path) -> None:
    """Rounds on one directory: publishers of single messages and batches, a kill, a reading of everything."""
    seed = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1 << 30)
    chance = random.Random(seed)
    acknowledged: dict[int, bytes] = {}
    for round_number in range(ROUNDS):
        note = f"KILL_SEED={seed}, round {round_number}"
        with running(tmp_path) as (program, port):
            with SocketClient(port) as client:
                client.log_in()
                client.make_topic()
                assert_all_there(client, acknowledged, note)
            threads = [
                threading.Thread(target=publish, args=(port, b"%d-%d" % (round_number, number), acknowledged))
                for number in range(PUBLISHERS)
            ]
            for thread in threads:
                thread.start()
            enough = len(acknowledged) + chance.randrange(5, 100)
            wait_until(lambda: len(acknowledged) >= enough)  # noqa: B023 -- called within the round
            program.end(signal.SIGKILL)
            for thread in threads:
                thread.join()
    with running(tmp_path) as (_, port), SocketClient(port) as client:
        client.log_in()
        assert_all_there(client, acknowledged, f"KILL_SEED={seed}, at the end")


def publish(port: int, name: bytes, acknowledged: dict[int, bytes]) -> None:
    """Until the server is gone. Offsets of different publishers never meet, or the test fails later."""
    count = 0
    try:
        with SocketClient(port) as client:
            client.log_in()
            while True:
                bodies = [b"%s-%d" % (name, count + extra) for extra in range(1 + count % 5)]
                base = client.send(*bodies)
                acknowledged.update({base + place: body for place, body in enumerate(bodies)})
                count += len(bodies)
    except ConnectionError:
        pass


def assert_all_there(client: SocketClient, acknowledged: dict[int, bytes], note: str) -> None:
    found: list[bytes] = []
    while True:
        request = messages.PollMessages(
            consumer=SINGLE,
            stream="s",
            topic="t",
            partition_id=0,
            strategy=PollingStrategy(StrategyKind.OFFSET, len(found)),
            count=1000,
        )
        reply = client.request(request)
        assert isinstance(reply, messages.PollMessagesReply)
        read = [message for batch in reply.parsed() for message in batch.messages()]
        assert [message.offset for message in read] == list(range(len(found), len(found) + len(read))), note
        if not read:
            break
        found += [message.payload for message in read]
    assert len(set(found)) == len(found), note
    lost = {offset: body for offset, body in acknowledged.items() if found[offset : offset + 1] != [body]}
    assert not lost, f"{note}: {len(lost)} acknowledged messages are not where they were, first {min(lost)}"
