"""Wrong configuration and wrong events, through the public face: refused before anything is done, and never quoted."""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from rustok_iggy import EventEnvelope, IggyConfig, IggyTransport, RemoteConfig
from rustok_iggy.errors import (
    ConfigError,
    DecodeError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    RustokIggyError,
    ValidationError,
)
from rustok_iggy.events import OrderPlaced
from rustok_iggy_connector import IggyConnector, OutgoingMessage, PublishBatch, PublishRequest, open_connector
from tests.connector.conftest import LocalServer, start_local_server, stop
from tests.waiting import until

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-w0rd"
EVENT = OrderPlaced(order_id=uuid4(), customer_id=None, total=4200, currency="EUR")
LARGEST_PAYLOAD = 64_000_000
FILE = """
mode: remote
remote:
  adresses: [127.0.0.1:1]
  password: ${NOBODY_SET_THIS}
topology:
  stream_name: "2026"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    process, address = start_local_server(tmp_path_factory.mktemp("server"))
    yield LocalServer(address)
    stop(process)


@pytest.fixture
def config(server: LocalServer) -> IggyConfig:
    return IggyConfig(mode="remote", remote=server.config(), topology={"stream_name": f"s{uuid4().hex}"})


def envelope(**fields: Any) -> EventEnvelope:
    return msgspec.structs.replace(EventEnvelope.new(uuid4(), EVENT, actor_id=None), **fields)


def load(tmp_path: Path) -> IggyConfig:
    (tmp_path / "iggy.yaml").write_text(FILE)
    return IggyConfig.load(tmp_path / "iggy.yaml", environment={})


CONFIGURATIONS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "a file with three mistakes": (
        load,
        [
            "remote.password: the environment variable NOBODY_SET_THIS is not set",
            "remote.adresses: unknown key; did you mean addresses?",
            "topology.stream_name: '2026' is a number, which the server reads as an id; add a letter",
        ],
    ),
    "a file that is not there": (lambda folder: IggyConfig.load(folder / "nowhere.yaml"), ["nowhere.yaml: cannot be "]),
    "an unknown key": (
        lambda _: IggyConfig.load(environment={}, embeded={"data_dir": "x"}),
        ["embeded: unknown key; did you mean embedded?"],
    ),
    "an unknown key in a part": (
        lambda _: IggyConfig(embedded={"datadir": "x"}),
        ["embedded.datadir: unknown key; did you mean data_dir?"],
    ),
    "a mode that does not exist": (lambda _: IggyConfig(mode="kafka"), ["use one of embedded, remote, memory"]),
    "a stream of digits": (lambda _: IggyTransport(IggyConfig(topology={"stream_name": "7"})), ["add a letter"]),
    "no password": (lambda _: IggyTransport(IggyConfig(mode="remote")), ["remote.password: is not set; set it"]),
    "no address": (
        lambda _: IggyTransport(
            IggyConfig(mode="remote", remote=RemoteConfig(addresses=("localhost",), password=SECRET))
        ),
        ["remote.addresses[0]: 'localhost' is not host:port"],
    ),
}


@pytest.mark.parametrize(("make", "problems"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_wrong_configuration(
    make: Callable[[Path], Any], problems: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        make(tmp_path)
    for problem in problems:
        assert problem in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert {path.name for path in tmp_path.iterdir()} <= {"iggy.yaml"}


EVENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "the nil tenant": (lambda: envelope(tenant_id=UUID(int=0)), "tenant_id: must not be nil"),
    "64 MB": (lambda: envelope(trace_id=SECRET * 6_000_000), "more than max_event_bytes (1048576)"),
    "a rule is broken": (
        lambda: envelope(event=msgspec.structs.replace(EVENT, currency=SECRET)),
        "event.currency: must be three upper-case letters",
    ),
}


@pytest.mark.parametrize(("make", "problem"), EVENTS.values(), ids=EVENTS)
async def test_a_wrong_event_is_refused_and_the_next_goes(
    make: Callable[[], Any], problem: str, config: IggyConfig
) -> None:
    async with IggyTransport(config) as transport:
        with pytest.raises(ValidationError) as caught:
            await transport.publish(make())
        results = await transport.publish_batch([make(), envelope()])
        confirmation = await transport.publish(envelope())
    assert problem in str(caught.value)
    assert "4200" not in repr(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert [result.status for result in results] == ["failed", "confirmed"]
    assert confirmation.offset >= 0


@pytest.mark.parametrize("given", [EVENT, None, {"event_type": "order.placed"}], ids=type)
async def test_what_is_no_envelope_is_refused_with_all_that_came_with_it(given: Any, config: IggyConfig) -> None:
    problem = rf"^{type(given).__name__} is not an EventEnvelope; wrap an event with EventEnvelope\.new\("
    async with IggyTransport(config) as transport:
        with pytest.raises(ValidationError, match=problem):
            await transport.publish(given)
        with pytest.raises(ValidationError, match=problem):
            await transport.publish_batch([envelope(), given])
        statistics = transport.statistics()
        confirmation = await transport.publish(envelope())
    assert statistics.connector.messages_published == 0
    assert confirmation.offset == 0


@pytest.mark.parametrize(
    ("group", "problem"),
    [("", "1 to 255 bytes"), ("2026", "add a letter"), ("g" * 256, "1 to 255 bytes"), (7, "must be text")],
)
async def test_a_wrong_group_is_refused(group: str, problem: str, config: IggyConfig) -> None:
    transport = IggyTransport(config)
    with pytest.raises(ConfigError, match=problem):
        transport.subscribe(group=group)(lambda envelope, context: None)


async def test_bytes_that_are_no_event_stop_the_subscription_and_say_where_they_are(config: IggyConfig) -> None:
    handled = []
    async with IggyTransport(config) as transport, open_connector(config.connector) as connector:

        @transport.subscribe(group="readers", topics=["domain"], undecodable="stop")
        async def handle(envelope: EventEnvelope, context: Any) -> None:
            handled.append(envelope)

        await connector.publish(request(config, SECRET.encode()))
        with pytest.raises(DecodeError) as caught:
            await transport.run()
        await transport.publish(envelope())
    assert not handled
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text
    assert "group readers, topic domain, partition 3, offset 0; it was not committed and comes again" in text


async def test_bytes_that_are_no_event_are_kept_and_hold_up_nobody(
    config: IggyConfig, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[EventEnvelope] = []
    async with IggyTransport(config) as transport, open_connector(config.connector) as connector:

        @transport.subscribe(group="readers", topics=["domain"])
        async def handle(envelope: EventEnvelope, context: Any) -> None:
            handled.append(envelope)

        await connector.publish(request(config, SECRET.encode()))
        async with transport.consuming():
            await transport.publish(envelope())

            async def done() -> bool:
                return bool(handled) and transport.statistics().consuming.letters == 1

            await until(done)
        (letter,) = (await transport.dead_letters.list(group="readers")).letters
        shown = await transport.dead_letters.show(letter)
    assert shown.payload == SECRET.encode()
    assert SECRET not in repr(shown)
    assert SECRET not in caplog.text


def request(config: IggyConfig, payload: bytes, **fields: Any) -> PublishRequest:
    where = {"stream": config.topology.stream_name, "topic": "domain", "partition_id": 3, **fields}
    return PublishRequest(event_id=uuid4(), payload=payload, **where)


PAYLOADS: dict[str, tuple[bytes, dict[str, Any], type[RustokIggyError], str]] = {
    "empty": (b"", {}, InvalidRequestError, "1 to 64,000,000 bytes"),
    "too large by one": (bytes(LARGEST_PAYLOAD + 1), {}, LimitExceededError, "1 to 64,000,000 bytes"),
    "larger than any frame": (bytes(70_000_000), {}, LimitExceededError, "1 to 64,000,000 bytes"),
    "a stream of digits": (b"x", {"stream": "2026"}, InvalidRequestError, "add a letter"),
    "a stream that is not there": (b"x", {"stream": "nowhere"}, NotFoundError, "create it first"),
    "a partition that is not there": (b"x", {"partition_id": 99}, NotFoundError, "look at the name"),
}


@pytest.mark.parametrize(("payload", "where", "error", "problem"), PAYLOADS.values(), ids=PAYLOADS)
async def test_a_wrong_message_is_refused_and_the_next_goes(
    payload: bytes, where: dict[str, Any], error: type[RustokIggyError], problem: str, config: IggyConfig
) -> None:
    async with IggyTransport(config):
        pass  # makes the stream and its topics
    async with open_connector(config.connector) as connector:
        for send in (publish, publish_as_batch):
            with pytest.raises(error, match=problem) as caught:
                await send(connector, request(config, payload, **where))
            assert type(caught.value) is error
        confirmation = await connector.publish(request(config, b"x"))
        assert confirmation.offset == 0  # nothing of the refused ones was stored
        assert connector.statistics().reconnects == 0


async def publish(connector: IggyConnector, wanted: PublishRequest) -> None:
    await connector.publish(wanted)


async def publish_as_batch(connector: IggyConnector, wanted: PublishRequest) -> None:
    message = OutgoingMessage(id=wanted.event_id, payload=wanted.payload)
    await connector.publish_batch(
        PublishBatch(stream=wanted.stream, topic=wanted.topic, partition_id=wanted.partition_id, messages=(message,))
    )
