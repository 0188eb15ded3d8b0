"""Frames of real sessions: the published apache-iggy 0.9.0 client against a real iggy-server.

`session.jsonl` is a session with streams, topics, messages, offsets and groups; `administration.jsonl` adds users,
permissions, tokens, option catalogues and what the server refuses. One frame a line, with the step that caused it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rustok_iggy_connector.wire.codes import Command, FrameKind
from rustok_iggy_connector.wire.commands import command_of
from rustok_iggy_connector.wire.header import HEADER_BYTES, RequestHeader

RECORDINGS = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One frame. `command` is the request's, also for its reply; None for a code the protocol does not have."""

    name: str
    connection: str
    data: bytes
    command: Command | None

    @property
    def kind(self) -> FrameKind:
        return FrameKind(self.data[60])

    @property
    def header(self) -> bytes:
        return self.data[:HEADER_BYTES]

    @property
    def body(self) -> bytes:
        return self.data[HEADER_BYTES:]


def _read(path: Path) -> Iterator[Recorded]:
    asked: dict[int, Command | None] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        data = bytes.fromhex(row["hex"])
        if row["from"] == "client":
            asked[row["connection"]] = command_of(RequestHeader.decode(data), data[HEADER_BYTES:])
        yield Recorded(
            name=f"{path.stem}-{row['n']}-{row['from']}-{row['label']}",
            connection=f"{path.stem}-{row['connection']}",
            data=data,
            command=asked[row["connection"]],
        )


@cache
def frames() -> tuple[Recorded, ...]:
    """All frames, in the order they went over the wire."""
    return tuple(frame for path in sorted(RECORDINGS.glob("*.jsonl")) for frame in _read(path))


def frames_of(kind: FrameKind) -> list[Recorded]:
    return [frame for frame in frames() if frame.kind is kind]
