"""RemoteConnector: a server, or the nodes of a cluster, over the network."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from rustok_iggy_connector._sdk import Login, TlsSettings, open_client
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.config import ConnectorConfig, ConnectorMode, RemoteConnectorConfig, TlsConfig
from rustok_iggy_connector.errors import ConfigError, ConnectorError, PermissionDeniedError, ServerUnreachableError
from rustok_iggy_connector.generation import speaks_older_protocol
from rustok_iggy_connector.logging import get_logger
from rustok_iggy_connector.member_identity import MemberDirectory, MemberIdentity
from rustok_iggy_connector.member_roll import RollTiming
from rustok_iggy_connector.models import ServerInfo
from rustok_iggy_connector.refusals import incompatible
from rustok_iggy_connector.retry import RetryPolicy
from rustok_iggy_connector.roll_call import RollCall
from rustok_iggy_connector.session_connector import SessionConnector
from rustok_iggy_connector.sessions import Session
from rustok_iggy_connector.wire.commands.system import GetStats, Ping, Stats
from rustok_iggy_connector.wire_login import open_wire_client

Locate = Callable[[], Awaitable[str]]
"""Says where the server is now, as `host:port`."""


class OpenAt(Protocol):
    """Opens a session at one address; raises what open_client raises."""

    async def __call__(self, *, address: str, tls: TlsSettings | None, open_timeout: float) -> Client: ...


_log = get_logger("rustok_iggy_connector")

UNKNOWN_VERSION = "unknown"
"""The user may not ask for it (statistics need the permission read_servers)."""
LEAST_OPEN_TIMEOUT = 0.05
"""Seconds; an attempt with less left would fail for that alone."""


class RemoteConnector(SessionConnector):
    """Tries the addresses in turn, round after round, until one answers a login or connect_timeout is over.

    `locate` replaces the addresses: it is asked at each attempt, for a server that may come back elsewhere. `members`
    is where the members of this machine are recorded, so that the next ones can log out those that died; without it
    they put themselves on a roll at the server (docs/decisions/0012), and `roll_timing` is how long that takes.
    A session that went is opened the same way by the next call that needs it. In a child made by fork it is closed.
    """

    def __init__(
        self,
        config: RemoteConnectorConfig,
        *,
        locate: Locate | None = None,
        members: MemberDirectory | None = None,
        roll_timing: RollTiming = RollTiming(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        ConnectorConfig(mode=ConnectorMode.REMOTE, remote=config).validate()
        super().__init__(
            publish_clients=config.publish_clients,
            request_timeout=config.request_timeout,
            member_timeout=config.member_timeout,
            clock=clock,
        )
        self._config = config
        self._locate = locate
        self._members = members
        self._roll_timing = roll_timing
        self._sleep = sleep
        self._login = Login(username=config.username, password=config.password, token=config.token)
        self._retry = RetryPolicy(max_elapsed=config.connect_timeout)
        self._address = config.addresses[0]

    async def _reach(self, session: Session) -> ServerInfo:
        version = await session.run(_version)
        return ServerInfo(engine="iggy-server", version=version, address=self._address)

    async def _open_client(self, timeout: float) -> Client:
        return await self._open(partial(open_client, login=self._login, timeout=timeout))

    async def _open_member(self, who: MemberIdentity, timeout: float) -> Client:
        client = await self._open(self._at(who, timeout))
        try:
            await self._bury(timeout)
        except BaseException:
            await client.close()
            raise
        return client

    def _new_member(self) -> MemberIdentity:
        if self._members is None:
            return MemberIdentity()
        try:
            return self._members.enter()
        except OSError as error:  # a full disk: the member reads all the same
            _log.warning("member_not_recorded", reason=error.strerror)
            return MemberIdentity()

    def _roll_call(self, who: MemberIdentity, *, stream: str, topic: str, group: str) -> RollCall | None:
        if self._members is not None:
            return None
        return RollCall(
            stream=stream,
            topic=topic,
            group=group,
            client_id=who.client,
            bury=self._log_out,
            timing=self._roll_timing,
            clock=self._clock,
            sleep=self._sleep,
        )

    def _at(self, who: MemberIdentity, timeout: float) -> OpenAt:
        return partial(open_wire_client, login=self._login, timeout=timeout, who=who)

    async def _bury(self, timeout: float) -> None:
        """Log out the members that died on this machine: a restarted server may still keep partitions for them."""
        for dead in () if self._members is None else self._members.abandoned():
            try:
                await self._log_out(dead, timeout)
            except ConnectorError as error:  # whoever joins next tries again
                _log.warning("dead_member_not_logged_out", reason=str(error))
                return
            finally:
                dead.release()
            _log.info("dead_member_logged_out")

    async def _log_out(self, dead: MemberIdentity, timeout: float | None = None) -> None:
        timeout = self._config.member_timeout if timeout is None else timeout
        await (await self._open(self._at(dead, timeout))).close()

    async def _open(self, open_at: OpenAt) -> Client:
        deadline = self._clock() + self._config.connect_timeout
        reasons: dict[str, str] = {}
        try:
            return await self._retry.run(
                lambda: self._try_each_address(deadline, open_at, reasons), clock=self._clock, sleep=self._sleep
            )
        except ServerUnreachableError as error:
            addresses = () if self._config.tls.enabled else error.addresses
            answers = await asyncio.gather(*map(speaks_older_protocol, addresses))
            for address in itertools.compress(addresses, answers):
                raise incompatible(f"{address} is a server of 0.8 or older") from error
            raise

    async def _try_each_address(self, deadline: float, open_at: OpenAt, reasons: dict[str, str]) -> Client:
        """`reasons`: why each address could not be reached so far, for whoever is told in the end."""
        addresses = await self._addresses(deadline)
        for number, address in enumerate(addresses):
            # A mute address leaves time for those after it.
            began = self._clock()
            share = max((deadline - began) / (len(addresses) - number), LEAST_OPEN_TIMEOUT)
            try:
                client = await open_at(
                    address=address,
                    tls=tls_settings(self._config.tls, address),
                    open_timeout=share,
                )
            except ServerUnreachableError as error:
                # One that ran out of its time, the last one of hardly any, knows less than one that was answered.
                if address not in reasons or self._clock() - began < share:
                    reasons[address] = str(error)
            else:
                self._address = address
                return client
        raise ServerUnreachableError(
            f"no server within {self._config.connect_timeout:g} s: {'; '.join(reasons[each] for each in addresses)}. "
            "Is it running, and is the address right?",
            addresses=addresses,
        )

    async def _addresses(self, deadline: float) -> tuple[str, ...]:
        if self._locate is None:
            return self._config.addresses
        try:
            async with asyncio.timeout(max(deadline - self._clock(), LEAST_OPEN_TIMEOUT)):
                return (await self._locate(),)
        except TimeoutError as error:
            raise ServerUnreachableError(
                f"the server could not be located within {self._config.connect_timeout:g} s"
            ) from error


def tls_settings(config: TlsConfig, address: str) -> TlsSettings | None:
    """What the client needs for TLS with this address; None for plain text. Raises ConfigError for a missing file."""
    if not config.enabled:
        return None
    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise ConfigError([f"remote.tls.ca_file: {config.ca_file} is not a file; name one with PEM certificates"])
    return TlsSettings(
        server_name=config.server_name or address.rpartition(":")[0].strip("[]"),
        ca_file=config.ca_file or ssl.get_default_verify_paths().cafile,
    )


async def _version(client: Client) -> str:
    """The server's answer to a first question; also the proof that it answers."""
    try:
        stats = await client.ask(GetStats(), Stats, subject="the server")
    except PermissionDeniedError:
        await client.request(Ping(), subject="the server")
        return UNKNOWN_VERSION
    return UNKNOWN_VERSION if stats is None else stats.iggy_server_version
