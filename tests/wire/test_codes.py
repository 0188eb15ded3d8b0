"""The tables of numbers agree with each other and with the recorded sessions."""

import pytest

from rustok_iggy_connector.wire.codes import (
    COMMAND_OF,
    OPERATION_OF,
    PROTOCOL_VERSION,
    RESULT_FRAMED,
    Command,
    FrameKind,
    Operation,
    format_protocol_version,
    is_compatible_protocol,
    operation_of,
)
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, COMMANDS
from rustok_iggy_connector.wire.commands.session import Login
from rustok_iggy_connector.wire.header import ReplyHeader, RequestHeader
from tests.wire.recorded import Recorded, frames_of

INTERNAL = {Operation.CREATE_TOPIC_COMMITTED, Operation.CREATE_PARTITIONS_COMMITTED, Operation.TRUNCATE_PARTITION}


def test_every_command_has_a_request_and_a_reply_of_its_own() -> None:
    assert set(COMMANDS) == set(Command)
    assert len(COMMAND_OF_REQUEST) == len(COMMANDS)


def test_every_operation_a_client_may_send_belongs_to_a_command() -> None:
    sent = set(Operation) - INTERNAL - {Operation.NOT_REPLICATED}
    assert set(OPERATION_OF.values()) == sent
    assert set(COMMAND_OF) == sent - {Operation.REGISTER}


@pytest.mark.parametrize("frame", frames_of(FrameKind.REQUEST), ids=lambda frame: frame.name)
def test_a_recorded_request_travels_under_the_operation_of_its_command(frame: Recorded) -> None:
    header = RequestHeader.decode(frame.header)
    if frame.command is None:
        assert header.code not in COMMANDS
    else:
        assert header.operation is operation_of(frame.command)


def test_recorded_replies_of_result_framed_operations_start_with_a_count() -> None:
    framed = 0
    for frame in frames_of(FrameKind.REPLY):
        header = ReplyHeader.decode(frame.header)
        if header.operation in RESULT_FRAMED and not header.status:
            assert frame.body[:4] in (bytes(4), b"\x01\0\0\0"), frame.name
            framed += 1
    assert framed > 50


def test_the_recorded_client_speaks_this_protocol_version() -> None:
    login = next(frame for frame in frames_of(FrameKind.REQUEST) if frame.command is Command.LOGIN)
    assert Login.decode(login.body).protocol_version == PROTOCOL_VERSION
    assert format_protocol_version(PROTOCOL_VERSION) == "0.11.0"


def test_only_the_same_major_and_minor_are_compatible() -> None:
    assert is_compatible_protocol(PROTOCOL_VERSION + 5)
    assert not is_compatible_protocol(12 << 10)
    assert not is_compatible_protocol(10 << 10)
    assert not is_compatible_protocol(1 << 20 | 11 << 10)
