"""The pytest plugin: its fixtures under both plugins for asynchronous tests, over each server, in several workers."""

import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import pytest

from rustok_iggy import RemoteConfig
from rustok_iggy.testing import servers
from rustok_iggy_connector import RemoteConnector
from tests.architecture.source_tree import ROOT
from tests.waiting import PROGRAM_WITHIN

pytest_plugins = ["pytester"]

SERVICE = """
import pytest
from tests.testing.services import Counted, Ledger, catalog, counted

@pytest.fixture
def iggy_catalog():
    return catalog

@pytest.fixture
def iggy_config():
    return {"topology": {"domain_partitions": 2}}

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
"""
TEST = """
async def {name}({fixture}):
    ledger = Ledger()
    async with {fixture}.open() as transport:
        assert transport.partitions("domain") == 2
        transport.subscribe(group="g")(ledger.enter)
        async with transport.consuming():
            await transport.publish_batch(counted(1, 2))
            await {fixture}.settle(timeout=60)
    {fixture}.assert_handled(Counted, group="g", times=2)
    assert len(ledger.entries) == 2
"""
MARKERS = {"anyio": "pytest.mark.anyio", "asyncio": "pytest.mark.asyncio"}


def written(marker: str, *fixtures: str) -> str:
    functions = "".join(TEST.format(name=f"test_{number}", fixture=name) for number, name in enumerate(fixtures))
    return f"{SERVICE}\npytestmark = {MARKERS[marker]}\n{functions}"


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest in this process that finds the source tree and has the plugin, installed or not."""
    pytester.syspathinsert(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    return pytester


def run(inner: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return inner.runpytest_inprocess("-p", "rustok_iggy.pytest_plugin", "-p", "no:cacheprovider", *arguments)


@pytest.mark.parametrize("marker", MARKERS)
def test_the_fixtures_work_under_either_plugin_for_asynchronous_tests(inner: pytest.Pytester, marker: str) -> None:
    if marker == "asyncio":
        pytest.importorskip("pytest_asyncio")
    inner.makepyfile(written(marker, "iggy", "iggy_memory"))
    run(inner).assert_outcomes(passed=2)


def test_an_embedded_server_serves_the_whole_session_and_tests_do_not_meet(inner: pytest.Pytester) -> None:
    inner.makepyfile(written("anyio", "iggy", "iggy_embedded"))
    run(inner, "--iggy=embedded").assert_outcomes(passed=2)


@pytest.mark.server
@pytest.mark.skipif("RUSTOK_IGGY_ADDRESS" not in os.environ, reason="needs RUSTOK_IGGY_ADDRESS")
def test_a_server_that_runs_elsewhere_is_used_and_left_clean(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []

    async def drop(server: RemoteConfig, streams: list[str]) -> None:
        dropped.extend(streams)
        async with RemoteConnector(server) as connector:
            assert all([await connector.admin.describe_stream(stream) for stream in streams])
        await drop_streams(server, streams)
        async with RemoteConnector(server) as connector:
            assert not any([await connector.admin.describe_stream(stream) for stream in streams])

    drop_streams = servers.drop_streams
    monkeypatch.setattr(servers, "drop_streams", drop)
    inner.makepyfile(written("anyio", "iggy", "iggy_remote"))
    run(inner, "--iggy=remote").assert_outcomes(passed=2)
    assert len(dropped) == 2


def test_workers_do_not_meet(inner: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    inner.makepyfile(written("anyio", "iggy", "iggy"))
    arguments = ("-p", "rustok_iggy.pytest_plugin", "-n", "2", "--iggy=embedded")
    done = inner.runpytest_subprocess(*arguments, timeout=PROGRAM_WITHIN)
    done.assert_outcomes(passed=2)


def test_without_a_server_the_reason_to_skip_says_what_to_do(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUSTOK_IGGY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "testcontainers", None)
    inner.makepyfile(written("anyio", "iggy_remote"))
    done = run(inner, "-rs")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["*set RUSTOK_IGGY_ADDRESS to one (host:port), or install testcontainers*"])


def test_a_planned_fault_that_never_happened_fails_the_test(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test_nothing(iggy):\n    iggy.faults.fail(LookupError('x'), on='thing.counted')\n")
    done = run(inner)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*planned faults that no call met*"])


def test_a_failing_test_shows_what_is_not_settled(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        SERVICE
        + """
pytestmark = pytest.mark.anyio

async def test_unsettled(iggy):
    async with iggy.open() as transport:
        transport.subscribe(group="g")(Ledger().enter)
        await transport.publish_batch(counted(1))
        await iggy.settle(timeout=0)
"""
    )
    done = run(inner)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*NotSettledError: not settled within 0 s*", "*nobody consumes as this group*"])


def test_loading_the_plugin_imports_nothing_of_the_library() -> None:
    code = "import sys, rustok_iggy.pytest_plugin; print([name for name in sys.modules if name.startswith('rustok_')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['rustok_iggy', 'rustok_iggy.pytest_plugin']"


def test_neither_the_library_nor_its_test_kit_imports_pytest() -> None:
    code = "import sys, rustok_iggy.exports, rustok_iggy.testing; print({'pytest', '_pytest'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Container:
    """What testcontainers' DockerContainer is told."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.environment: dict[str, str] = {}
        self.ports: dict[int, int] = {}
        self.options: dict[str, Any] = {}
        self.is_running = False
        started.append(self)

    def with_env(self, name: str, value: str) -> Self:
        self.environment[name] = value
        return self

    def with_bind_ports(self, container: int, host: int) -> Self:
        self.ports[container] = host
        return self

    def with_kwargs(self, **options: Any) -> Self:
        self.options = options
        return self

    def __enter__(self) -> Self:
        self.is_running = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_running = False


started: list[Container] = []


def test_the_container_is_the_pinned_image_reachable_at_the_address_the_server_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core, types = ModuleType("testcontainers.core.container"), ModuleType("docker.types")
    core.DockerContainer, types.Ulimit = Container, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, core.__name__, core)
    monkeypatch.setitem(sys.modules, types.__name__, types)
    with servers.docker_server() as server:
        (container,) = started
        assert container.is_running
        ((inside, outside),) = container.ports.items()
        assert inside == outside, "a client is told the server's own address after it has logged in"
        assert server.addresses == (f"127.0.0.1:{outside}",)
        assert container.environment["IGGY_TCP_ADDRESS"] == f"0.0.0.0:{inside}"
        assert container.environment["IGGY_ROOT_PASSWORD"] == server.password
        assert container.image == "apache/iggy:0.9.0"
        assert container.options["security_opt"] == ["seccomp=unconfined"]
    assert not container.is_running
