"""A connection that goes, in the middle of everything. For backends with a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest

from rustok_iggy_connector import (
    ConnectionLostError,
    ConnectorError,
    IggyConnector,
    NotAssignedError,
    PublishConfirmation,
    RemoteConnector,
    RequestTimeoutError,
    ServerUnreachableError,
)
from tests.conformance.backends import Backend, Feature
from tests.conformance.conftest import PARTITIONS, TOPIC, batch_of, request_of
from tests.faults import FaultProxy, fault_proxy
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.needs(Feature.NETWORK)]
ALL = tuple(range(PARTITIONS))


@asynccontextmanager
async def behind_proxy(backend: Backend, **settings: object) -> AsyncIterator[tuple[RemoteConnector, FaultProxy]]:
    config = backend.remote_config()
    async with fault_proxy(config.addresses[0]) as proxy:
        config = msgspec.structs.replace(config, addresses=(proxy.address,), **settings)
        async with RemoteConnector(config) as connector:
            yield connector, proxy


async def test_a_cut_during_publishes_loses_nothing_that_was_confirmed(backend: Backend, stream: str) -> None:
    async with behind_proxy(backend) as (connector, proxy):
        confirmed: dict[int, bytes] = {}
        going = True

        async def publish(name: int) -> None:
            number = 0
            while going:
                payload = b"%d %d" % (name, number)
                try:
                    confirmation = await connector.publish(request_of(stream, payload))
                except (ConnectionLostError, RequestTimeoutError):
                    continue
                assert confirmation.offset not in confirmed
                confirmed[confirmation.offset] = payload
                number += 1

        def reached(wanted: int) -> bool:
            return len(confirmed) >= wanted

        def is_back(times: int) -> bool:
            return connector.statistics().reconnects >= times

        tasks = [asyncio.ensure_future(publish(name)) for name in range(8)]
        for cuts in range(1, 6):
            await until(partial(reached, len(confirmed) + 100))
            proxy.cut()
            await until(partial(is_back, cuts))
        await until(partial(reached, len(confirmed) + 100))
        going = False
        await asyncio.gather(*tasks)
        reader = await connector.subscribe(stream=stream, topic=TOPIC)
        stored = await reader.poll(0, offset=0, max_messages=5000)
        for offset, payload in confirmed.items():
            assert stored[offset].payload == payload


async def test_a_member_that_was_cut_is_told_and_joins_again(
    backend: Backend, connector: IggyConnector, stream: str, group: str
) -> None:
    await connector.publish_batch(batch_of(stream, [b"0", b"1"]))
    async with behind_proxy(backend) as (cut, proxy):
        member = await cut.subscribe(stream=stream, topic=TOPIC, group=group)
        before = await member.assignment()
        assert len(await member.poll(0, offset=0, max_messages=10)) == 2
        proxy.cut()
        for _ in range(2):
            with pytest.raises((ConnectionLostError, NotAssignedError)):
                await member.poll(0, offset=0, max_messages=10)
            with pytest.raises((ConnectionLostError, NotAssignedError)):
                await member.commit(0, offset=1)
        after = await member.assignment()
        assert after.is_member
        assert after.generation > before.generation

        async def owns_all() -> bool:
            return (await member.assignment()).partitions == ALL

        await until(owns_all)
        assert len(await member.poll(0, offset=0, max_messages=10)) == 2
        await member.commit(0, offset=1)


async def test_a_member_that_is_cut_loses_its_partitions_to_the_others(
    backend: Backend, connector: IggyConnector, stream: str, group: str
) -> None:
    async with behind_proxy(backend) as (cut, proxy):
        gone = await cut.subscribe(stream=stream, topic=TOPIC, group=group)
        stays = await connector.subscribe(stream=stream, topic=TOPIC, group=group)

        async def shared() -> bool:
            return len((await stays.assignment()).partitions) == len((await gone.assignment()).partitions) == 2

        await until(shared)
        proxy.refuse()

        async def owns_all() -> bool:
            return (await stays.assignment()).partitions == ALL

        await until(owns_all)
        await stays.leave()


async def test_a_stalled_server_is_a_timeout_and_the_next_call_works(backend: Backend, stream: str) -> None:
    async with behind_proxy(backend, request_timeout=1.5, publish_clients=1) as (connector, proxy):
        await connector.publish(request_of(stream, b"before"))
        proxy.stall()
        with pytest.raises(RequestTimeoutError) as caught:
            await connector.publish(request_of(stream, b"stalled"))
        assert caught.value.timeout == 1.5
        assert caught.value.command == "send_messages"
        assert caught.value.outcome_unknown
        proxy.resume()
        await connector.publish(request_of(stream, b"after"))
        assert connector.statistics().timeouts == 1
        reader = await connector.subscribe(stream=stream, topic=TOPIC)
        stored = [message.payload for message in await reader.poll(0, offset=0, max_messages=10)]
        assert [payload for payload in stored if payload != b"stalled"] == [b"before", b"after"]


async def test_callers_who_wait_for_a_lost_server_fail_together(backend: Backend, stream: str) -> None:
    async with behind_proxy(backend, connect_timeout=1.0, publish_clients=1) as (connector, proxy):
        await connector.publish(request_of(stream))
        proxy.refuse()
        started = asyncio.get_running_loop().time()
        results = await asyncio.gather(
            *(connector.publish(request_of(stream)) for _ in range(20)), return_exceptions=True
        )
        assert asyncio.get_running_loop().time() - started < 10  # and not one after the other
        assert {type(result) for result in results} <= {ConnectionLostError, ServerUnreachableError}
        proxy.accept()
        await until(partial(works, connector, stream))


async def test_a_plain_reader_goes_on_after_a_cut(backend: Backend, stream: str) -> None:
    async with behind_proxy(backend) as (connector, proxy):
        await connector.publish(request_of(stream))
        reader = await connector.subscribe(stream=stream, topic=TOPIC, consumer="audit")
        proxy.cut()
        with pytest.raises(ConnectionLostError):
            await reader.poll(0, offset=0, max_messages=1)
        assert len(await reader.poll(0, offset=0, max_messages=1)) == 1
        await reader.commit(0, offset=0)


@pytest.mark.parametrize("warm", [False, True], ids=["at login", "at a publish"])
@pytest.mark.parametrize("position", [0, 48, 49, 60, 208, 216, 256, 270])
async def test_after_a_corrupt_answer_the_connector_works_again(
    backend: Backend, stream: str, position: int, warm: bool
) -> None:
    """The protocol has no checksum over a reply's header: what it says wrongly cannot all be seen. It must not stay."""

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        if position < len(changed):
            changed[position] ^= 0xFF
        return bytes(changed)

    async with behind_proxy(backend, request_timeout=1.5, connect_timeout=3.0) as (connector, proxy):
        if warm:
            await connector.publish(request_of(stream))
        proxy.corrupt_next(flip)
        (result,) = await asyncio.gather(connector.publish(request_of(stream)), return_exceptions=True)
        assert isinstance(result, PublishConfirmation | ConnectorError)
        await until(partial(works, connector, stream))


async def works(connector: IggyConnector, stream: str) -> bool:
    """On a machine that is busy, not always within the short limits of these connectors."""
    try:
        return (await connector.publish(request_of(stream, b"after"))).offset >= 0
    except ConnectorError:
        return False


async def test_slow_answers_are_waited_for(backend: Backend, stream: str) -> None:
    async with behind_proxy(backend) as (connector, proxy):
        proxy.delay = 0.1
        assert (await connector.publish(request_of(stream))).offset == 0
        assert connector.statistics().timeouts == 0
