"""Both ends of a connection: any split of the stream gives the same frames; requests are numbered as the wheel does."""

import contextlib
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Command, EvictionReason, FrameKind, Operation, Status
from rustok_iggy_connector.wire.commands import COMMANDS, command_of
from rustok_iggy_connector.wire.commands.session import Login, LoginReply
from rustok_iggy_connector.wire.commands.streams import CreateStream, GetStream
from rustok_iggy_connector.wire.commands.system import Empty, Ping
from rustok_iggy_connector.wire.connection import (
    CLOSED,
    NEED_DATA,
    ClientConnection,
    EvictionFrame,
    ReplyFrame,
    RequestFrame,
    ServerConnection,
    Signal,
    encode_eviction,
    encode_reply,
    encode_success,
)
from rustok_iggy_connector.wire.header import HEADER_BYTES, EvictionHeader, RequestHeader
from tests.wire.recorded import Recorded, frames, frames_of

Frame = RequestFrame | ReplyFrame | EvictionFrame
REQUESTS = [frame.data for frame in frames_of(FrameKind.REQUEST)]
ANSWERS = [frame.data for frame in frames() if frame.kind is not FrameKind.REQUEST]


def drained(end: ServerConnection | ClientConnection) -> list[Frame]:
    taken: list[Frame] = []
    while not isinstance(frame := end.next_frame(), Signal):
        taken.append(frame)
    return taken


def encoded(frame: Frame) -> bytes:
    return frame.header.encode() + (b"" if isinstance(frame, EvictionFrame) else frame.body)


def new_end(stream: list[bytes]) -> ServerConnection | ClientConnection:
    return ServerConnection() if stream is REQUESTS else ClientConnection(client=1)


@pytest.mark.parametrize("stream", [REQUESTS, ANSWERS], ids=["server", "client"])
def test_every_recorded_frame_comes_out_whole_and_goes_in_again_bit_for_bit(stream: list[bytes]) -> None:
    end = new_end(stream)
    end.receive_data(b"".join(stream))
    assert [encoded(frame) for frame in drained(end)] == stream


@pytest.mark.parametrize("stream", [REQUESTS, ANSWERS], ids=["server", "client"])
@given(data=st.data())
def test_any_split_of_the_stream_gives_the_same_frames(stream: list[bytes], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(stream) - 1))
    joined = b"".join(stream[start : start + 4])
    cuts = data.draw(st.lists(st.integers(0, len(joined)), max_size=12))
    end = new_end(stream)
    taken: list[Frame] = []
    for left, right in pairwise([0, *sorted(cuts), len(joined)]):
        end.receive_data(joined[left:right])
        taken += drained(end)
    assert [encoded(frame) for frame in taken] == stream[start : start + 4]
    assert end.buffered_bytes == 0


def test_a_stream_of_single_bytes_gives_the_same_frames() -> None:
    end = ServerConnection()
    taken: list[Frame] = []
    for byte in b"".join(REQUESTS[:6]):
        end.receive_data(bytes([byte]))
        taken += drained(end)
    assert [encoded(frame) for frame in taken] == REQUESTS[:6]


@pytest.mark.parametrize("stream", [REQUESTS, ANSWERS], ids=["server", "client"])
@given(data=st.data())
def test_any_truncation_asks_for_more_and_its_end_is_an_error(stream: list[bytes], data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from(stream))
    length = data.draw(st.integers(0, len(frame) - 1))
    end = new_end(stream)
    end.receive_data(frame[:length])
    assert end.next_frame() is NEED_DATA
    end.receive_eof()
    if length:
        with pytest.raises(RemoteProtocolError, match="ended inside"):
            end.next_frame()
    else:
        assert end.next_frame() is CLOSED


def test_frames_before_the_end_of_the_stream_still_come_out() -> None:
    end = ServerConnection()
    end.receive_data(REQUESTS[0])
    end.receive_eof()
    assert isinstance(end.next_frame(), RequestFrame)
    assert end.next_frame() is CLOSED
    with pytest.raises(LocalProtocolError):
        end.receive_data(b"more")


