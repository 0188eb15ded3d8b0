"""What member and publisher share as programs: they end with whoever started them, and log to standard error."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.chaos.scenario import Settings

READY = "ready"


def run(main: Callable[[Path, Settings], Coroutine[Any, Any, None]]) -> None:
    """Run `main` with the run's directory, the first argument, and its settings."""
    directory = Path(sys.argv[1])
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main(directory, Settings.load(directory)))


def say_ready() -> None:
    print(READY, flush=True)


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os._exit(3)
