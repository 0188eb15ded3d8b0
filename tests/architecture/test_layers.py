"""Who may import whom. A failure names the file and the line."""

import itertools
import sys
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, Import, Module, exported_names, inside, modules, target

CONNECTOR = "rustok_iggy_connector"
TRANSPORT = "rustok_iggy"
WIRE = f"{CONNECTOR}.wire"
LOCAL_SERVER = f"{CONNECTOR}.local_server"

# room -> what of ours it may import. A room that is not listed may import anything that another rule allows.
ALLOWED_IMPORTS = {
    f"{CONNECTOR}.errors": (),
    WIRE: (WIRE, f"{CONNECTOR}.errors"),
    LOCAL_SERVER: (LOCAL_SERVER, WIRE, f"{CONNECTOR}.errors"),
    f"{TRANSPORT}.health_check": (),
}
# third party -> the one room that may import it
OWNERS = {
    "apache_iggy": f"{CONNECTOR}._sdk",
    "structlog": f"{CONNECTOR}.logging",
    "tenacity": f"{CONNECTOR}.retry",
    "prometheus_client": f"{TRANSPORT}.metrics",
    "opentelemetry": f"{TRANSPORT}.tracing",
    "typer": f"{TRANSPORT}.cli",
    "rich": f"{TRANSPORT}.cli",
    "sqlalchemy": f"{TRANSPORT}.outbox",
}
# Only these two start a local server in their own process: the memory mode, and the server's own program.
LOCAL_SERVER_IMPORTERS = (f"{CONNECTOR}.memory", LOCAL_SERVER)


def imports_of_ours(*rooms: str) -> Iterator[tuple[Module, Import]]:
    for module in modules():
        if inside(module.name, *rooms):
            for found in module.imports():
                if inside(found.module, *PACKAGES):
                    yield module, found


def assert_none(problems: list[str]) -> None:
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_rooms_import_only_what_lies_below_them() -> None:
    assert_none(
        [
            f"{module.at(found.line)}: {room} may not import {target(found)}"
            for room, allowed in ALLOWED_IMPORTS.items()
            for module, found in imports_of_ours(room)
            if not inside(target(found), *allowed)
        ]
    )


def test_the_connector_knows_nothing_of_the_transport() -> None:
    assert_none(
        [
            f"{module.at(found.line)}: the connector imports {found.module}"
            for module, found in imports_of_ours(CONNECTOR)
            if inside(found.module, TRANSPORT)
        ]
    )


def test_the_transport_uses_only_public_names_of_the_connector() -> None:
    public = exported_names(CONNECTOR)
    assert_none(
        [
            f"{module.at(found.line)}: {found.module}: {found.name} is not in {CONNECTOR}.__all__"
            for module, found in imports_of_ours(TRANSPORT)
            if inside(found.module, CONNECTOR) and not (found.module == CONNECTOR and found.name in public)
        ]
    )


def test_only_the_memory_mode_runs_the_local_server_in_this_process() -> None:
    assert_none(
        [
            f"{module.at(found.line)}: starts no process, imports {target(found)}"
            for module, found in imports_of_ours(*PACKAGES)
            if inside(target(found), LOCAL_SERVER) and not inside(module.name, *LOCAL_SERVER_IMPORTERS)
        ]
    )


def test_each_third_party_library_has_one_owner() -> None:
    assert_none(
        [
            f"{module.at(found.line)}: only {OWNERS[library]} may import {library}"
            for module in modules()
            for found in module.imports()
            if (library := found.module.partition(".")[0]) in OWNERS and not inside(module.name, OWNERS[library])
        ]
    )


def test_the_wire_needs_no_third_party_but_xxhash() -> None:
    assert_none(
        [
            f"{module.at(found.line)}: wire imports {found.module}"
            for module in modules()
            if inside(module.name, WIRE)
            for found in module.imports()
            if found.module.partition(".")[0] not in {*sys.stdlib_module_names, *PACKAGES, "xxhash"}
        ]
    )


def test_no_import_cycles_also_not_for_types() -> None:
    graph = {module.name: {target(found) for found in module.imports()} - {module.name} for module in modules()}
    where = {(module.name, target(found)): module.at(found.line) for module in modules() for found in module.imports()}
    finished: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = (*path[path.index(name) :], name)
            steps = [f"{where[step]}: {step[0]} imports {step[1]}" for step in itertools.pairwise(cycle)]
            raise AssertionError("import cycle:\n" + "\n".join(steps))
        if name in finished or name not in graph:
            return
        for following in sorted(graph[name]):
            walk(following, (*path, name))
        finished.add(name)

    for name in sorted(graph):
        walk(name, ())
