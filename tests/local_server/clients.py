"""Clients of a server in this process: short names for what tests ask of it, and a clock that stands still."""

from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.wire.batch import NewMessage, build_batch, split_batches
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION
from rustok_iggy_connector.wire.commands import Message, groups, messages, offsets, system
from rustok_iggy_connector.wire.commands.session import Login, LoginWithToken
from rustok_iggy_connector.wire.primitives import (
    Consumer,
    ConsumerKind,
    Partitioning,
    PollingStrategy,
    StrategyKind,
)

SINGLE = Consumer(ConsumerKind.SINGLE, 7)
GROUP = Consumer(ConsumerKind.GROUP, "g")


class Clock:
    """Time stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> int:
        return int(self.seconds * 1_000_000)


def logged_in(server: InProcessServer) -> InProcessSession:
    session = server.open_session()
    session.log_in()
    return session


def send(*payloads: bytes, partition: int = 0, topic: str = "t") -> messages.SendMessages:
    batch = build_batch([NewMessage(id=n + 1, payload=payload) for n, payload in enumerate(payloads)])
    return messages.SendMessages(
        stream="s", topic=topic, partitioning=Partitioning.to_partition(partition), batch=batch
    )


def poll(consumer: Consumer = SINGLE, *, partition: int | None = 0, auto_commit: bool = False) -> messages.PollMessages:
    return messages.PollMessages(
        consumer=consumer,
        stream="s",
        topic="t",
        partition_id=partition,
        strategy=PollingStrategy(StrategyKind.NEXT),
        count=2,
        auto_commit=auto_commit,
    )


def payloads(reply: Message | Refusal | None) -> list[bytes]:
    assert isinstance(reply, messages.PollMessagesReply)
    return [message.payload for batch in split_batches(reply.batches) for message in batch.messages()]


def store(consumer: Consumer, offset: int, *, partition: int = 0) -> offsets.StoreOffset:
    return offsets.StoreOffset(consumer=consumer, stream="s", topic="t", partition_id=partition, offset=offset)


def stored(client: InProcessSession, consumer: Consumer) -> int | None:
    reply = client.request(offsets.GetOffset(consumer=consumer, stream="s", topic="t", partition_id=0))
    assert reply is None or isinstance(reply, offsets.OffsetInfo)
    return None if reply is None else reply.stored_offset


def join(client: InProcessSession) -> None:
    assert client.request(groups.JoinGroup(stream="s", topic="t", group="g")) == system.Empty()


def owned(client: InProcessSession) -> tuple[int, ...] | None:
    reply = client.request(groups.SyncGroup(stream="s", topic="t", group="g"))
    assert reply is None or isinstance(reply, groups.Assignment)
    return None if reply is None else reply.partitions


def confirmation(base_offset: int, partition: int = 0) -> messages.SendMessagesReply:
    place = messages.SendConfirmation(stream_id=0, topic_id=0, partition_id=partition, base_offset=base_offset)
    return messages.SendMessagesReply(confirmations=(place,))


def login(username: str = "iggy", password: str = "iggy", *, version: int = PROTOCOL_VERSION) -> Login:
    return Login(protocol_version=version, sdk_name="x", sdk_version="1", username=username, password=password)


def token_login(token: str) -> LoginWithToken:
    return LoginWithToken(protocol_version=PROTOCOL_VERSION, sdk_name="x", sdk_version="1", token=token)