@given(garbage=st.binary(min_size=HEADER_BYTES, max_size=2 * HEADER_BYTES))
def test_garbage_gives_nothing_but_the_one_error(garbage: bytes) -> None:
    for end in (ServerConnection(), ClientConnection(client=1)):
        end.receive_data(garbage)
        # Random bytes may happen to be a header; then the rest of its frame is waited for.
        with contextlib.suppress(RemoteProtocolError):
            drained(end)


@pytest.mark.parametrize("stranger", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02", b"\x00", b"\xff", b"\x05"])
def test_what_is_not_this_protocol_is_refused_at_the_first_header(stranger: bytes) -> None:
    for end in (ServerConnection(), ClientConnection(client=1)):
        end.receive_data((stranger * HEADER_BYTES)[:HEADER_BYTES])
        with pytest.raises(RemoteProtocolError):
            end.next_frame()


def test_a_broken_header_is_refused_before_its_body_is_waited_for() -> None:
    header = bytearray(RequestHeader(size=HEADER_BYTES + 9, client=1, operation=Operation.NOT_REPLICATED).encode())
    header[70] = 1
    end = ServerConnection()
    end.receive_data(header)
    with pytest.raises(RemoteProtocolError, match="reserved"):
        end.next_frame()


def test_a_request_is_not_an_answer_nor_an_answer_a_request() -> None:
    for end, stream in ((ServerConnection(), ANSWERS), (ClientConnection(client=1), REQUESTS)):
        end.receive_data(stream[0])
        with pytest.raises(RemoteProtocolError, match="frame kind"):
            end.next_frame()


@given(frame=st.sampled_from(frames()), position=st.integers(0, HEADER_BYTES - 1), value=st.integers(0, 255))
def test_a_changed_header_byte_gives_a_frame_or_more_or_the_one_error(
    frame: Recorded, position: int, value: int
) -> None:
    data = bytearray(frame.data)
    data[position] = value
    for end in (ServerConnection(), ClientConnection(client=1)):
        end.receive_data(data)
        with contextlib.suppress(RemoteProtocolError):
            drained(end)


@pytest.mark.parametrize("size", [0, 255, 64 * 1024 * 1024 + 1, 2**32 - 1])
def test_a_wild_length_is_refused_when_the_header_is_there(size: int) -> None:
    header = bytearray(REQUESTS[0][:HEADER_BYTES])
    struct.pack_into("<I", header, 48, size)
    end = ServerConnection()
    end.receive_data(header)
    with pytest.raises(RemoteProtocolError, match=f"frame of {size} bytes"):
        end.next_frame()


def test_limits_are_the_callers_to_choose() -> None:
    request = ClientConnection(client=1).send(CreateStream(name="x" * 100))
    end = ServerConnection(max_request_bytes=len(request) - 1)
    end.receive_data(request)
    with pytest.raises(RemoteProtocolError):
        end.next_frame()
    with pytest.raises(LocalProtocolError):
        ClientConnection(client=1, max_request_bytes=len(request) - 1).send(CreateStream(name="x" * 100))


def test_after_an_error_a_connection_gives_the_same_error_and_keeps_nothing() -> None:
    end = ServerConnection()
    end.receive_data(b"GET / HTTP/1.1\r\n" * 20)
    with pytest.raises(RemoteProtocolError) as first:
        end.next_frame()
    end.receive_data(REQUESTS[0])
    with pytest.raises(RemoteProtocolError) as second:
        end.next_frame()
    assert str(first.value) == str(second.value)
    assert end.buffered_bytes == 0


def test_the_client_sends_the_recorded_clients_frames_bit_for_bit() -> None:
    """Numbering, session, checksum and layout as the published client has them, for every recorded request."""
    ends: dict[str, ClientConnection] = {}
    compared = 0
    for frame in frames():
        if frame.kind is FrameKind.REQUEST:
            header = RequestHeader.decode(frame.header)
            end = ends.setdefault(frame.connection, ClientConnection(client=header.client))
            if frame.command is None:
                sent = end.send_raw(header.operation, frame.body, code=header.code)
            else:
                sent = end.send(COMMANDS[frame.command].request.decode(frame.body))
            assert sent == frame.data, frame.name
            compared += 1
        elif frame.kind is FrameKind.REPLY and frame.command in (Command.LOGIN, Command.LOGIN_WITH_TOKEN):
            ends[frame.connection].begin_session(LoginReply.decode(frame.body[4:]).session)
    assert compared == len(REQUESTS)


def test_a_request_and_its_reply_make_the_round() -> None:
    client, server = ClientConnection(client=77), ServerConnection()
    server.receive_data(client.send(CreateStream(name="orders")))
    request = server.next_frame()
    assert isinstance(request, RequestFrame)
    command = command_of(request.header, request.body)
    assert command is Command.CREATE_STREAM
    client.receive_data(b"".join(encode_reply(request.header, Refusal(1012, committed=True).encode(), op=4, commit=4)))
    reply = client.next_frame()
    assert isinstance(reply, ReplyFrame)
    assert (reply.header.client, reply.header.request, reply.header.op) == (77, 1, 4)
    assert reply.header.request_checksum == request.header.request_checksum != 0


def test_a_reply_in_parts_is_announced_with_its_whole_size() -> None:
    request = RequestHeader(size=256, client=1, operation=Operation.NOT_REPLICATED, code=100, request=3)
    parts = encode_reply(request, b"prefix", memoryview(b"batch one"), b"batch two")
    assert len(parts) == 4
    client = ClientConnection(client=1)
    client.receive_data(b"".join(parts))
    frame = client.next_frame()
    assert isinstance(frame, ReplyFrame)
    assert frame.body == b"prefixbatch onebatch two"


def test_a_denial_has_no_body() -> None:
    request = RequestHeader(size=256, client=1, operation=Operation.CREATE_TOPIC, request=3, session=1)
    with pytest.raises(LocalProtocolError):
        encode_reply(request, b"body", status=Status.UNSUPPORTED_OPTION_KEY)


@pytest.mark.parametrize(
    ("status", "operation"), [(0, Operation.CREATE_TOPIC_COMMITTED), (4041, Operation.CREATE_TOPIC)]
)
def test_the_reply_to_create_topic_tells_committed_from_denied(status: int, operation: Operation) -> None:
    request = RequestHeader(size=256, client=1, operation=Operation.CREATE_TOPIC, request=3, session=1)
    client = ClientConnection(client=1)
    client.receive_data(b"".join(encode_reply(request, status=status)))
    frame = client.next_frame()
    assert isinstance(frame, ReplyFrame)
    assert frame.header.operation is operation


def test_success_carries_the_result_section_where_the_operation_has_one() -> None:
    header = RequestHeader(size=256, client=1, operation=Operation.DELETE_STREAM, request=3, session=1)
    assert encode_success(header, Command.DELETE_STREAM, Empty())[1] == bytes(4)
    ping = RequestHeader(size=256, client=1, operation=Operation.NOT_REPLICATED, code=1)
    assert encode_success(ping, Command.PING, Empty())[1] == b""


def test_an_eviction_reaches_the_client() -> None:
    request = RequestHeader(size=256, client=5, operation=Operation.REGISTER)
    client = ClientConnection(client=5)
    client.receive_data(encode_eviction(request, EvictionReason.INCOMPATIBLE_PROTOCOL, lowest=1, highest=2))
    expected = EvictionHeader(
        client=5, reason=EvictionReason.INCOMPATIBLE_PROTOCOL, protocol_lowest=1, protocol_highest=2
    )
    assert client.next_frame() == EvictionFrame(expected)


def test_reads_repeat_the_number_of_the_next_write_and_login_has_none() -> None:
    client = ClientConnection(client=1)
    login = Login(protocol_version=1, sdk_name="a", sdk_version="b", username="u", password="p")
    requests = [login, Ping(), GetStream(stream=0), CreateStream(name="a"), Ping(), CreateStream(name="b"), Ping()]
    numbers = [RequestHeader.decode(client.send(request)).request for request in requests]
    assert numbers == [0, 1, 1, 1, 2, 2, 3]


def test_only_requests_can_be_sent_and_a_client_has_an_id() -> None:
    with pytest.raises(LocalProtocolError, match="not a request"):
        ClientConnection(client=1).send(Empty())
    with pytest.raises(LocalProtocolError):
        ClientConnection(client=0)


def test_bodies_stay_out_of_reprs() -> None:
    client, server = ClientConnection(client=1), ServerConnection()
    server.receive_data(client.send_raw(Operation.REGISTER, b"very secret body"))
    assert "secret" not in repr(server.next_frame())
