"""A blocking client over a socket, for tests that look at bytes."""

from __future__ import annotations

import itertools
import socket
import ssl
from types import TracebackType
from typing import Self

from rustok_iggy_connector.wire.batch import NewMessage, build_batch
from rustok_iggy_connector.wire.codec import Refusal, decode_reply
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message, messages, streams, topics
from rustok_iggy_connector.wire.commands.session import Login, LoginReply
from rustok_iggy_connector.wire.connection import NEED_DATA, ClientConnection, EvictionFrame, ReplyFrame
from rustok_iggy_connector.wire.primitives import Partitioning

_clients = itertools.count(1)


class SocketClient:
    """One connection. Every wait ends after `timeout` seconds with an error."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, timeout: float = 15.0) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost")
        self.frames = ClientConnection(client=next(_clients))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def receive(self) -> ReplyFrame | EvictionFrame:
        """The next frame. ConnectionError when the server has closed the connection."""
        while (frame := self.frames.next_frame()) is NEED_DATA:
            data = self.socket.recv(1 << 18)
            if not data:
                raise ConnectionError("closed by the server")
            self.frames.receive_data(data)
        assert isinstance(frame, ReplyFrame | EvictionFrame)
        return frame

    def request(self, request: Message) -> Message | Refusal | None:
        self.socket.sendall(self.frames.send(request))
        reply = self.receive()
        assert isinstance(reply, ReplyFrame), reply
        return decode_reply(COMMAND_OF_REQUEST[type(request)], reply.header, reply.body)

    def log_in(self, username: str = "iggy", password: str = "iggy") -> None:
        reply = self.request(
            Login(
                protocol_version=PROTOCOL_VERSION,
                sdk_name="test",
                sdk_version="1",
                username=username,
                password=password,
            )
        )
        assert isinstance(reply, LoginReply)

    def make_topic(self, *, partitions: int = 1) -> None:
        """Stream s, topic t."""
        self.request(streams.CreateStream(name="s"))
        self.request(topics.CreateTopic(stream="s", name="t", partitions_count=partitions))

    def send(self, *payloads: bytes) -> int:
        """Into partition 0 of topic t; the offset of the first."""
        reply = self.request(send_request(*payloads))
        assert isinstance(reply, messages.SendMessagesReply), reply
        return reply.confirmations[0].base_offset


def send_request(*payloads: bytes) -> messages.SendMessages:
    batch = build_batch([NewMessage(id=n + 1, payload=payload) for n, payload in enumerate(payloads)])
    return messages.SendMessages(stream="s", topic="t", partitioning=Partitioning.to_partition(0), batch=batch)
