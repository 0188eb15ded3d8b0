"""Every command of rustok-iggy that the documentation shows exists, with its options and its arguments."""

import re
import shlex
from itertools import takewhile
from typing import Any

import pytest
import typer.main

from rustok_iggy.cli.program import PROGRAM, app
from tests.documentation.pages import PAGES, Block, blocks_of, prose_of

SHELL = {"sh", "console"}
PLACEHOLDER = re.compile(r"…|\.\.\.")


def commands_of(page: str) -> list[str]:
    """Lines of shell blocks, with what they go on with behind a backslash, and what stands in the text as code."""
    lines = [line for block in blocks_of(page) if block.language in SHELL for line in lines_of(block)]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose_of(page))]
    return [line for line in lines if line.split()[:1] == [PROGRAM]]


def lines_of(block: Block) -> list[str]:
    return [line.removeprefix("$ ") for line in block.text.replace("\\\n", " ").splitlines()]


SHOWN = sorted({(command, page) for page in PAGES for command in commands_of(page)})


def test_there_are_some() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("command", "page"), SHOWN, ids=lambda value: value.replace("/", "."))
def test_the_command_exists(command: str, page: str) -> None:
    words = list(takewhile(lambda word: word not in {"|", ">", "<", "&&", ";"}, shlex.split(command, comments=True)))[
        1:
    ]
    found: Any = typer.main.get_command(app)
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    if not words or words[0].partition("|")[0] in getattr(found, "commands", {}):
        return  # a group of commands, or one of several that it names: dlq list|show
    assert not getattr(found, "commands", {}) or words[0].startswith("-"), f"{page}: {words[0]} is no command"
    options = {name for each in found.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    given = [word.partition("=")[0] for word in words if word.startswith("-") and not PLACEHOLDER.search(word)]
    assert set(given) <= options, f"{page}: {sorted(set(given) - options)}"
