"""docs/reference/api*.md: every public name with its signature, its fields and what its docstring says."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from tools.reference_configuration import parts
from tools.source_docs import Signature, constructor, docstring, fields_of, is_ours, signature

# Section -> the modules whose names stand in it. A name of another module stands under OTHERS.
TRANSPORT_SECTIONS: dict[str, tuple[str, ...]] = {
    "Transport": ("transport", "iggy_transport", "transport_statistics", "lifespan"),
    "Events": ("envelope", "catalog", "events", "validation", "serialization"),
    "Configuration": ("config",),
    "Publishing": ("backpressure", "publish_results", "publish_queue", "publish_lane"),
    "Consuming": ("consumer",),
    "Dead letters": ("dead_letters",),
    "Replay": ("replay",),
    "Topology and groups": ("topology", "consumer_groups"),
    "Health and metrics": ("health", "health_app", "health_server", "metrics", "tracing"),
    "Events within one process": ("bus", "dispatcher"),
}
CONNECTOR_SECTIONS: dict[str, tuple[str, ...]] = {
    "Contracts": ("connector", "factory"),
    "Connectors": ("remote", "embedded", "memory"),
    "Values": ("models",),
    "Configuration": ("config", "retry"),
    "Logging": ("logging",),
}
TESTING_SECTIONS: dict[str, tuple[str, ...]] = {"The test kit": ("testing",)}
OTHERS = "Others"
CONFIGURED = set(parts())
PUBLIC_NAMES = {
    name for package in ("rustok_iggy", "rustok_iggy_connector") for name in importlib.import_module(package).__all__
}
CODE_WIDTH = 100
# What a host may import beside `__all__` of the packages: module -> names.
BESIDE = {
    "rustok_iggy.health_app": ("health_app",),
    "rustok_iggy.health_server": ("serve_health",),
    "rustok_iggy.lifespan": ("lifespan",),
    "rustok_iggy.metrics": ("Exposure", "expose_metrics", "render_metrics"),
    "rustok_iggy.tracing.spans": ("OpenTelemetryTracing",),
}
HEADER = """# {title}

