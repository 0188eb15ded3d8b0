"""The history of git repositories: what changed, as `git log` tells it, and git's own totals by other commands."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from rustok_iggy import EventCatalog

ROOT_FILES = "(files at the top)"

catalog = EventCatalog("commits")


@catalog.event("file.changed")
class FileChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One file in one commit. `commit` counts the repository's commits from 0; a binary file has no line counts."""

    folder: str
    path: str
    commit: int
    added: int | None
    removed: int | None


@dataclass
class Tally:
    """What happened in one folder; `order` has the commit and path of each change, as they came.

    `first_binary` is how many changes came before the first one of a binary file, None without one.
    """

    files: int = 0
    binary: int = 0
    added: int = 0
    removed: int = 0
    first_binary: int | None = None
    order: list[tuple[int, str]] = field(default_factory=list, repr=False)

    def count(self, commit: int, path: str, added: int | None, removed: int | None) -> None:
        if added is None or removed is None:
            if self.first_binary is None:
                self.first_binary = self.files
            self.binary += 1
        else:
            self.added += added
            self.removed += removed
        self.files += 1
        self.order.append((commit, path))

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        return self.files, self.binary, self.added, self.removed


class Totals(dict[str, Tally]):
    """Folder → tally."""

    def count(self, folder: str, commit: int, path: str, added: int | None, removed: int | None) -> None:
        self.setdefault(folder, Tally()).count(commit, path, added, removed)

    @property
    def files(self) -> int:
        return sum(tally.files for tally in self.values())


class HistoryError(Exception):
    """A repository has no history to read."""


HERE = Path(__file__).resolve().parent.parent
# What the user's own configuration must not change; and this repository, whose code runs already, may belong to
# somebody else, as in a container.
GIT = (
    *("git", "-c", "log.showRoot=true", "-c", "log.showSignature=false", "-c", "diff.external="),
    *("-c", f"safe.directory={HERE}"),
)
HAS_COMMITS = ("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
DIFF = ("--no-renames", "--numstat", "-z", "--no-ext-diff", "--no-textconv")


@dataclass(frozen=True)
class Repository:
    """One to read; `name` tells it from the others."""

    path: Path
    name: str


async def changes(repository: Repository) -> AsyncIterator[FileChanged]:
    """The changes as `git log` tells them, oldest commit first."""
    git = await asyncio.create_subprocess_exec(
        *GIT, "log", "--reverse", "--no-merges", "--format=%x02%H", *DIFF, cwd=repository.path, stdout=subprocess.PIPE
    )
    output = git.stdout
    if output is None:
        raise HistoryError("git log has no output to read")
    commit = -1
    while token := (await _next_token(output)).lstrip(b"\n"):
        if token.startswith(b"\x02"):
            commit += 1
            continue
        added, removed, path = token.split(b"\t", 2)
        yield FileChanged(
            folder=folder_of(repository.name, path),
            path=_text(path),
            commit=commit,
            added=_lines(added),
            removed=_lines(removed),
        )
    if await git.wait():
        raise HistoryError(f"git log failed in {repository.path}")


async def _next_token(output: asyncio.StreamReader) -> bytes:
    """Up to the next NUL; empty at the end."""
    try:
        return (await output.readuntil(b"\0"))[:-1]
    except asyncio.IncompleteReadError as end:
        return end.partial


def gits_own_totals(repository: Repository) -> Totals:
    """The same history by other commands: git rev-list for the order, git diff-tree for the numbers."""
    listed = subprocess.run(
        [*GIT, "rev-list", "--reverse", "--no-merges", "HEAD"], cwd=repository.path, stdout=subprocess.PIPE, check=True
    ).stdout
    numbers = subprocess.run(
        [*GIT, "diff-tree", "--stdin", "--root", "-r", *DIFF],
        cwd=repository.path,
        input=listed,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    order = {commit: index for index, commit in enumerate(listed.split())}
    totals = Totals()
    commit = -1
    for record in numbers.split(b"\0"):
        if record in order:
            commit = order[record]
        elif record:
            added, removed, path = record.split(b"\t", 2)
            totals.count(folder_of(repository.name, path), commit, _text(path), _lines(added), _lines(removed))
    return totals


def folder_of(repository: str, path: bytes) -> str:
    top, separator, _ = path.partition(b"/")
    return f"{repository}/{_text(top) if separator else ROOT_FILES}"


def tenant_of(folder: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"git:{folder}")


def _lines(number: bytes) -> int | None:
    return None if number == b"-" else int(number)


def _text(path: bytes) -> str:
    """A path as text that a terminal takes, whatever bytes it has; two paths never become one."""
    text = path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def repositories_of(arguments: list[str]) -> list[Repository]:
    """The repositories to read. Raises HistoryError for one without a commit."""
    paths = [Path(argument).resolve() for argument in arguments or [str(HERE)]]
    paths = list(dict.fromkeys(paths))
    for path in paths:
        if not path.is_dir() or subprocess.call([*GIT, *HAS_COMMITS], cwd=path, stdout=subprocess.DEVNULL):
            raise HistoryError(f"{path} is not a git repository with at least one commit")
    short = len({path.name for path in paths}) == len(paths)
    return [Repository(path, path.name if short else str(path)) for path in paths]
