"""The examples of the docs, as they are printed: run as programs of their own, or as parts of one."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.architecture.source_tree import ROOT
from tests.waiting import PROGRAM_WITHIN


def code_blocks(page: str, language: str) -> list[str]:
    """The code of a page, named from the repository's root, in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_printed(code: str, directory: Path) -> str:
    """Run a program in a directory, with warnings as errors; what it wrote to standard output."""
    script = directory / "example.py"
    script.write_text(code, encoding="utf-8")
    return run_python("-W", "error", str(script), directory=directory)


def run_python(*arguments: str, directory: Path) -> str:
    """Run Python in a directory, with nothing but the repository to import from; what it wrote to standard output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PROGRAM_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def run_fragment(code: str, names: dict[str, Any], *, page: str) -> None:
    """Run a part of a program, which may await, over these names and into them."""
    running = eval(compile(code, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(running):
        await running
