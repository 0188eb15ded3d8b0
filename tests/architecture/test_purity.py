"""Rooms that decide do not act: no I/O, clock, randomness, await or log where the design says so."""

import ast
from collections.abc import Collection, Iterator

from tests.architecture.source_tree import Module, inside, modules, words
from tests.architecture.test_layers import LOCAL_SERVER, WIRE, assert_none

# What brings I/O, time, chance or logging into a module.
IMPURE_LIBRARIES = words(
    "anyio asyncio concurrent fcntl io logging multiprocessing os pathlib queue random secrets select selectors shutil"
    " signal socket sqlite3 ssl structlog subprocess sys tempfile threading time trio uuid warnings"
)
# The local server's rooms that act. All others decide: the time comes as an argument, sockets and disk stay outside.
ACTING = tuple(
    f"{LOCAL_SERVER}.{name}" for name in words("storage server connections dispatch broker handlers __main__")
)
DISK_LIBRARIES = words("fcntl msvcrt shutil sqlite3 tempfile")
DISK_METHODS = words(
    "fsync iterdir glob rglob mkdir open read_bytes read_text rmdir touch unlink write_bytes write_text"
)
ASYNC_NODES = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)


# A type, and nothing that makes one.
ALLOWED_NAMES = {("uuid", "UUID")}


def within(*rooms: str) -> Iterator[Module]:
    return (module for module in modules() if inside(module.name, *rooms))


def acting_or_waiting(names: Collection[str]) -> list[str]:
    """Where modules that only decide would act or wait; `names` are all there."""
    chosen = [module for module in modules() if module.name in names]
    assert len(chosen) == len(names)
    imports = [
        f"{module.at(found.line)}: imports {found.module}"
        for module in chosen
        for found in module.imports()
        if found.module.partition(".")[0] in IMPURE_LIBRARIES and (found.module, found.name) not in ALLOWED_NAMES
    ]
    waits = [
        f"{module.at(node.lineno)}: {type(node).__name__}"
        for module in chosen
        for node in ast.walk(module.tree)
        if isinstance(node, ASYNC_NODES)
    ]
    return imports + waits


def deciding() -> Iterator[Module]:
    return (module for module in within(WIRE, LOCAL_SERVER) if not inside(module.name, *ACTING))


def test_what_decides_is_pure() -> None:
    assert_none(
        [
            f"{module.at(found.line)}: {module.name} imports {found.module}"
            for module in deciding()
            for found in module.imports()
            if found.module.partition(".")[0] in IMPURE_LIBRARIES
        ]
    )


def test_the_wire_never_waits() -> None:
    assert_none([*waits(within(WIRE))])


def test_only_server_py_waits_in_the_local_server() -> None:
    waiting = (f"{LOCAL_SERVER}.server",)
    assert_none([*waits(module for module in within(LOCAL_SERVER) if not inside(module.name, *waiting))])


def waits(chosen: Iterator[Module]) -> Iterator[str]:
    for module in chosen:
        for node in ast.walk(module.tree):
            if isinstance(node, ASYNC_NODES):
                yield f"{module.at(node.lineno)}: {type(node).__name__}"


def test_only_storage_py_touches_disk_in_the_local_server() -> None:
    storing = (f"{LOCAL_SERVER}.storage",)
    assert_none(
        [
            problem
            for module in within(LOCAL_SERVER)
            if not inside(module.name, *storing)
            for problem in [*disk_imports(module), *disk_calls(module)]
        ]
    )


def disk_imports(module: Module) -> Iterator[str]:
    for found in module.imports():
        if found.module in DISK_LIBRARIES:
            yield f"{module.at(found.line)}: imports {found.module}"


def disk_calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{module.at(node.lineno)}: open()"
        elif isinstance(node.func, ast.Attribute) and node.func.attr in DISK_METHODS:
            yield f"{module.at(node.lineno)}: .{node.func.attr}()"
