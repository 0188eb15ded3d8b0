"""Settings that every test shares: the async backend, how long hypothesis searches, which tests need a server."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# Few examples while working; HYPOTHESIS_PROFILE=many searches long (nightly, before a release).
# Deadlines are off: a busy machine is not a bug. print_blob gives the line that reproduces a failure.
settings.register_profile("few", max_examples=40, deadline=None, print_blob=True)
settings.register_profile(
    "many", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

# A shell starts what runs in its background with SIGINT ignored, and every program that a test starts would inherit it:
# Ctrl-C would end none of them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers of xdist have one, as the shells of some people do: the command line would fold its lines for it.
os.environ.pop("COLUMNS", None)

# A hook of git has these: what a test does in a repository that it made would be done in ours.
for _name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
    os.environ.pop(_name, None)

SERVER_VARIABLES = ("RUSTOK_IGGY_SERVER", "RUSTOK_IGGY_ADDRESS")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The client's wheel needs a running asyncio loop, so trio is not among the backends."""
    return "asyncio"


def pytest_itemcollected(item: pytest.Item) -> None:
    """The workers of xdist must name every test alike, and each has its own order of sets and its own memory."""
    values = getattr(item, "callspec", None)
    shown_sets = [value for value in (values.params.values() if values else ()) if isinstance(value, (set, frozenset))]
    if " at 0x" in item.name or any(len(value) > 1 and str(value) in item.name for value in shown_sets):
        raise pytest.UsageError(f"{item.nodeid} is not named alike in every process: give ids= that are")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if any(os.environ.get(name) for name in SERVER_VARIABLES):
        return
    reason = pytest.mark.skip(reason=f"needs a real server: set {' or '.join(SERVER_VARIABLES)}")
    for item in items:
        if item.get_closest_marker("server"):
            item.add_marker(reason)
