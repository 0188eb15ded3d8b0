"""One session: opened when needed, shared failures, and an end that ends everything."""

import asyncio

import pytest

from rustok_iggy_connector import (
    ConnectorClosedError,
    NotAssignedError,
    RequestTimeoutError,
    ServerUnreachableError,
)
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.sessions import Counters, Session
from tests.connector.fakes import Opener

pytestmark = pytest.mark.anyio


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def session(opener: Opener) -> Session:
    return Session(opener, timeout=1.0, counters=Counters())


async def which(client: Client) -> Client:
    return client


async def test_it_is_opened_by_the_first_call_and_kept(opener: Opener, session: Session) -> None:
    assert not session.usable
    assert await session.run(which) is await session.run(which)
    assert session.usable
    assert opener.attempts == 1


async def test_a_dead_client_is_replaced_by_the_next_call(opener: Opener, session: Session) -> None:
    first = await session.run(which)
    opener.clients[0].alive = False
    assert not session.usable
    assert await session.run(which) is not first
    assert session._counters.reconnects == 1


async def test_a_member_does_not_go_on_with_another_client(opener: Opener, session: Session) -> None:
    with pytest.raises(NotAssignedError):
        await session.run_as_member(which)
    await session.run(which)
    assert await session.run_as_member(which) is opener.clients[0]
    opener.clients[0].alive = False
    with pytest.raises(NotAssignedError):
        await session.run_as_member(which)
    assert opener.attempts == 1


async def test_calls_are_made_one_at_a_time_in_their_order(session: Session) -> None:
    running = 0
    order = []

    async def call(number: int) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        order.append(number)
        running -= 1

    await asyncio.gather(*(session.run(lambda _, number=number: call(number)) for number in range(20)))
    assert order == list(range(20))


async def test_all_who_wait_share_one_failure(opener: Opener, session: Session) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise ServerUnreachableError("down", addresses=["a:1"])

    opener.before = fail
    results = await asyncio.gather(*(session.run(which) for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {ServerUnreachableError}
    assert opener.attempts == 1
    opener.before = None
    assert await session.run(which) is opener.clients[0]


async def test_who_comes_after_a_failure_tries_again(opener: Opener, session: Session) -> None:
    async def fail() -> None:
        raise ServerUnreachableError("down")

    opener.before = fail
    for attempts in (1, 2, 3):
        with pytest.raises(ServerUnreachableError):
            await session.run(which)
        assert opener.attempts == attempts


async def test_closing_ends_an_opening_and_all_who_wait_for_it(opener: Opener, session: Session) -> None:
    opener.before = asyncio.Event().wait
    waiting = [asyncio.ensure_future(session.run(which)) for _ in range(5)]
    await opener.asked.wait()
    await session.close()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert {type(result) for result in results} == {ConnectorClosedError}


async def test_a_cancelled_caller_leaves_the_session_to_the_others(opener: Opener, session: Session) -> None:
    gate = asyncio.Event()
    opener.before = gate.wait
    doomed = asyncio.ensure_future(session.run(which))
    waiting = asyncio.ensure_future(session.run(which))
    await opener.asked.wait()
    doomed.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert await asyncio.wait_for(waiting, 20) is opener.clients[-1]


async def test_what_was_opened_just_as_its_caller_was_cancelled_is_closed(opener: Opener, session: Session) -> None:
    gate = asyncio.Event()
    opener.before = gate.wait
    doomed = asyncio.ensure_future(session.run(which))
    await opener.asked.wait()
    gate.set()
    await asyncio.sleep(0)
    assert opener.clients, "opened, and its caller has not had its turn"
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert opener.clients[0].closed
    opener.before = None
    assert await session.run(which) is opener.clients[1]


async def test_a_closed_session_stays_closed(opener: Opener, session: Session) -> None:
    await session.run(which)
    await session.close()
    await session.close()
    assert opener.clients[0].closed
    for call in (session.run, session.run_as_member):
        with pytest.raises(ConnectorClosedError):
            await call(which)
    assert opener.attempts == 1


async def test_requests_and_timeouts_are_counted(session: Session) -> None:
    async def late(client: Client) -> None:
        raise RequestTimeoutError("late", command="c", timeout=1)

    await session.run(which)
    with pytest.raises(RequestTimeoutError):
        await session.run(late)
    assert (session._counters.requests, session._counters.timeouts) == (2, 1)
