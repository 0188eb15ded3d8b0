"""Turns an async function into a command: options that several commands share, and one way out for every error."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, get_origin

import typer

from rustok_iggy.cli.desk import Desk, desk
from rustok_iggy.cli.exits import CommandError, ExitCode, exit_code_of
from rustok_iggy.errors import RustokIggyError

Body = Callable[..., Coroutine[Any, Any, ExitCode | None]]


@dataclass(frozen=True, slots=True)
class Shared:
    """Marks a parameter that is made from options: the keyword parameters of `make` become options of the command."""

    make: Callable[..., Any]


AtDesk = Annotated[Desk, Shared(desk)]
"""The first parameter of every command."""


def command(app: typer.Typer, name: str) -> Callable[[Body], Body]:
    """Add a function to a Typer app. Its docstring is the help; what it returns is the exit code, None for 0."""

    def register(body: Body) -> Body:
        parts = {each.name: _maker(each) for each in _parameters(body)}
        desk_of = parts.pop("desk")

        def run(**values: Any) -> None:
            at: Desk = desk_of(values)
            raise typer.Exit(_finished(at, lambda: body(at, **{name: part(values) for name, part in parts.items()})))

        first, *others = _parameters(body)
        # A command's own options stand first in its help.
        options = [option for each in (*others, first) for option in _options(each)]
        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # Typer reads it, mypy does not
        run.__annotations__ = {each.name: each.annotation for each in options}
        run.__doc__ = _unwrapped(body.__doc__ or "")
        app.command(name)(run)
        return body

    return register


def _unwrapped(text: str) -> str:
    """Return a docstring whose paragraphs are a line each: a terminal wraps them at its own width."""
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in inspect.cleandoc(text).split("\n\n"))


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _shared(parameter: inspect.Parameter) -> Shared | None:
    if get_origin(parameter.annotation) is not Annotated:
        return None
    return next((each for each in parameter.annotation.__metadata__ if isinstance(each, Shared)), None)


def _options(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    shared = _shared(parameter)
    found = [parameter] if shared is None else _parameters(shared.make)
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in found]


def _maker(parameter: inspect.Parameter) -> Callable[[dict[str, Any]], Any]:
    shared = _shared(parameter)
    if shared is None:
        return lambda values: values[parameter.name]
    names = [each.name for each in _parameters(shared.make)]
    return lambda values: shared.make(**{name: values[name] for name in names})


def _finished(at: Desk, begin: Callable[[], Coroutine[Any, Any, ExitCode | None]]) -> int:
    """Run a command to its end; every error a person can make or meet becomes one message and an exit code."""
    try:
        return asyncio.run(begin()) or ExitCode.DONE
    except CommandError as error:
        at.complain(str(error))
        return error.code
    except RustokIggyError as error:
        at.complain("\n".join([str(error), *getattr(error, "__notes__", ())]))
        return exit_code_of(error)
    except KeyboardInterrupt:
        at.note("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has nowhere to go; without this the interpreter complains about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except Exception:  # noqa: BLE001 - the outermost frame: whatever comes here is a defect, and is shown whole
        traceback.print_exc()
        return ExitCode.DEFECT
