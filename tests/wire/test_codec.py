"""Reply bodies: success, absence, and the two ways a server says no."""

import pytest

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.wire.codec import Refusal, decode_reply, encode_reply_body
from rustok_iggy_connector.wire.codes import Command, Operation, operation_of
from rustok_iggy_connector.wire.commands import COMMANDS
from rustok_iggy_connector.wire.commands.groups import GroupInfo
from rustok_iggy_connector.wire.commands.system import Empty
from rustok_iggy_connector.wire.header import ReplyHeader

GROUP = GroupInfo(id=1, partitions_count=2, members_count=0, name="billing")


def header(command: Command, status: int = 0) -> ReplyHeader:
    return ReplyHeader(size=256, client=1, operation=operation_of(command), status=status)


def test_a_write_answers_with_a_result_section_and_its_reply() -> None:
    body = encode_reply_body(Command.CREATE_GROUP, GROUP)
    assert body == bytes(4) + GROUP.encode()
    assert decode_reply(Command.CREATE_GROUP, header(Command.CREATE_GROUP), body) == GROUP


def test_a_send_and_a_read_answer_without_a_result_section() -> None:
    for command in (Command.SEND_MESSAGES, Command.PING, Command.LOGOUT):
        assert encode_reply_body(command, Empty()) == b""


def test_a_refused_write_has_one_entry_and_status_zero() -> None:
    body = Refusal(1012, committed=True).encode()
    assert body == bytes.fromhex("01000000 00000000 f4030000")
    assert decode_reply(Command.CREATE_STREAM, header(Command.CREATE_STREAM), body) == Refusal(1012, committed=True)


def test_a_denial_has_a_status_and_no_body() -> None:
    assert Refusal(41).encode() == b""
    assert decode_reply(Command.GET_USERS, header(Command.GET_USERS, status=41), b"") == Refusal(41)
    with pytest.raises(RemoteProtocolError, match="denial"):
        decode_reply(Command.GET_USERS, header(Command.GET_USERS, status=41), b"x")


def test_a_result_section_of_successes_is_a_success() -> None:
    body = b"\x01\0\0\0" + bytes(8) + GROUP.encode()
    assert decode_reply(Command.CREATE_GROUP, header(Command.CREATE_GROUP), body) == GROUP


@pytest.mark.parametrize(
    "body", [b"", b"\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0\0\0\0\0", b"\x01\0\0\0\0\0\0\0\x09\0\0\0x"]
)
def test_a_torn_result_section_is_an_error(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_reply(Command.CREATE_GROUP, header(Command.CREATE_GROUP), body)


def test_an_empty_reply_means_absence_only_where_something_can_be_absent() -> None:
    absent = {command for command, spec in COMMANDS.items() if spec.may_be_empty}
    assert absent == {
        Command.GET_ME, Command.GET_CLIENT, Command.GET_USER, Command.GET_OFFSET, Command.GET_STREAM,
        Command.GET_TOPIC, Command.GET_TOPICS, Command.GET_GROUP, Command.SYNC_GROUP,
    }  # fmt: skip
    for command in absent:
        assert operation_of(command) is Operation.NOT_REPLICATED
        assert encode_reply_body(command, None) == b""
        assert decode_reply(command, header(command), b"") is None
    with pytest.raises(RemoteProtocolError):
        decode_reply(Command.GET_STATS, header(Command.GET_STATS), b"")
