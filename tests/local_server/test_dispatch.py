"""The table of commands, requests that are wrong, and the order of answers."""

from collections.abc import Sequence

from rustok_iggy_connector.local_server.access import RULES
from rustok_iggy_connector.local_server.broker import Broker, Surroundings
from rustok_iggy_connector.local_server.dispatch import HANDLERS, Dispatcher
from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.local_server.storage import MemoryStorage
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Command, EvictionReason, Operation, Status
from rustok_iggy_connector.wire.commands import Message, groups, messages, streams, system, topics
from rustok_iggy_connector.wire.connection import ClientConnection, ReplyFrame, RequestFrame, ServerConnection
from rustok_iggy_connector.wire.primitives import (
    Buffer,
)
from tests.local_server.clients import (
    join,
    login,
    poll,
    send,
)


def test_every_command_but_login_and_logout_has_a_handler() -> None:
    assert set(HANDLERS) == set(RULES) - {Command.LOGIN, Command.LOGIN_WITH_TOKEN, Command.LOGOUT}


def raw(server: InProcessServer, make: object) -> list[object]:
    """Frames made by hand in, statuses and eviction reasons out."""
    assert callable(make)
    client, connection, out = ClientConnection(client=99), ServerConnection(), []

    class Collector:
        def write(self, parts: Sequence[Buffer]) -> None:
            for part in parts:
                client.receive_data(part)
            frame = client.next_frame()
            out.append(frame.header.status if isinstance(frame, ReplyFrame) else frame.header.reason)

        def close(self) -> None:
            pass

    session = server._broker.open_session(Collector(), address="raw")
    for data in make(client):
        connection.receive_data(data)
        frame = connection.next_frame()
        assert isinstance(frame, RequestFrame)
        server._dispatcher.receive(session, frame)
    return out


def test_a_login_that_cannot_be_read_is_malformed(server: InProcessServer) -> None:
    replies = raw(server, lambda client: [client.send_raw(Operation.REGISTER, b"\0\x2c\0\0garbage")])
    assert replies == [EvictionReason.MALFORMED_LOGIN]


def test_codes_bodies_and_checksums_that_are_wrong_are_refused(server: InProcessServer) -> None:
    def make(client: ClientConnection) -> list[bytes]:
        torn = bytearray(client.send(streams.CreateStream(name="s")))
        torn[-1] ^= 1
        return [
            client.send(login()),
            client.send_raw(Operation.NOT_REPLICATED, b"", code=9998),
            client.send_raw(Operation.NOT_REPLICATED, b"", code=Command.SEND_MESSAGES),
            client.send_raw(Operation.NOT_REPLICATED, b"junk", code=Command.GET_STREAM),
            client.send_raw(Operation.SEND_MESSAGES, b"junk"),
            bytes(torn),
            client.send(messages.FlushUnsavedBuffer(stream="s", topic="t", partition_id=0, fsync=True)),
        ]

    assert raw(server, make) == [
        0,
        Status.INVALID_COMMAND,
        Status.FEATURE_UNAVAILABLE,
        Status.INVALID_COMMAND,
        Status.INVALID_COMMAND,
        Status.INVALID_FORMAT,
        Status.FEATURE_UNAVAILABLE,
    ]


def test_the_server_tells_about_itself(server: InProcessServer, topic: InProcessSession) -> None:
    topic.request(send(b"a"))
    join(topic)
    stats = topic.request(system.GetStats())
    assert isinstance(stats, system.Stats)
    assert (stats.streams_count, stats.topics_count, stats.partitions_count) == (1, 1, 2)
    assert (stats.messages_count, stats.clients_count, stats.consumer_groups_count) == (1, 1, 1)
    me = topic.request(system.GetMe())
    assert isinstance(me, system.ClientDetails)
    assert (me.client.groups_count, me.groups) == (1, (system.ClientGroup(stream_id=0, topic_id=0, group_id=0),))
    assert topic.request(system.GetClient(client_id=me.client.client_id)) == me
    assert topic.request(system.GetClient(client_id=999)) is None
    assert topic.request(system.GetClients()) == system.ClientList(clients=(me.client,))
    cluster = topic.request(system.GetClusterMetadata())
    assert isinstance(cluster, system.ClusterMetadata)
    assert [node.tcp_port for node in cluster.nodes] == [0]
    catalogue = topic.request(system.DescribeOptions(scope=system.OptionScope.TOPIC))
    assert isinstance(catalogue, system.OptionCatalogue)
    assert {"segment_size", "durability"} < {option.key for option in catalogue.options}
    assert topic.request(system.DescribeOptions(scope=9)) == Refusal(Status.INVALID_COMMAND)


