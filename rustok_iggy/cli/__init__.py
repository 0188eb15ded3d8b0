"""The command line `rustok-iggy`, of the extra `cli`. Each command is a few lines over the library.

program.py puts the commands together, command.py turns a function into one, desk.py is what a command reads its
options from and prints to, exits.py says what the exit codes mean. Everything else holds one command, or what one
command needs.
"""

from __future__ import annotations

import sys

from rustok_iggy.health_check import health

MISSING = "rustok-iggy: the command line needs typer and rich: pip install 'rustok-iggy[cli]'\n"


def main() -> None:
    """Run the command line, and exit. A health check is answered without importing the rest (health_check.py)."""
    name, *arguments = sys.argv[1:] or [""]
    if name == "health":
        raise SystemExit(health(arguments))
    try:
        from rustok_iggy.cli.program import run  # noqa: PLC0415 - without the extra this says what to install
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.stderr.write(MISSING)
        raise SystemExit(2) from None
    run()
