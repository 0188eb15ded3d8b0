"""Where a configuration comes from: files, environment, arguments. Merges them and turns plain values into parts.

Every function adds what is wrong to `problems` as `field.path: what is wrong` and goes on, so that all is reported.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_origin

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import fields

from rustok_iggy.errors import ConfigError

ENVIRONMENT_PREFIX = "RUSTOK_IGGY__"
TRANSPORT_VARIABLE = "RUSTOK_EVENT_TRANSPORT"
PROFILE_VARIABLE = "RUSTOK_ENV"
NESTING = ("settings", "rustok", "events", "iggy")
"""Where a RusToK application keeps these keys."""
MAX_FILE_BYTES = 1024 * 1024
"""A configuration is a few kilobytes; more is another file."""

_REFERENCE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Values that people coming from elsewhere write, and what to say to them.
_HINTS = {
    "bincode": "RusToK's bytes are Postcard today; use postcard",
    "outbox": "this version has no outbox, and nothing would relay its events; use iggy or memory",
}


def gather(
    path: str | Path | None,
    *,
    profile: str | None,
    environment: Mapping[str, str],
    arguments: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """Return all sources merged, still as plain values."""
    values: dict[str, Any] = {}
    for file in _files(path, profile, environment):
        _merge(values, _resolved(_read(file, problems), environment, "", problems))
    _merge(values, _from_environment(environment, problems))
    _merge(values, dict(arguments))
    return values


def fields_of(part: type[Struct], values: Mapping[str, Any], path: str, problems: list[str]) -> dict[str, Any]:
    """Return the arguments for `part`: every value converted to its field's type, unknown keys reported."""
    known = {field.name: field.type for field in fields(part)}
    found = {}
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        if key in known:
            found[key] = converted(value, known[key], where, problems)
        else:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            problems.append(f"{where}: unknown key" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    return found


def converted(value: Any, annotation: Any, path: str, problems: list[str]) -> Any:
    """Return `value` as a field of type `annotation` holds it, None when it is wrong."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return _part(value, annotation, path, problems)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _choice(value, annotation, path, problems)
    if isinstance(value, Path):
        value = str(value)
    if get_origin(annotation) is tuple and isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        # Not strict: the environment and `${NAME}` give text for numbers and switches.
        return msgspec.convert(value, annotation, strict=False)
    except msgspec.ValidationError as error:
        problems.append(f"{path}: {error}")
        return None


def _part(value: Any, part: type[Struct], path: str, problems: list[str]) -> Any:
    if isinstance(value, part):
        return value
    if value is None:
        value = {}  # a heading in YAML with nothing below it
    if not isinstance(value, Mapping):
        problems.append(f"{path}: holds further keys, not a single value")
        return None
    before = len(problems)
    found = fields_of(part, value, path, problems)
    if len(problems) > before:
        found = {name: each for name, each in found.items() if each is not None}
    try:
        return part(**found)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _choice(value: Any, choices: type[StrEnum], path: str, problems: list[str]) -> StrEnum | None:
    try:
        return choices(str(value).lower())
    except ValueError:
        hint = _HINTS.get(str(value).lower(), f"use one of {', '.join(choices)}")
        problems.append(f"{path}: {str(value)!r} is not supported; {hint}")
        return None


def _files(path: str | Path | None, profile: str | None, environment: Mapping[str, str]) -> list[Path]:
    if path is None:
        return []
    first = Path(path)
    named = profile or environment.get(PROFILE_VARIABLE)
    if not named:
        return [first]
    layer = first.with_name(f"{named}{first.suffix}")
    # RUSTOK_ENV is also set where a host has one file only; a profile in the code is meant.
    if profile is None and not layer.exists():
        return [first]
    return [first] if layer == first else [first, layer]


def _read(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            problems.append(f"{file}: has more than {MAX_FILE_BYTES} bytes; is it a configuration?")
            return {}
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{file}: is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{file}: is not TOML: {error}")
    except yaml.YAMLError as error:
        problems.append(f"{file}: is not YAML{_place(error)}")
    else:
        if isinstance(content, dict):
            return _unnested(content, file, problems)
        if content is not None:
            problems.append(f"{file}: holds no keys")
    return {}


def _place(error: yaml.YAMLError) -> str:
    """Say where, and not what stands there: it may be a password."""
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _unnested(content: dict[str, Any], file: Path, problems: list[str]) -> dict[str, Any]:
    """Return the keys of the transport, wherever in the file they stand."""
    if NESTING[0] not in content:
        return content
    inner: Any = content
    for name in NESTING[:-1]:
        inner = inner.get(name) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        problems.append(f"{file}: has no {'.'.join(NESTING)}")
        return {}
    values = inner.get(NESTING[-1])
    values = dict(values) if isinstance(values, dict) else {}
    if "transport" in inner:
        values["transport"] = inner["transport"]
    return values


def _resolved(value: Any, environment: Mapping[str, str], path: str, problems: list[str]) -> Any:
    """Return `value` with every `${NAME}` replaced."""
    if isinstance(value, dict):
        return {
            key: _resolved(each, environment, f"{path}.{key}" if path else str(key), problems)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_resolved(each, environment, f"{path}[{index}]", problems) for index, each in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(reference: re.Match[str]) -> str:
        escaped, name = reference.groups()
        if escaped:
            return reference.group()[1:]
        if name not in environment:
            problems.append(f"{path}: the environment variable {name} is not set")
            return ""
        return environment[name]

    return _REFERENCE.sub(replace, value)


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        *groups, name = variable[len(ENVIRONMENT_PREFIX) :].lower().split("__")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                problems.append(f"{variable}: {group} has a value of its own in another variable")
                inner = {}
        inner[name] = environment[variable]
    if TRANSPORT_VARIABLE in environment:
        values["transport"] = environment[TRANSPORT_VARIABLE]
    return values


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay `over` over `values`, group by group."""
    for key, value in over.items():
        below = values.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _merge(below, value)
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value
