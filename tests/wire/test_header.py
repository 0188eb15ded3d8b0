"""Headers: bit-exact both ways, and no bit that nobody owns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.codes import EvictionReason, FrameKind, Operation
from rustok_iggy_connector.wire.header import HEADER_BYTES, EvictionHeader, ReplyHeader, RequestHeader
from tests.wire.recorded import Recorded, frames, frames_of

HEADER_OF = {FrameKind.REQUEST: RequestHeader, FrameKind.REPLY: ReplyHeader, FrameKind.EVICTION: EvictionHeader}


@pytest.mark.parametrize("frame", frames(), ids=lambda frame: frame.name)
def test_a_recorded_header_decodes_and_encodes_to_the_same_bytes(frame: Recorded) -> None:
    assert HEADER_OF[frame.kind].decode(frame.header).encode() == frame.header


@given(frame=st.sampled_from(frames()), position=st.integers(0, HEADER_BYTES - 1), value=st.integers(0, 255))
def test_a_header_with_one_byte_changed_is_itself_or_an_error(frame: Recorded, position: int, value: int) -> None:
    data = bytearray(frame.header)
    data[position] = value
    try:
        decoded = HEADER_OF[frame.kind].decode(data)
    except RemoteProtocolError:
        return
    assert decoded.encode() == data


@pytest.mark.parametrize(
    ("kind", "reserved"),
    [
        (FrameKind.REQUEST, [*range(62, 128), *range(177, 184), *range(200, 256)]),
        (FrameKind.REPLY, [*range(62, 128), *range(209, 216), *range(220, 256)]),
        (FrameKind.EVICTION, [*range(62, 128), *range(152, 255)]),
    ],
    ids=["request", "reply", "eviction"],
)
def test_every_reserved_byte_must_be_zero(kind: FrameKind, reserved: list[int]) -> None:
    good = frames_of(kind)[0].header
    for position in reserved:
        data = bytearray(good)
        data[position] = 1
        with pytest.raises(RemoteProtocolError, match="reserved"):
            HEADER_OF[kind].decode(data)


@pytest.mark.parametrize("kind", list(FrameKind))
def test_a_header_of_another_kind_or_cut_short_is_an_error(kind: FrameKind) -> None:
    for frame in (frames_of(other)[0] for other in FrameKind if other is not kind):
        with pytest.raises(RemoteProtocolError, match="frame kind"):
            HEADER_OF[kind].decode(frame.header)
    with pytest.raises(RemoteProtocolError, match="cut short"):
        HEADER_OF[kind].decode(frames_of(kind)[0].header[:-1])


def test_a_number_that_does_not_fit_is_the_senders_error() -> None:
    with pytest.raises(LocalProtocolError):
        RequestHeader(size=2**32, client=1, operation=Operation.NOT_REPLICATED).encode()
    with pytest.raises(LocalProtocolError):
        ReplyHeader(size=256, client=2**128, operation=Operation.NOT_REPLICATED).encode()
    with pytest.raises(LocalProtocolError):
        EvictionHeader(client=-1, reason=EvictionReason.STALE_CLIENT).encode()


def test_a_request_needs_a_client_id() -> None:
    with pytest.raises(RemoteProtocolError, match="client id"):
        RequestHeader.decode(RequestHeader(size=256, client=0, operation=Operation.REGISTER).encode())
