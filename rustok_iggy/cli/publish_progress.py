"""How far a file was published, kept beside it: what a run that was cut short goes on from.

Written after every batch that was confirmed whole, and before the first, so that all runs give a line the same event
id. `digest` is of everything up to `read_bytes`: a file that was changed there is another file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.replay.durable_file import write_atomically

SUFFIX = ".progress"
_PIECE = 1024 * 1024


class PublishProgress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines and bytes of the file that are confirmed, by all runs together."""

    version: int = 1
    run: UUID
    lines: int = 0
    read_bytes: int = 0
    digest: str = ""


@dataclass(kw_only=True)
class Source:
    """A file or standard input, read line by line from where the last run ended."""

    stream: BinaryIO
    path: Path | None
    """Where the progress is kept; None: standard input, which nobody can read twice."""
    progress: PublishProgress
    is_resumed: bool = False

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256()

    def skip(self) -> None:
        """Go to where the last run ended. Raises CommandError when the file is not the same up to there."""
        left = self.progress.read_bytes
        while left and (piece := self.stream.read(min(left, _PIECE))):
            self._hash.update(piece)
            left -= len(piece)
        if self.progress.read_bytes and (left or self._hash.hexdigest() != self.progress.digest):
            raise CommandError(
                f"the file was changed within its first {self.progress.lines:,} lines, which are published already:"
                f" remove {self.path} to publish all of it again, as new events",
                code=ExitCode.REFUSED,
            )

    def lines(self, *, limit: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and text of each line. Raises CommandError for one of more than `limit` bytes."""
        number = self.progress.lines
        while line := self.stream.readline(limit + 1):
            number += 1
            if len(line) > limit:
                raise CommandError(f"line {number}: has more than {limit:,} bytes", code=ExitCode.REFUSED)
            yield number, line

    def confirmed(self, lines: list[bytes]) -> None:
        """Note that these lines, the next ones, are published."""
        for line in lines:
            self._hash.update(line)
        self.progress = msgspec.structs.replace(
            self.progress,
            lines=self.progress.lines + len(lines),
            read_bytes=self.progress.read_bytes + sum(map(len, lines)),
            digest=self._hash.hexdigest(),
        )
        self.save()

    def save(self) -> None:
        """Write the progress to disk. Raises CommandError."""
        if self.path is None:
            return
        try:
            write_atomically(self.path, msgspec.json.encode(self.progress) + b"\n")
        except OSError as error:
            raise CommandError(f"cannot write {self.path}: {error.strerror}", code=ExitCode.REFUSED) from None

    def finish(self) -> None:
        """All of it is published: nothing is left to go on from."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def open_source(file: Path | None, stdin: BinaryIO) -> Source:
    """Return the source, None: standard input. Raises CommandError."""
    if file is None:
        return Source(stream=stdin, path=None, progress=PublishProgress(run=uuid4()))
    kept = file.with_name(file.name + SUFFIX)
    try:
        stream = file.open("rb")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", code=ExitCode.NOT_FOUND) from None
    try:
        found = msgspec.json.decode(kept.read_bytes(), type=PublishProgress)
    except FileNotFoundError:
        return Source(stream=stream, path=kept, progress=PublishProgress(run=uuid4()))
    except (OSError, msgspec.DecodeError) as error:
        stream.close()
        raise CommandError(f"{kept} cannot be read: {error}", code=ExitCode.REFUSED) from None
    source = Source(stream=stream, path=kept, progress=found, is_resumed=found.lines > 0)
    try:
        source.skip()
    except BaseException:
        stream.close()
        raise
    return source