class SlowSurroundings:
    """Commits wait until the test lets them go."""

    def __init__(self) -> None:
        self.scheduled: list[object] = []
        self.world = Surroundings(schedule=self.scheduled.append)

    def turn(self) -> None:
        while self.scheduled:
            call = self.scheduled.pop(0)
            assert callable(call)
            call()


class SlowDesk:
    """One client whose requests are received at once and whose commits wait."""

    def __init__(self) -> None:
        self.slow = SlowSurroundings()
        self.broker = Broker(MemoryStorage(), surroundings=self.slow.world)
        self.broker.ensure_root("iggy", "iggy")
        self.dispatcher = Dispatcher(self.broker)
        self.replies: list[tuple[Operation, int]] = []
        self._client = ClientConnection(client=5)
        self._server = ServerConnection()
        self.session = self.broker.open_session(self, address="x")

    def receive(self, *requests: Message) -> None:
        for request in requests:
            self._server.receive_data(self._client.send(request))
            frame = self._server.next_frame()
            assert isinstance(frame, RequestFrame)
            self.dispatcher.receive(self.session, frame)

    def write(self, parts: Sequence[Buffer]) -> None:
        for part in parts:
            self._client.receive_data(part)
        frame = self._client.next_frame()
        if isinstance(frame, ReplyFrame):
            self.replies.append((frame.header.operation, frame.header.status))

    def close(self) -> None:
        self.replies.append((Operation.LOGOUT, -1))


def topology() -> list[Message]:
    return [
        login(),
        streams.CreateStream(name="s"),
        topics.CreateTopic(stream="s", name="t", partitions_count=1),
        groups.CreateGroup(stream="s", topic="t", name="g"),
    ]


def test_pipelined_requests_are_answered_in_order_and_reads_see_earlier_sends() -> None:
    desk = SlowDesk()
    batch = send(b"x")
    desk.receive(*topology(), batch, batch, send(b"x", partition=7), batch, poll(), system.Ping())
    assert [operation for operation, _ in desk.replies] == [Operation.REGISTER]
    assert desk.dispatcher.bytes_held == desk.session.bytes_held > 0
    desk.slow.turn()
    assert [(operation.name, status) for operation, status in desk.replies[1:]] == [
        ("CREATE_STREAM", 0),
        ("CREATE_TOPIC_COMMITTED", 0),
        ("CREATE_GROUP", 0),
        ("SEND_MESSAGES", 0),
        ("SEND_MESSAGES", 0),
        ("SEND_MESSAGES", Status.RESOURCE_NOT_FOUND),
        ("SEND_MESSAGES", 0),
        ("NOT_REPLICATED", 0),
        ("NOT_REPLICATED", 0),
    ]
    assert desk.dispatcher.bytes_held == desk.session.bytes_held == 0


def test_a_join_of_a_client_that_is_gone_makes_no_member() -> None:
    desk = SlowDesk()
    desk.receive(*topology())
    desk.slow.turn()
    desk.receive(groups.JoinGroup(stream="s", topic="t", group="g"))
    desk.dispatcher.end(desk.session)
    desk.slow.turn()
    group = desk.broker.catalog.find_group("s", "t", "g")
    assert group is not None
    assert group.members_count == 0
    assert desk.dispatcher.bytes_held == 0


def test_an_eviction_leaves_the_connection_to_a_later_login() -> None:
    desk = SlowDesk()
    desk.receive(streams.CreateStream(name="s"), login("iggy", "wrong"), login(), streams.CreateStream(name="s"))
    desk.slow.turn()
    assert desk.replies == [(Operation.REGISTER, 0), (Operation.CREATE_STREAM, 0)]
    assert [stream.name for stream in desk.broker.catalog.streams] == ["s"]


def test_what_comes_behind_the_last_field_is_passed_over(server: InProcessServer) -> None:
    def make(client: ClientConnection) -> list[bytes]:
        body = streams.GetStream(stream="s").encode()
        return [
            client.send(login()),
            client.send_raw(Operation.NOT_REPLICATED, b"later", code=Command.PING),
            client.send_raw(Operation.NOT_REPLICATED, body + b"later", code=Command.GET_STREAM),
            client.send_raw(Operation.DELETE_STREAM, body + b"later"),
        ]

    assert raw(server, make) == [0, 0, 0, 0]
