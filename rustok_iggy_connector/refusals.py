"""How a request may fail, as callers see it: a refusal of the server by its status number, a session that ended."""

from __future__ import annotations

from importlib.metadata import version

from rustok_iggy_connector.errors import (
    STATUS_ERRORS,
    AuthenticationError,
    ConnectionLostError,
    ConnectorClosedError,
    ConnectorError,
    IncompatibleServerError,
    ServerError,
)
from rustok_iggy_connector.wire.codes import Status

CLIENT_VERSION = version("apache-iggy")

_DISK = "look at the server's log and disk: it may be full"
_MISSING = "look at the name, or create it first"
_PAYLOAD = "a payload has 1 to 64,000,000 bytes: put larger things elsewhere and send where they are"
# What a caller can do about a status. Limits: Iggy 0.9's own, which the client checks before it sends.
ADVICE: dict[int, str] = {
    Status.ERROR: _DISK,
    Status.CANNOT_APPEND_MESSAGE: _DISK,
    Status.RESOURCE_NOT_FOUND: _MISSING,
    Status.UNAUTHORIZED: "give the user this permission, or log in as another one",
    Status.STREAM_ID_NOT_FOUND: _MISSING,
    Status.STREAM_NAME_NOT_FOUND: _MISSING,
    Status.TOPIC_ID_NOT_FOUND: _MISSING,
    Status.TOPIC_NAME_NOT_FOUND: _MISSING,
    Status.PARTITION_NOT_FOUND: "the topic has fewer partitions than that",
    Status.TOO_BIG_HEADERS: "all headers of a message may have 100,000 bytes together",
    Status.INVALID_HEADER_KEY: "a header's name has 1 to 255 bytes",
    Status.INVALID_HEADER_VALUE: "a header's value has 1 to 255 bytes",
    Status.TOO_BIG_PAYLOAD: _PAYLOAD,
    Status.EMPTY_PAYLOAD: _PAYLOAD,
    Status.INVALID_PAYLOAD_LENGTH: _PAYLOAD,
}


def refusal(status: int, *, command: str, subject: str = "") -> ConnectorError:
    """The error for `status` (wire.codes.Status), which the server gave to `command` about `subject`.

    `subject` names what was asked about, such as "topic 'orders' of stream 'shop'". It never holds a payload.
    """
    name, kind = STATUS_ERRORS.get(status, ("unknown", ServerError))
    about = f" for {subject}" if subject else ""
    message = f"the server refused {command}{about}: {name.replace('_', ' ')} (status {status})"
    if status in ADVICE:
        message += f"; {ADVICE[status]}"
    if issubclass(kind, ServerError):
        return kind(message, status=status, name=name, command=command)
    if issubclass(kind, IncompatibleServerError):
        return incompatible(message)
    return kind(message)


def closed_during(command: str, *, address: str) -> ConnectorClosedError:
    """The error for a request that was ended because its session was closed here."""
    return ConnectorClosedError(f"the session with {address} was closed while {command} was under way")


def lost_during(command: str, *, address: str, subject: str) -> ConnectionLostError:
    """The error for a request whose connection ended before it was answered."""
    return ConnectionLostError(f"the connection to {address} went during {command} of {subject}; it may have been done")


def login_refused(address: str) -> AuthenticationError:
    """The error for a login that the server knows and does not take."""
    return AuthenticationError(f"{address} refused the login: check the user name and password, or the token")


def incompatible(what_happened: str, *, server_version: str | None = None) -> IncompatibleServerError:
    """The error for a server of another generation; each 0.x of Iggy talks only to clients of the same 0.x."""
    return IncompatibleServerError(
        f"{what_happened}. The installed client is apache-iggy {CLIENT_VERSION} and needs a server of the same 0.x: "
        f"run apache/iggy:{CLIENT_VERSION}, or install the client of the server's generation",
        client_version=CLIENT_VERSION,
        server_version=server_version,
    )
