"""Opens a session over wire/ as a member that the server may know already."""

from __future__ import annotations

import asyncio
import ssl

from rustok_iggy_connector._sdk import Login, TlsSettings
from rustok_iggy_connector.errors import (
    ConfigError,
    RemoteProtocolError,
    RustokIggyError,
    ServerUnreachableError,
)
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.refusals import CLIENT_VERSION, incompatible, login_refused, refusal
from rustok_iggy_connector.wire.codec import Refusal, decode_reply
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION, EvictionReason
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, session, system
from rustok_iggy_connector.wire.connection import ClientConnection
from rustok_iggy_connector.wire_client import Conversation, WireClient

SDK_NAME = "rustok-iggy"
# Why a server ends a session at its login, where that is the login's fault.
_BAD_LOGIN = frozenset({EvictionReason.INVALID_CREDENTIALS, EvictionReason.INVALID_TOKEN, EvictionReason.USER_INACTIVE})


async def open_wire_client(
    *, address: str, login: Login, tls: TlsSettings | None, open_timeout: float, timeout: float, who: MemberIdentity
) -> WireClient:
    """Connect and log in as this member within `open_timeout` seconds; `timeout` is for each request thereafter.

    Another connection with the same identity loses its session. Raises: ServerUnreachableError, AuthenticationError,
    IncompatibleServerError, ConfigError (TLS files).
    """
    try:
        async with asyncio.timeout(open_timeout):
            return await _open(address, login, tls, timeout, who)
    except TimeoutError as error:
        raise ServerUnreachableError(
            f"{address} did not take a connection and answer a login within {open_timeout:.1f} s: it is stopped, "
            "overloaded, not an Iggy server, or one of another generation than this client",
            addresses=[address],
        ) from error
    except (OSError, RemoteProtocolError) as error:
        raise ServerUnreachableError(
            f"{address} cannot be connected to, or hung up during the login: nobody listens, the name is not known, "
            "TLS was not agreed on, it is shutting down, or it is not an Iggy server of this generation",
            addresses=[address],
        ) from error


def leader_elsewhere(cluster: system.ClusterMetadata, *, peer: tuple[str, int]) -> str | None:
    """`host:port` of the leader when another node than `peer` leads: the others take no writes of groups.

    A single server is never left, and a leader without a port cannot be reached.
    """
    for node in cluster.nodes if len(cluster.nodes) > 1 else ():
        if node.role == system.NodeRole.LEADER and node.tcp_port and (node.ip, node.tcp_port) != peer:
            return f"[{node.ip}]:{node.tcp_port}" if ":" in node.ip else f"{node.ip}:{node.tcp_port}"
    return None


async def _open(address: str, login: Login, tls: TlsSettings | None, timeout: float, who: MemberIdentity) -> WireClient:
    """Go on to the leader where a follower answered, as the published client does. Once: an election ends."""
    client = await _open_at(address, login, tls, timeout, who)
    try:
        cluster = await client.ask(system.GetClusterMetadata(), system.ClusterMetadata, subject="the cluster")
        leader = None if cluster is None else leader_elsewhere(cluster, peer=client.peer)
    except BaseException:
        client.hang_up()
        raise
    if leader is None:
        return client
    client.hang_up()
    return await _open_at(leader, login, tls, timeout, who)


async def _open_at(
    address: str, login: Login, tls: TlsSettings | None, timeout: float, who: MemberIdentity
) -> WireClient:
    host, _, port = address.rpartition(":")
    connection = ClientConnection(client=who.client, first_request=who.next_request)
    talk = Conversation(connection)
    await asyncio.get_running_loop().create_connection(
        lambda: talk,
        host.strip("[]"),
        int(port),
        ssl=_context(tls),
        server_hostname=tls.server_name if tls else None,
    )
    who.is_known = True  # from the moment the login is sent
    client = WireClient(talk, connection, who, address=address, timeout=timeout)
    try:
        reply = await _log_in(talk, login, address)
    except BaseException:
        talk.hang_up()
        raise
    client.begin(reply)
    return client


async def _log_in(talk: Conversation, login: Login, address: str) -> session.LoginReply:
    request = _login_request(login)
    command = COMMAND_OF_REQUEST[type(request)]
    try:
        frame = await talk.ask(request)
    except ConnectionResetError:
        if talk.evicted is None:
            raise
        raise _cannot_log_in(talk.evicted.header.reason, address) from None
    reply = decode_reply(command, frame.header, frame.body)
    if isinstance(reply, session.LoginReply):
        return reply
    if isinstance(reply, Refusal):
        raise refusal(reply.status, command="login", subject=address)
    raise RemoteProtocolError(f"{address} answered a login with something else")


def _login_request(login: Login) -> session.Login | session.LoginWithToken:
    if login.token is not None:
        return session.LoginWithToken(
            protocol_version=PROTOCOL_VERSION, sdk_name=SDK_NAME, sdk_version=CLIENT_VERSION, token=login.token
        )
    return session.Login(
        protocol_version=PROTOCOL_VERSION,
        sdk_name=SDK_NAME,
        sdk_version=CLIENT_VERSION,
        username=login.username,
        password=login.password or "",
    )


def _cannot_log_in(reason: EvictionReason, address: str) -> RustokIggyError:
    if reason in _BAD_LOGIN:
        return login_refused(address)
    if reason is EvictionReason.INCOMPATIBLE_PROTOCOL:
        return incompatible(f"{address} refused the login: it speaks another protocol version")
    return ServerUnreachableError(
        f"{address} ended the session at its login ({reason.name.lower()})", addresses=[address]
    )


def _context(tls: TlsSettings | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    try:
        return ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise ConfigError([f"tls.ca_file: {tls.ca_file} is not a readable file of PEM certificates"]) from error
