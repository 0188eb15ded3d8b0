"""The one exception with which the local server's state machines say no."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - an answer for the client, not a failure of the server
    """A command that is answered with an Iggy status number instead of a result.

    `committed` says where the number travels. A refusal that iggy-server decides while it carries a replicated command
    out (a name already taken, no right to do it) is itself the command's outcome: header status 0, the number in the
    body's result section. One decided before that (an unknown option, too many partitions), and every refusal of a
    read or of a command on a partition, stands in the reply header with an empty body.
    """

    def __init__(self, status: int, *, committed: bool = False) -> None:
        self.status = int(status)
        self.committed = committed
        super().__init__(self.status)
