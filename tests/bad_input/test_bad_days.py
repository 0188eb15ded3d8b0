"""The user's bad days, through the public face: a typed error in time that says what to do, and nothing left over."""

import asyncio
import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rustok_iggy import EventEnvelope, IggyConfig, IggyTransport
from rustok_iggy.errors import RequestTimeoutError, RustokIggyError
from rustok_iggy.events import OrderPlaced
from rustok_iggy_connector import ConnectorConfig, open_connector
from tests.bad_input.bad_days import PATIENCE, SECRET, WORLDS, BadDay, embedded, reached
from tests.connector.conftest import LocalServer, start_local_server, stop
from tests.faults import fault_proxy
from tests.logs import event_of, facts_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

FACES = (IggyTransport, lambda config: open_connector(config.connector))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    process, address = start_local_server(tmp_path_factory.mktemp("server"))
    yield LocalServer(address)
    stop(process)


def order() -> EventEnvelope:
    return EventEnvelope.new(
        uuid4(), OrderPlaced(order_id=uuid4(), customer_id=None, total=4200, currency="EUR"), actor_id=None
    )


def children() -> set[str]:
    """Process ids of what this process started; empty where the kernel does not tell."""
    found: set[str] = set()
    for each in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            found |= set(each.read_text().split())
    return found


def open_files() -> int:
    """Sockets, pipes and files; 0 where the kernel does not tell."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


async def works(config: IggyConfig) -> None:
    async with IggyTransport(config) as transport:
        envelope = order()
        confirmation = await transport.publish(envelope)
        assert confirmation.event_id == envelope.id


async def failure(opening: AbstractAsyncContextManager[Any], day: BadDay) -> RustokIggyError:
    started = time.monotonic()
    with pytest.raises(RustokIggyError) as caught:
        async with opening:
            pytest.fail("it opened")
    assert time.monotonic() - started < day.deadline + PATIENCE
    return caught.value


def check_text(error: RustokIggyError, day: BadDay) -> None:
    for words in day.says:
        assert words in str(error)
    shown = "".join(traceback.format_exception(error))
    for secret in (SECRET, day.secret):
        assert secret not in shown + repr(error) + repr(vars(error))
    link: BaseException | None = error
    while isinstance(link, RustokIggyError):  # every cause is named as one, or left out
        assert link.__suppress_context__ or link.__context__ is None
        link = link.__cause__


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
async def test_a_bad_day(
    world: Any, tmp_path: Path, server: LocalServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rustok_iggy_connector.generation.ANSWER_TIMEOUT", 1.0)
    await works(reached(server))  # the client's threads and their pipes are there from the first use
    files, processes, tasks = open_files(), children(), asyncio.all_tasks()

    async def nothing_stays() -> bool:
        return open_files() <= files and children() == processes and asyncio.all_tasks() == tasks

    caplog.set_level(logging.DEBUG)
    async with world(tmp_path / "data", server) as day:
        errors = [await failure(face(day.config), day) for face in FACES]
        for error in errors:  # kept until the end: an error must not keep a connection
            assert type(error) is day.error
            check_text(error, day)
        day.mend()
    await until(nothing_stays)
    await works(day.mended or day.config)
    logged = [(record.getMessage(), vars(record)) for record in caplog.records]
    assert SECRET not in repr(logged)
    assert day.secret not in repr(logged)


async def test_a_server_that_falls_silent_is_given_up_in_time_and_used_again(server: LocalServer) -> None:
    async with fault_proxy(server.address) as proxy:
        config = IggyConfig(
            mode="remote",
            remote=server.config(addresses=(proxy.address,), request_timeout=1.0),
            publish_timeout=2.0,
        )
        async with IggyTransport(config) as transport:
            proxy.stall()
            started = time.monotonic()
            with pytest.raises(RequestTimeoutError) as caught:
                await transport.publish(order())
            assert time.monotonic() - started < 2.0 + PATIENCE
            assert caught.value.outcome_unknown
            proxy.resume()
            await transport.publish(order())


async def test_an_error_that_is_kept_keeps_no_connection(server: LocalServer) -> None:
    # Otherwise the client's pings would keep a group member alive that its owner has given up.
    async with fault_proxy(server.address) as proxy:
        settings = server.config(addresses=(proxy.address,), request_timeout=0.5)
        async with open_connector(ConnectorConfig(mode="remote", remote=settings)) as connector:
            proxy.stall()
            with pytest.raises(RequestTimeoutError) as kept:
                await connector.admin.describe_stream("stream")
            proxy.resume()

            async def nobody_is_connected() -> bool:
                return not proxy.clients

            await until(nobody_is_connected)
            assert kept.value.retryable


async def test_the_log_names_the_engine_and_its_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rustok_iggy_connector")
    await works(embedded(tmp_path))
    (started,) = (facts_of(record) for record in caplog.records if event_of(record) == "embedded_server_started")
    assert (started["engine"], started["version"]) == ("local", "0.9.0+local")
