"""What a command works at: the options every command has, where it prints, whom it asks.

Results go to standard output, everything else (questions, notes, progress, errors) to standard error, so that a pipe
carries results only. With --json the result is one JSON document, or one a line where a command lists without end.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.named_objects import load_catalog
from rustok_iggy.cli.rendering import lines_of
from rustok_iggy.config import IggyConfig

PIPED_WIDTH = 200
"""Columns where nobody sees a terminal's edge: wide enough for a row with two ids, so that `grep` finds it in one."""
_PANEL = "Options of every command"
Report = Callable[[int, int | None], None]
"""Told how much is done, and of how much (None: nobody knows)."""


def desk(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="RUSTOK_IGGY_CONFIG", help="YAML or TOML file.", rich_help_panel=_PANEL),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="File of this name over it, such as production.", rich_help_panel=_PANEL)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="host:port of a remote server, over what the file says.", rich_help_panel=_PANEL),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Directory of an embedded server, over what the file says.", rich_help_panel=_PANEL),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            envvar="RUSTOK_IGGY_CATALOG",
            help="module:name of your event catalogue; without it, RusToK's.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_PANEL)] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", rich_help_panel=_PANEL)] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the library's log.", rich_help_panel=_PANEL)
    ] = False,
) -> Desk:
    """Return the desk that these options describe; the parameters are options of every command."""
    if address is not None and data_dir is not None:
        raise typer.BadParameter("a server has an address or a data directory, not both", param_hint="--address")
    if verbose:
        show_log(logging.INFO)
    places: dict[str, Any] = {}
    if address is not None:
        places = {"mode": "remote", "remote": {"addresses": [address]}}
    if data_dir is not None:
        places = {"mode": "embedded", "embedded": {"data_dir": str(data_dir)}}
    return Desk(path=config, profile=profile, places=places, catalog=catalog, as_json=as_json, yes=yes)


class Desk:
    """See the module. Nothing is read before it is asked for."""

    def __init__(
        self,
        *,
        path: Path | None,
        profile: str | None,
        places: Mapping[str, Any],
        catalog: str | None,
        as_json: bool,
        yes: bool,
    ) -> None:
        self._path = path
        self._profile = profile
        self._places = places
        self._catalog = catalog
        self.as_json = as_json
        self.yes = yes
        self._results = _console(sys.stdout)
        self._remarks = _console(sys.stderr)

    def config(self, **over: Any) -> IggyConfig:
        """Read the configuration; the options that say where the server is lie over it, and `over` over those.

        A part in `over` (`embedded={...}`) is laid over key by key. Raises ConfigError, CommandError.
        """
        if self._path is not None and not self._path.is_file():
            raise CommandError(f"there is no configuration file {self._path}", code=ExitCode.NOT_FOUND)
        if self._profile is not None and self._path is None:
            raise CommandError("--profile lies over a file: name it with --config", code=ExitCode.USAGE)
        places = {**self._places}
        for name, value in over.items():
            below = places.get(name)
            places[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
        return IggyConfig.load(self._path, profile=self._profile, **places)

    def catalog(self) -> EventCatalog:
        """Return the catalogue that was named. Raises CommandError."""
        return load_catalog(self._catalog)

    def print_json(self, data: object) -> None:
        """Print a result that is JSON in any case."""
        self._write(msgspec.json.format(msgspec.json.encode(data), indent=2))

    def show(self, data: object, *shown: RenderableType) -> None:
        """Print the result: `data` as JSON when that was asked for, else what is `shown`."""
        if self.as_json:
            self.print_json(data)
        else:
            for each in shown:
                self._print(each)

    def stream(self, data: object, shown: RenderableType) -> None:
        """Print one of many results at once: one line of JSON, or what is `shown`."""
        if self.as_json:
            self._write(msgspec.json.encode(data))
        else:
            self._results.print(shown, soft_wrap=True)
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something that is no result."""
        self._remarks.print(Text(lines_of(text), style="dim"))

    def complain(self, text: str) -> None:
        """Say what went wrong."""
        self._remarks.print(Text("error: ", style="bold red").append(lines_of(text), style="not bold default"))

    def confirm(self, question: str) -> None:
        """Ask before data is changed. Raises CommandError (DECLINED) unless the answer, or --yes, says yes."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise CommandError(
                f"{question} Nobody can be asked here: add --yes when you mean it. Nothing was changed.",
                code=ExitCode.DECLINED,
            )
        answer = self._remarks.input(Text(f"{lines_of(question)} [y/N] ", style="bold"))
        if answer.strip().lower() not in {"y", "yes"}:
            raise CommandError("nothing was changed", code=ExitCode.DECLINED)

    @contextmanager
    def progress(self, what: str, *, is_size: bool = False) -> Iterator[Report]:
        """Show a bar on a terminal while inside; elsewhere nothing. `is_size`: what is counted are bytes."""
        if self.as_json or not self._remarks.is_terminal:
            yield _unseen
            return
        count = DownloadColumn(binary_units=True) if is_size else _Count()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), count)
        with Progress(*columns, TimeRemainingColumn(), console=self._remarks, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _print(self, shown: RenderableType) -> None:
        """Print without the blanks that fill a line up: they would be copied and piped along."""
        with self._results.capture() as captured:
            self._results.print(shown)
        for line in captured.get().splitlines():
            sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()

    def _write(self, data: bytes) -> None:
        sys.stdout.write(data.decode() + "\n")
        sys.stdout.flush()


class _Count(MofNCompleteColumn):
    """How many of how many; nothing where nothing is counted."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None or task.completed else Text()


def show_log(level: int) -> None:
    """Let the library's log of this process go to standard error, from `level` on."""
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for package in ("rustok_iggy", "rustok_iggy_connector"):
        logging.getLogger(package).setLevel(level)


def _unseen(done: int, total: int | None) -> None:
    """Nobody looks."""
    del done, total


def _console(stream: Any) -> Console:
    """TERM and COLUMNS are looked at by rich itself; NO_COLOR too, but an empty one is none (https://no-color.org)."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    no_color = bool(os.environ.get("NO_COLOR"))
    return Console(file=stream, width=width, no_color=no_color, highlight=False, markup=False, emoji=False)
