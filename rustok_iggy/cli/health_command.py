"""`rustok-iggy health` where commands are listed; health_check.py reads its options and answers."""

from __future__ import annotations

import typer

from rustok_iggy import health_check

# Everything behind the name is read there.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health", context_settings=_PASSED_ON)(health)


def health(context: typer.Context) -> None:
    """Ask the health server of a running service whether it is ready; for HEALTHCHECK of a container.

    Prints one line that says why. Exit codes: 0 yes, 1 no, 5 nobody answered in time. Imports nothing of the library:
    30 ms.
    """
    raise typer.Exit(health_check.health(context.args))