Written by `make reference` from the source. {about}
"""


def transport_page() -> str:
    """Return the page of rustok_iggy."""
    about = (
        "Import from `rustok_iggy` unless a name says otherwise. Errors: [errors](errors.md). What is published, polled"
        " and configured in terms of messages: [the connector](api-connector.md). For tests:"
        " [the test kit](api-testing.md)."
    )
    names = {f"rustok_iggy.{name}": value for name, value in public("rustok_iggy")}
    for module, beside in BESIDE.items():
        names |= {f"{module}.{name}": getattr(importlib.import_module(module), name) for name in beside}
    return page("API: rustok_iggy", about, names, TRANSPORT_SECTIONS, package="rustok_iggy")


def connector_page() -> str:
    """Return the page of rustok_iggy_connector."""
    about = "Import from `rustok_iggy_connector`. It knows messages and offsets, and nothing of events or tenants."
    names = {f"rustok_iggy_connector.{name}": value for name, value in public("rustok_iggy_connector")}
    return page("API: rustok_iggy_connector", about, names, CONNECTOR_SECTIONS, package="rustok_iggy_connector")


def testing_page() -> str:
    """Return the page of rustok_iggy.testing."""
    about = "Import from `rustok_iggy.testing`; the fixtures over it are in [the guide](../how-to/testing.md)."
    names = {f"rustok_iggy.testing.{name}": value for name, value in public("rustok_iggy.testing")}
    return page("API: rustok_iggy.testing", about, names, TESTING_SECTIONS, package="rustok_iggy")


def public(package: str) -> Iterator[tuple[str, Any]]:
    """Yield the names of `__all__`, without errors and signals: they have a page of their own."""
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if not (inspect.isclass(value) and issubclass(value, Exception)):
            yield name, value


def page(title: str, about: str, names: dict[str, Any], sections: dict[str, tuple[str, ...]], *, package: str) -> str:
    """Return a page: its names under their sections, in the order in which they were given."""
    placed: dict[str, list[str]] = {section: [] for section in (*sections, OTHERS)}
    for where, value in names.items():
        placed[_section(value, sections, package)].append("\n".join(_entry(where, value)))
    parts = [HEADER.format(title=title, about=about)]
    for section, entries in placed.items():
        if entries:
            parts += [f"## {section}\n", *entries]
    return "\n".join(parts).rstrip("\n") + "\n"


def _section(value: Any, sections: dict[str, tuple[str, ...]], package: str) -> str:
    module = str(getattr(value, "__module__", "")).removeprefix(f"{package}.")
    return next((name for name, rooms in sections.items() if module.partition(".")[0] in rooms), OTHERS)


def _entry(where: str, value: Any) -> Iterator[str]:
    module, _, name = where.rpartition(".")
    yield from (f"### {name}", "")
    if module not in {"rustok_iggy", "rustok_iggy_connector", "rustok_iggy.testing"}:
        yield from (f"`from {module} import {name}`", "")
    if inspect.isclass(value) and not is_ours(value):
        yield from (f"`{value.__module__}.{value.__qualname__}`, under the name that RusToK has for it.", "")
    elif inspect.isclass(value) and value.__module__.partition(".")[0] != where.partition(".")[0]:
        yield from (f"The connector's [{value.__name__}](api-connector.md#{value.__name__.lower()}).", "")
    elif inspect.isclass(value):
        yield from _class(value)
    elif inspect.isroutine(value):
        yield from _callable(value, name)
    else:
        yield from (f"`{value!r}`" if isinstance(value, int) else f"A `{type(value).__name__}`.", "")


def _class(kind: type) -> Iterator[str]:
    made = constructor(kind)
    if made is not None:
        yield from _code(made)
    yield from _prose(docstring(kind))
    base = next((each for each in kind.__mro__[1:] if is_ours(each) and each.__name__ in PUBLIC_NAMES), None)
    if base is not None:
        yield from (f"Has all of `{base.__name__}`.", "")
    if kind in CONFIGURED:
        yield from ("Its keys: [configuration](configuration.md).", "")
    else:
        yield from _members(kind) if issubclass(kind, enum.Enum) else _fields(kind)
    for name, member in _methods(kind):
        yield from (f"#### {name}", "")
        if isinstance(member, property):
            yield from (f"`{name}: {inspect.get_annotations(member.fget)['return']}`", "")  # type: ignore[arg-type]
            yield from _prose(docstring(member))
        else:
            yield from _callable(member, name)


def _members(kind: type[enum.Enum]) -> Iterator[str]:
    yield from ("| member | value | what |", "|---|---|---|")
    for field in fields_of(kind):
        yield f"| `{field.name}` | `{field.default}` | {_cell(field.description)} |"
    yield ""


def _fields(kind: type) -> Iterator[str]:
    found = [field for field in fields_of(kind) if field.type]
    if not found:
        return
    described = any(field.description for field in found)
    yield from (
        ("| field | type | default | what |", "|---|---|---|---|")
        if described
        else (
            "| field | type | default |",
            "|---|---|---|",
        )
    )
    for field in found:
        default = "" if field.default is None else f"`{_cell(field.default)}`"
        cells = [f"`{field.name}`", f"`{_cell(field.type)}`", default, *([_cell(field.description)] * described)]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that no base of ours has, in the order of the source.

    `problems` is how the parts of a configuration are checked together: IggyConfig.validate() is what to call.
    """
    inherited = {name for base in kind.__mro__[1:] if is_ours(base) for name in vars(base)}
    for name, member in vars(kind).items():
        if name.startswith("_") or name in inherited or name == "problems":
            continue
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(function, property) or (inspect.isfunction(function) and not _is_internal(function)):
            yield name, function


def _is_internal(function: Any) -> bool:
    """Whether it takes what only its own module can make."""
    return any(re.search(r": .*\b_[A-Z][a-z]", each) for each in signature(function, name="").parameters)


def _callable(value: Any, name: str) -> Iterator[str]:
    function = inspect.unwrap(value)
    yield from _code(signature(function, name=name))
    yield from _prose(docstring(function))


def _code(called: Signature) -> Iterator[str]:
    yield from ("```text", *called.lines(width=CODE_WIDTH), "```", "")


def _prose(text: str) -> Iterator[str]:
    """Yield a docstring as Markdown: what would be taken for HTML is kept from it, outside of code."""
    if text:
        yield from (re.sub(r"(`[^`]*`)|<", lambda found: found.group(1) or "&lt;", text), "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
