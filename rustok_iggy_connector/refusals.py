"""A server's refusal, by its status number, as the error that callers see."""

from __future__ import annotations

from importlib.metadata import version

from rustok_iggy_connector.errors import STATUS_ERRORS, ConnectorError, IncompatibleServerError, ServerError

CLIENT_VERSION = version("apache-iggy")


def refusal(status: int, *, command: str, subject: str = "") -> ConnectorError:
    """The error for `status` (wire.codes.Status), which the server gave to `command` about `subject`.

    `subject` names what was asked about, such as "topic 'orders' of stream 'shop'". It never holds a payload.
    """
    name, kind = STATUS_ERRORS.get(status, ("unknown", ServerError))
    about = f" for {subject}" if subject else ""
    message = f"the server refused {command}{about}: {name.replace('_', ' ')} (status {status})"
    if issubclass(kind, ServerError):
        return kind(message, status=status, name=name, command=command)
    if issubclass(kind, IncompatibleServerError):
        return incompatible(message)
    return kind(message)


def incompatible(what_happened: str, *, server_version: str | None = None) -> IncompatibleServerError:
    """The error for a server of another generation; each 0.x of Iggy talks only to clients of the same 0.x."""
    return IncompatibleServerError(
        f"{what_happened}. The installed client is apache-iggy {CLIENT_VERSION} and needs a server of the same 0.x: "
        f"run apache/iggy:{CLIENT_VERSION}, or install the client of the server's generation",
        client_version=CLIENT_VERSION,
        server_version=server_version,
    )
