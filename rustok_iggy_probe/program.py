"""The program `rustok-iggy`: answers `health` here, and everything else in rustok_iggy.cli."""

from __future__ import annotations

import sys

from rustok_iggy_probe import health


def main() -> None:
    """Run, and exit."""
    name, *arguments = sys.argv[1:] or [""]
    if name == "health":
        raise SystemExit(health(arguments))
    from rustok_iggy.cli import main as everything_else  # noqa: PLC0415 - costs 0.3 s, which a health check spares

    everything_else()
