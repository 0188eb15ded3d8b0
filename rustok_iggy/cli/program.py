"""All commands put together: what `rustok-iggy` runs."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Annotated

import typer

from rustok_iggy.cli import (
    bench_command,
    doctor_command,
    group_commands,
    health_command,
    letter_commands,
    letter_requests,
    publish_command,
    replay_commands,
    replay_state,
    schema_commands,
    serve_command,
    tail_command,
    tenant_commands,
    topology_commands,
    trace_command,
)
from rustok_iggy.cli.desk import show_log

PROGRAM = "rustok-iggy"

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback of ours is plain; one with local values could show a password
    rich_markup_mode="rich",
    help="Event transport over Apache Iggy: look at what runs, act on it. --help after a command says more.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Event transport over Apache Iggy: look at what runs, act on it. --help after a command says more."""


letter_requests.register()
replay_state.register()
for _command in (
    doctor_command,
    health_command,
    serve_command,
    publish_command,
    tail_command,
    trace_command,
    bench_command,
):
    _command.register(app)
app.add_typer(topology_commands.app, name="topology")
app.add_typer(group_commands.app, name="groups")
app.add_typer(letter_commands.app, name="dlq")
app.add_typer(replay_commands.app, name="replay")
app.add_typer(tenant_commands.app, name="tenant")
app.add_typer(schema_commands.app, name="schema")


def run() -> None:
    """Run, and exit. What the library warns of is told by the commands themselves; --verbose shows its log."""
    show_log(logging.ERROR)
    app(prog_name=PROGRAM)
