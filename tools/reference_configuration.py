"""docs/reference/configuration.md: every key of IggyConfig, as its Structs and their descriptions have it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import NODEFAULT, FieldInfo, fields

from rustok_iggy import IggyConfig
from rustok_iggy.config_sources import ENVIRONMENT_PREFIX, NESTING, PROFILE_VARIABLE, TRANSPORT_VARIABLE
from tools.source_docs import docstring, fields_of

# How a name ends, and the unit that this means everywhere.
UNITS = {
    **dict.fromkeys(("_timeout", "_interval", "_delay", "_after"), "seconds"),
    "_bytes": "bytes",
    "_days": "days",
    "_gb": "GiB",
    "_threshold": "share, 0 to 1",
    "_port": "TCP port",
}
WORDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}
INTRODUCTION = f"""# Configuration

Written by `make reference` from the classes themselves.

`IggyConfig()` has the defaults; `IggyConfig.load("iggy.yaml")` reads a YAML or TOML file. What a file says is
overridden by the environment, that by arguments of `load`. All problems are reported at once, as one `ConfigError`,
before anything connects; an unknown key is one of them.

- A file has the keys at its top, or under `{".".join(NESTING)}`, where a RusToK application keeps them.
- With `profile="production"`, or `{PROFILE_VARIABLE}=production`, the file `production.yaml` beside it lies over it.
- `${{NAME}}` in a value is replaced from the environment, and a missing variable is an error; `$${{` stands for `${{`.
- In the environment a list is separated by commas: `{ENVIRONMENT_PREFIX}REMOTE__ADDRESSES=a:8090,b:8090`. Words that
  switch are `true` and `false`.
- `{TRANSPORT_VARIABLE}` sets `transport`.
- The name of a variable is `{ENVIRONMENT_PREFIX}` and the key in capital letters, with `__` for each dot.
- Only the part of the mode in use is checked: what `remote` says is of no matter in mode embedded.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *_part(IggyConfig, ()), ""])


def keys(part: type[Struct] = IggyConfig, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every key with a value of its own: its path and its field."""
    for field in fields(part):
        if _is_part(field.type):
            yield from keys(field.type, (*path, field.name))
        else:
            yield (*path, field.name), field


def parts(part: type[Struct] = IggyConfig) -> Iterator[type[Struct]]:
    """Yield IggyConfig and all parts of it."""
    yield part
    for field in fields(part):
        if _is_part(field.type):
            yield from parts(field.type)


def variable(path: tuple[str, ...]) -> str:
    """Return the environment variable that sets a key."""
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


def _part(part: type[Struct], path: tuple[str, ...]) -> Iterator[str]:
    descriptions = {field.name: field.description for field in fields_of(part)}
    if path:
        yield from (f"\n## {'.'.join(path)}", "", docstring(part), "")
    else:
        yield from ("## The top", "", docstring(part), "")
    yield from ("| key | type | default | what it is, and its variable |", "|---|---|---|---|")
    for field in fields(part):
        if not _is_part(field.type):
            yield _row((*path, field.name), field, descriptions[field.name])
    for field in fields(part):
        if _is_part(field.type):
            yield from _part(field.type, (*path, field.name))


def _row(path: tuple[str, ...], field: FieldInfo, description: str) -> str:
    kind = ", ".join(filter(None, (_type(field.type), _unit(path[-1]))))
    return f"| `{path[-1]}` | {kind} | `{_default(field)}` | {description}<br>`{variable(path)}` |"


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)


def _type(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{choice}`" for choice in annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {_type(get_args(annotation)[0])}"
    if isinstance(annotation, UnionType):
        return " or ".join(map(_type, get_args(annotation)))
    return WORDS[annotation]


def _default(field: FieldInfo) -> str:
    assert field.default is not NODEFAULT, f"{field.name}: every key has a default"
    return msgspec.json.encode(field.default).decode()


def _unit(name: str) -> str:
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
