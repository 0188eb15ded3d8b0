"""What is done again while a transport opens, and for how long."""

import pytest

from rustok_iggy.opening import PAUSE, opening_policy
from rustok_iggy_connector import (
    AuthenticationError,
    ConnectionLostError,
    ConnectorConfig,
    ConnectorError,
    ServerUnreachableError,
)

pytestmark = pytest.mark.anyio
CONFIG = ConnectorConfig(embedded={"startup_timeout": 10}, remote={"connect_timeout": 3, "password": "p"})


class Opening:
    """Fails as told, one error a call; `took` seconds go by in each."""

    def __init__(self, *errors: ConnectorError, took: float = 0.0) -> None:
        self.errors = list(errors)
        self.took = took
        self.now = 0.0
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        self.now += self.took
        if self.errors:
            raise self.errors.pop(0)
        return "open"

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def run(self) -> str:
        return await opening_policy(CONFIG).run(self, clock=lambda: self.now, sleep=self.sleep)


async def test_it_is_done_again_while_the_server_goes_and_comes() -> None:
    opening = Opening(ConnectionLostError("cut"), ConnectionLostError("cut again"))
    assert await opening.run() == "open"
    assert (opening.calls, opening.now) == (3, 2 * PAUSE)


async def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    opening = Opening(*[ConnectionLostError(f"cut for the {number}th time") for number in range(9)], took=3.0)
    with pytest.raises(ConnectionLostError, match="cut for the 3th time"):
        await opening.run()


@pytest.mark.parametrize("error", [ServerUnreachableError("nobody there"), AuthenticationError("no")], ids=repr)
async def test_what_no_repetition_mends_is_raised_at_once(error: ConnectorError) -> None:
    opening = Opening(error)
    with pytest.raises(type(error)):
        await opening.run()
    assert opening.calls == 1


def test_the_time_is_that_in_which_a_server_must_be_reached() -> None:
    assert opening_policy(CONFIG).max_elapsed == 10
    assert opening_policy(ConnectorConfig(mode="remote", remote=CONFIG.remote)).max_elapsed == 3
