"""Writes docs/reference/cli.md: every command with its options, and every exit code, as the program has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from rustok_iggy import health_check
from rustok_iggy.cli.exits import MEANINGS
from rustok_iggy.cli.program import PROGRAM, app

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
SHARED_PANEL = "Options of every command"
HEAD_OF_OPTIONS = ("| option | |", "|---|---|")
HEADER = f"""# Command line

`pip install 'rustok-iggy[cli]'`, then `{PROGRAM}` or `python -m rustok_iggy`. Written by `make commands`.

- Results go to standard output, everything else to standard error. `--json` prints one JSON document; `tail` prints one
  a line.
- What changes data asks first, and where nobody can be asked does nothing: `--yes` says that you mean it.
- `NO_COLOR`, set to anything but an empty value, turns colours off; bold and dim stay, as
  [no-color.org](https://no-color.org) has it. `TERM=dumb` turns those off too, and without a terminal there is neither.
- `{PROGRAM} --install-completion` completes commands and options in your shell.
- The server is the configured one: `--config FILE` (or `RUSTOK_IGGY_CONFIG`), the environment (`RUSTOK_IGGY__…`), or
  `--address host:port` and `--data-dir DIR`. With `--address` the password comes from
  `RUSTOK_IGGY__REMOTE__PASSWORD`: a command line is seen by everybody on the machine.
- Your own event types: `--catalog module:name` (or `RUSTOK_IGGY_CATALOG`), an `EventCatalog` that can be imported from
  where you are. Without it events of other types are shown by their ids.
- A time is `2026-11-21T12:00:00Z`, or how long ago: `90m`, `2h`, `3d`.
"""


def page() -> str:
    """Return the whole page."""
    root: Any = typer.main.get_command(app)
    commands = list(leaves(root, PROGRAM))
    shared = [each for each in commands[0][1].params if getattr(each, "rich_help_panel", None) == SHARED_PANEL]
    parts = [HEADER, "## Exit codes\n", *exit_codes(), "\n## Options of every command\n", *options(shared)]
    for name, command in commands:
        own = [each for each in command.params if getattr(each, "rich_help_panel", None) != SHARED_PANEL]
        rows = list(options(own)) if any(each.name != "help" for each in own) else []
        if command.name == "health":
            rows = list(probe_options())
        parts += [f"\n## {name}\n", "\n\n".join(description(command)), *(["", *rows] if rows else [])]
    return "\n".join(parts) + "\n"


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, in the order of its group."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, each in below.items():
        yield from leaves(each, f"{path} {name}")


def exit_codes() -> Iterator[str]:
    yield "| code | meaning |"
    yield "|---|---|"
    yield from (f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())


def description(command: Any) -> Iterator[str]:
    text = command.help or ""
    yield from (" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def probe_options() -> Iterator[str]:
    """Yield those of `health`, which has a parser of its own."""
    yield from HEAD_OF_OPTIONS
    for each in health_check.parser()._actions:  # argparse gives them by no other name
        if each.dest != "help":
            yield f"| {', '.join(f'`{name}`' for name in each.option_strings)} | {each.help} |"


def options(parameters: list[Any]) -> Iterator[str]:
    yield from HEAD_OF_OPTIONS
    for each in parameters:
        if each.name != "help":
            yield f"| {names(each)} | {each.help or ''}{remark(each)} |"


def names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    given = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{each}`" for each in given)


def remark(parameter: Any) -> str:
    if parameter.required:
        return " Required."
    if parameter.nargs == -1 or getattr(parameter, "multiple", False):
        return " May be given several times."
    default = parameter.default
    if default is None or isinstance(default, bool) or default == "" or callable(default):
        return ""
    return f" Default: {getattr(default, 'value', default)}."


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
