"""What the admin does that depends on the server: on its generation, and on what others made there."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from rustok_iggy_connector import Durability, TopicSpec, UnsupportedOptionError
from rustok_iggy_connector.administration import SessionAdmin
from rustok_iggy_connector.sessions import Session
from rustok_iggy_connector.wire.commands import Message, groups
from rustok_iggy_connector.wire.commands.topics import CreateTopic

pytestmark = pytest.mark.anyio
PERSISTED = TopicSpec(name="t", partitions=1, segment_bytes=1 << 20)
REPLICATED = TopicSpec(name="t", partitions=1, durability=Durability.REPLICATED)


class OldServer:
    """A session with a server that knows only some options."""

    def __init__(self, *known: str) -> None:
        self._known = set(known)
        self.created: list[dict[str, bytes]] = []
        self.refused = 0

    async def run(self, call: Any) -> Any:
        return await call(self)

    async def request(self, request: Message, *, subject: str) -> None:
        assert isinstance(request, CreateTopic)
        options = {field.key.decode(): field.value for field in request.options}
        if set(options) - self._known:
            self.refused += 1
            raise UnsupportedOptionError("unknown option", status=4041)
        self.created.append(options)


async def create(spec: TopicSpec, known: Sequence[str]) -> OldServer:
    server = OldServer(*known)
    await SessionAdmin(cast("Session", server)).create_topic(stream="s", spec=spec)
    return server


async def test_a_server_of_today_is_asked_once() -> None:
    server = await create(PERSISTED, ["segment_size", "durability", "consumer_offset_durability"])
    assert server.refused == 0
    assert server.created == [
        {
            "segment_size": (1 << 20).to_bytes(8, "little"),
            "durability": b"persisted",
            "consumer_offset_durability": b"persisted",
        }
    ]


async def test_an_older_server_is_told_to_sync_every_batch() -> None:
    server = await create(PERSISTED, ["segment_size", "enforce_fsync", "messages_required_to_save"])
    (options,) = server.created
    assert options["enforce_fsync"] == b"\x01"
    assert options["messages_required_to_save"] == b"\x01\x00\x00\x00"
    assert set(options) == {"segment_size", "enforce_fsync", "messages_required_to_save"}


async def test_a_server_that_knows_neither_does_not_get_the_topic() -> None:
    with pytest.raises(UnsupportedOptionError):
        await create(PERSISTED, ["segment_size"])


async def test_less_than_persisted_needs_no_option() -> None:
    assert (await create(REPLICATED, [])).created == [{}]


class GroupsOfOthers:
    """A session with a server that has these groups."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def run(self, call: Any) -> Any:
        return await call(self)

    async def ask(self, request: Message, kind: type[Message], *, subject: str) -> groups.GroupList:
        found = [
            groups.GroupInfo(id=number, partitions_count=1, members_count=0, name=name)
            for number, name in enumerate(self._names)
        ]
        return groups.GroupList(groups=tuple(found))


async def test_groups_that_no_call_takes_are_not_listed() -> None:
    admin = SessionAdmin(cast("Session", GroupsOfOthers("readers", "2026", "a\nb", "billing")))
    assert await admin.list_groups(stream="s", topic="t") == ("billing", "readers")
