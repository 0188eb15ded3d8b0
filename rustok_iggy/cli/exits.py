"""Exit codes: what each means, and which error leads to which. docs/reference/cli.md is written from here."""

from __future__ import annotations

from enum import IntEnum

from rustok_iggy.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    IncompatibleServerError,
    NotFoundError,
    PermissionDeniedError,
    RequestTimeoutError,
    RustokIggyError,
    ServerProcessError,
    ServerUnreachableError,
    TransientServerError,
)


class ExitCode(IntEnum):
    """What a script can tell from the exit code."""

    DONE = 0
    FOUND = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    NOT_ALLOWED = 6
    CONFIGURATION = 7
    UNFINISHED = 8
    DECLINED = 9
    DEFECT = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


# 2 is what every program of this kind gives; the last two are 128 + the signal, as shells count.
MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done, and nothing to complain about",
    ExitCode.FOUND: "done, and something was found: doctor sees a problem, there is drift that `topology apply`"
    " removes, schemas are incompatible, letters failed again, a service is not ready",
    ExitCode.USAGE: "the command line is wrong: an unknown option, a value of the wrong kind",
    ExitCode.REFUSED: "refused, because it cannot be done or would do harm: a topology conflict, a group that has"
    " members, a plan or an input file that is wrong, a replay whose handler fails or that was cancelled",
    ExitCode.NOT_FOUND: "the topic, group, event or file does not exist",
    ExitCode.UNREACHABLE: "the server was not reached, did not answer in time or could not be started",
    ExitCode.NOT_ALLOWED: "the server does not know the user, or does not let it do this",
    ExitCode.CONFIGURATION: "the configuration, the catalogue or the handler named is wrong",
    ExitCode.UNFINISHED: "the request is written and goes on by itself: not all of it ended while we waited",
    ExitCode.DECLINED: "not confirmed: nothing was changed",
    ExitCode.DEFECT: "a defect of this program; the traceback is what to report",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.BROKEN_PIPE: "whoever read the output has closed it",
}

# The first class that fits counts.
_ERRORS: tuple[tuple[type[RustokIggyError], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIGURATION),
    (AuthenticationError, ExitCode.NOT_ALLOWED),
    (PermissionDeniedError, ExitCode.NOT_ALLOWED),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ServerUnreachableError, ExitCode.UNREACHABLE),
    (ConnectionLostError, ExitCode.UNREACHABLE),
    (RequestTimeoutError, ExitCode.UNREACHABLE),
    (TransientServerError, ExitCode.UNREACHABLE),
    (IncompatibleServerError, ExitCode.UNREACHABLE),
    (ServerProcessError, ExitCode.UNREACHABLE),
)


def exit_code_of(error: RustokIggyError) -> ExitCode:
    """Return the exit code of a command that ended with `error`."""
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), ExitCode.REFUSED)


class CommandError(Exception):
    """A command cannot go on; what to tell the person, and the exit code."""

    def __init__(self, message: str, *, code: ExitCode) -> None:
        self.code = code
        super().__init__(message)
