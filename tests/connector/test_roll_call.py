"""A member enters the roll before it joins, leaves it after it left, and buries the dead one by one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rustok_iggy_connector import NotFoundError, PermissionDeniedError, ServerUnreachableError
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.errors import ServerError, TransientServerError
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.member_roll import RollTiming, roll_of
from rustok_iggy_connector.roll_call import RollCall
from rustok_iggy_connector.sessions import Counters, Session
from rustok_iggy_connector.wire.commands import Message, groups
from tests.connector.fakes import FakeClient
from tests.waiting import until

pytestmark = pytest.mark.anyio
STREAM, TOPIC, GROUP = "shop", "orders", "billing"
ME = 1
TIMING = RollTiming(look_interval=1.0, call_delay=0.0, answer_timeout=5.0)


def name(client: int, count: int = 1, *, doublings: int = 0) -> str:
    return f"{roll_of(GROUP)}{client:032x}.{count}.{doublings}"


class GroupsClient(FakeClient):
    """A server that has groups, and notes what changes them."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, int] = {}
        self.last = 0
        self.changes: list[str] = []
        self.refuses: type[Message] | None = None
        self.refusal: type[ServerError] = PermissionDeniedError

    def add(self, *names: str) -> None:
        for name in names:
            self.last += 1
            self.groups[name] = self.last

    async def request(self, request: Message, *, subject: str) -> Message | None:
        if type(request) is self.refuses:
            raise self.refusal("no", command="any")
        match request:
            case groups.GetGroups():
                found = [
                    groups.GroupInfo(id=number, partitions_count=1, members_count=0, name=name)
                    for name, number in self.groups.items()
                ]
                return groups.GroupList(groups=tuple(found))
            case groups.CreateGroup(name=name):
                self.changes.append(f"create {name}")
                self.add(name)
            case groups.DeleteGroup(group=str(name)):
                self.changes.append(f"delete {name}")
                if self.groups.pop(name, None) is None:
                    raise NotFoundError("gone", command="delete_group")
            case groups.LeaveGroup():
                self.changes.append("leave")
        return None


class Undertaker:
    """Logs out who it is told, unless it cannot."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.cannot: set[int] = set()

    async def __call__(self, who: MemberIdentity) -> None:
        self.asked.append(who.client)
        if who.client in self.cannot:
            raise ServerUnreachableError("no", addresses=[])
        who.is_known = False


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def client() -> GroupsClient:
    return GroupsClient()


@pytest.fixture
def undertaker() -> Undertaker:
    return Undertaker()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def roll(undertaker: Undertaker, time: Time) -> AsyncIterator[RollCall]:
    made = RollCall(
        stream=STREAM,
        topic=TOPIC,
        group=GROUP,
        client_id=ME,
        bury=undertaker,
        timing=TIMING,
        clock=lambda: time.now,
        sleep=time.sleep,
        chance=lambda: 0.0,
    )
    yield made
    made.stop()


async def enter(client: GroupsClient, roll: RollCall) -> Session:
    """The session of a member that may join now."""

    async def open_client(timeout: float) -> Client:
        return client

    opened = Session(open_client, timeout=1.0, counters=Counters(), farewell=roll.leave, on_closed=roll.stop)
    await opened.run(roll.enter)
    return opened


@pytest.fixture
async def session(client: GroupsClient, roll: RollCall) -> Session:
    return await enter(client, roll)


async def test_it_is_on_the_roll_before_it_joins(client: GroupsClient, session: Session) -> None:
    assert client.changes == [f"create {name(ME)}"]


async def test_a_member_without_an_entry_joins_all_the_same(
    client: GroupsClient, roll: RollCall, caplog: pytest.LogCaptureFixture
) -> None:
    client.refuses = groups.CreateGroup
    await roll.enter(client)
    await roll.enter(client)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["member_not_recorded"]


async def test_a_member_that_may_have_an_entry_soon_does_not_join_before(client: GroupsClient, roll: RollCall) -> None:
    client.refuses, client.refusal = groups.CreateGroup, TransientServerError
    with pytest.raises(TransientServerError):
        await roll.enter(client)


async def test_the_dead_are_buried_and_struck_off(client: GroupsClient, roll: RollCall, undertaker: Undertaker) -> None:
    client.add("billing", name(7), name(8))
    session = await enter(client, roll)
    roll.begin(session)
    roll.begin(session)
    await until(lambda: name(7) not in client.groups and name(8) not in client.groups)
    assert sorted(undertaker.asked) == [7, 8]
    assert "billing" in client.groups


async def test_who_cannot_be_buried_stays_on_the_roll_and_keeps_nobody_else_there(
    client: GroupsClient, roll: RollCall, undertaker: Undertaker
) -> None:
    undertaker.cannot = {7}
    client.add(name(7), name(8))
    roll.begin(await enter(client, roll))
    await until(lambda: name(8) not in client.groups)
    assert name(7) in client.groups
    assert undertaker.asked == [7, 8]


async def test_a_new_session_tries_again_who_could_not_be_buried(
    client: GroupsClient, roll: RollCall, undertaker: Undertaker
) -> None:
    undertaker.cannot = {7}
    client.add(name(7))
    roll.begin(session := await enter(client, roll))
    await until(lambda: undertaker.asked == [7])
    undertaker.cannot = set()
    again = GroupsClient()
    again.groups, again.last = client.groups, client.last
    await session.run(lambda _: roll.enter(again))
    await until(lambda: name(7) not in client.groups)


async def test_in_a_crowd_it_looks_less_often_and_says_so_before(
    client: GroupsClient, roll: RollCall, time: Time
) -> None:
    client.add(*(f"{roll_of('another')}{each:032x}.1.3" for each in range(100, 301)))
    session = await enter(client, roll)
    assert client.changes == [f"create {name(ME, doublings=3)}"]
    client.refuses, client.refusal = groups.GetGroups, TransientServerError
    roll.begin(session)
    await until(lambda: len(time.waits) >= 3)
    assert time.waits[:3] == [0.0, 8.0, 8.0], "the first is a share of it, and a look that fails changes nothing"


async def test_before_it_said_so_it_looks_as_often_as_ever(client: GroupsClient, roll: RollCall, time: Time) -> None:
    session = await enter(client, roll)
    client.add(*(f"{roll_of('another')}{each:032x}.1.3" for each in range(100, 301)))
    client.refuses, client.refusal = groups.CreateGroup, TransientServerError
    roll.begin(session)
    await until(lambda: len(time.waits) >= 3)
    client.refuses = None
    before = len(time.waits)
    await until(lambda: name(ME, 2, doublings=3) in client.groups)
    assert set(time.waits[1:before]) == {1.0}


async def test_it_leaves_the_group_before_the_roll(client: GroupsClient, session: Session, roll: RollCall) -> None:
    roll.begin(session)
    await session.close()
    assert client.changes[-2:] == ["leave", f"delete {name(ME)}"]
    assert client.closed
    assert client.groups == {}


async def test_who_is_no_member_any_more_still_leaves_the_roll(client: GroupsClient, session: Session) -> None:
    client.refuses = groups.LeaveGroup
    await session.close()
    assert client.groups == {}
    assert client.closed


async def test_a_dead_client_is_closed_without_a_farewell(client: GroupsClient, session: Session) -> None:
    client.alive = False
    await session.close()
    assert client.changes == [f"create {name(ME)}"]
    assert client.closed
