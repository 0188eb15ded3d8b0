"""Does what a page says, from top to bottom, in an empty folder."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy import IggyConfig
from tests.documentation.expected import Names
from tests.documentation.pages import Block, blocks_of, text_of
from tests.documentation.settings import SETTINGS
from tests.documentation.terminal import Terminal, commands_in
from tests.printed import run_fragment, run_printed, run_python

GIVEN = "given: "
REPLACES = "replaces a line of "
TERMINAL = "<!-- terminal -->"


async def read(page: str, directory: Path, captured: pytest.CaptureFixture[str]) -> None:
    """Run every block of the page that can be run. Whatever a page does not say of itself fails."""
    async with AsyncExitStack() as stack:
        reader = _Reader(page, directory, captured, stack)
        for block in blocks_of(page):
            await reader.do(block)
        await asyncio.to_thread(reader.end)


class _Reader:
    def __init__(self, page: str, directory: Path, captured: pytest.CaptureFixture[str], stack: AsyncExitStack) -> None:
        self._page = page
        self._directory = directory
        self._captured = captured
        self._stack = stack
        self._terminal = stack.enter_context(closing(Terminal(directory))) if TERMINAL in text_of(page) else None
        self._names: dict[str, Any] | None = None
        self._printed: str | None = None
        self._written: list[str] = []
        self._typed: list[str] = []

    async def do(self, block: Block) -> None:
        if block.note.startswith(GIVEN):
            setting = SETTINGS[block.note.removeprefix(GIVEN)]
            self._names = await self._stack.enter_async_context(setting(self._directory))
        if block.note.startswith(REPLACES):
            self._replace(block)
        elif block.file is not None:
            self._write(block, block.file)
        elif block.language == "python":
            await self._python(block)
        elif block.language == "yaml":
            self._load(block)
        elif block.language == "text":
            await asyncio.to_thread(self._text, block)
        elif block.language == "console" and self._terminal is not None:
            self._typed += [command for command, _ in commands_in(block)]
            await asyncio.to_thread(self._terminal.type, block)

    async def _python(self, block: Block) -> None:
        if block.is_program:
            self._printed = await asyncio.to_thread(run_printed, block.text, self._directory)
        else:
            assert self._names is not None, f"{block}: is no program, and no note says what is given"
            await run_fragment("\n" * block.line + block.text, self._names, page=block.page)
            self._printed = self._captured.readouterr().out

    def _write(self, block: Block, name: str) -> None:
        self._written.append(name)
        with (self._directory / name).open("a" if block.is_continued else "x", encoding="utf-8") as file:
            file.write(block.text)

    def _replace(self, block: Block) -> None:
        """The line of the file that begins with the same word becomes what the block says."""
        file = self._directory / block.note.removeprefix(REPLACES)
        first = block.text.split()[0]
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        (number,) = (number for number, line in enumerate(lines) if line.split()[:1] == [first])
        lines[number] = block.text
        file.write_text("".join(lines), encoding="utf-8")

    def _load(self, block: Block) -> None:
        file = self._directory / "configuration.yaml"
        file.write_text(block.text, encoding="utf-8")
        IggyConfig.load(file, environment=dict.fromkeys(re.findall(r"\$\{(\w+)\}", block.text), "x"))

    def _text(self, block: Block) -> None:
        if self._terminal is not None:
            self._terminal.reads_on(block.text, block)
        elif self._printed is not None:
            assert Names().match(block.text, self._printed), (
                f"{block}: should print\n{block.text}\nnot\n{self._printed}"
            )
            self._printed = None

    def end(self) -> None:
        """Every file was used: typed into the terminal, imported by another one, or run by pytest now."""
        tests = [name for name in self._written if name.startswith("test_")]
        if tests and not any(command.startswith("pytest") for command in self._typed):
            self._pytest()
        for name in self._unused():
            raise AssertionError(f"{self._page}: {name} is shown, and nothing runs it")

    def _unused(self) -> Iterator[str]:
        texts = {name: (self._directory / name).read_text(encoding="utf-8") for name in self._written}
        for name in texts:
            others = [text for other, text in texts.items() if other != name]
            imported = any(name.removesuffix(".py") in text for text in others)
            if not imported and not name.startswith(("test_", "conftest")) and name not in " ".join(self._typed):
                yield name

    def _pytest(self) -> None:
        without = ("-p", "no:cacheprovider", "-p", "no:asyncio")
        run_python("-m", "pytest", "-q", "-W", "error", *without, directory=self._directory)
