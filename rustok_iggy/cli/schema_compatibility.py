"""Whether what one catalogue writes can be read with another: two exports compared. Pure.

BACKWARD: what was written with the saved catalogue can be read with this one. FORWARD: what is written with this one
can be read with the saved one. FULL: both. New event types are compatible: a service that does not know a type has no
handler for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rustok_iggy.cli.schema_documents import FORMAT, TABLE

# Keyword → whether a reader's value takes everything the writer's does; a keyword only the reader has narrows it.
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EQUAL = ("pattern", "format", "multipleOf", "contentEncoding")


class Mode(StrEnum):
    """In which direction."""

    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    FULL = "FULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incompatibility:
    """What cannot be read: by whom (this catalogue or the saved one), of which event type, and why."""

    direction: Mode
    event_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """One export: its rows by event type, and the whole document, which references point into."""

    document: Mapping[str, Any] = field(repr=False)

    @property
    def events(self) -> dict[str, Mapping[str, Any]]:
        """Event type → row. Raises ValueError when the document is no export."""
        table = self.document.get(TABLE)
        if not isinstance(table, Mapping) or table.get("format") != FORMAT or not isinstance(table.get("events"), list):
            raise ValueError(f"no export of `rustok-iggy schema export` (it has no {TABLE} table of format {FORMAT})")
        return {row["event_type"]: row for row in table["events"]}

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a reference points to. Raises ValueError when it points to nothing."""
        while "$ref" in schema:
            found: Any = self.document
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                if not isinstance(found, Mapping) or part not in found:
                    raise ValueError(f"{schema['$ref']} points to nothing")
                found = found[part]
            schema = found
        return schema


def incompatibilities(saved: Exported, current: Exported, mode: Mode, *, positional: bool) -> list[Incompatibility]:
    """Return everything that cannot be read. `positional`: also for Postcard, which writes no names.

    Raises ValueError when one is no export.
    """
    found: list[Incompatibility] = []
    if mode in {Mode.BACKWARD, Mode.FULL}:
        found += _unreadable(current, saved, Mode.BACKWARD, positional=positional)
    if mode in {Mode.FORWARD, Mode.FULL}:
        found += _unreadable(saved, current, Mode.FORWARD, positional=positional)
    return found


def added(saved: Exported, current: Exported) -> list[str]:
    """Return event types that the saved export does not have."""
    return sorted(current.events.keys() - saved.events.keys())


def _unreadable(reader: Exported, writer: Exported, mode: Mode, *, positional: bool) -> Iterator[Incompatibility]:
    readers = reader.events
    for event_type, written in writer.events.items():
        read = readers.get(event_type)
        if read is None:
            # Of a new type nobody asks that older services read it; a removed one's events are still in the log.
            reasons: Iterable[str] = ["is no longer in the catalogue"] if mode is Mode.BACKWARD else []
        else:
            reasons = _reasons(reader, writer, read, written, positional=positional)
        yield from (Incompatibility(direction=mode, event_type=event_type, reason=reason) for reason in reasons)


def _reasons(
    reader: Exported, writer: Exported, read: Mapping[str, Any], written: Mapping[str, Any], *, positional: bool
) -> Iterator[str]:
    if read["name"] != written["name"]:
        yield f"is named {written['name']} on the wire in one and {read['name']} in the other"
    if positional and read["variant"] != written["variant"]:
        yield f"has index {written['variant']} in one and {read['variant']} in the other, and Postcard writes the index"
    if written["version"] not in read["readable_versions"]:
        versions = ", ".join(map(str, read["readable_versions"]))
        yield f"version {written['version']} cannot be read, only {versions}"
    elif written["version"] == read["version"]:
        shapes = Shapes(reader=reader, writer=writer)
        yield from shapes.differences(read["data"], written["data"], "data")
        if positional and not shapes.are_alike(read["data"], written["data"]):
            yield "has other fields under the same version, and Postcard writes them by position"


@dataclass(slots=True, kw_only=True)
class Shapes:
    """Compares two schemas, each in its own document. `seen` ends the recursion of types that contain themselves."""

    reader: Exported
    writer: Exported
    seen: set[tuple[str, str]] = field(default_factory=set)

    def differences(self, read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
        """Yield what the writer may write and the reader does not take."""
        names = str(read.get("$ref")), str(written.get("$ref"))
        if "$ref" in read and "$ref" in written:
            if names in self.seen:
                return
            self.seen.add(names)
        yield from self._resolved(self.reader.resolve(read), self.writer.resolve(written), path)

    def are_alike(self, read: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
        """Whether both have the same fields in the same order, all the way down."""
        return bool(_inlined(self.reader, read, ()) == _inlined(self.writer, written, ()))

    def _resolved(self, read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
        if "anyOf" in read or "anyOf" in written:
            yield from self._alternatives(read, written, path)
            return
        if "enum" in read or "const" in read:
            yield from _values(read, written, path)
            return
        missing = _types(written) - _types(read)
        if _types(read) and (missing or not _types(written)):
            yield f"{path}: may be {', '.join(sorted(missing)) or 'anything'}, and {_named(read)} is expected"
            return
        yield from _bounds(read, written, path)
        yield from self._object(read, written, path)
        yield from self._array(read, written, path)

    def _alternatives(self, read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
        for option in written.get("anyOf", [written]):
            fits = any(not list(self._fresh().differences(each, option, path)) for each in read.get("anyOf", [read]))
            if not fits:
                yield f"{path}: may be {_named(self.writer.resolve(option))}, which is not expected"

    def _fresh(self) -> Shapes:
        # An alternative that failed must not count as seen for the next one.
        return Shapes(reader=self.reader, writer=self.writer, seen=set(self.seen))

    def _object(self, read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
        expected, given = read.get("properties", {}), written.get("properties", {})
        for name in read.get("required", ()):
            if name not in written.get("required", ()):
                yield f"{path}.{name}: is required, and " + ("may be left out" if name in given else "is not written")
        for name in expected.keys() & given.keys():
            yield from self.differences(expected[name], given[name], f"{path}.{name}")
        if read.get("additionalProperties") is False:
            yield from (f"{path}.{name}: is not expected" for name in sorted(given.keys() - expected.keys()))
        values = read.get("additionalProperties"), written.get("additionalProperties")
        if isinstance(values[0], Mapping) and isinstance(values[1], Mapping):
            yield from self.differences(values[0], values[1], f"{path}.*")

    def _array(self, read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
        items = read.get("items"), written.get("items")
        if isinstance(items[0], Mapping) and isinstance(items[1], Mapping):
            yield from self.differences(items[0], items[1], f"{path}[]")
        for index, pair in enumerate(zip(read.get("prefixItems", ()), written.get("prefixItems", ()), strict=False)):
            yield from self.differences(*pair, f"{path}[{index}]")


def _types(schema: Mapping[str, Any]) -> set[str]:
    """Return the JSON types a schema takes, none when it takes all. Every integer is a number."""
    if "const" in schema or "enum" in schema:
        return {_type_of(value) for value in _listed(schema)}
    found = schema.get("type", ())
    types = {found} if isinstance(found, str) else set(found)
    return types | ({"integer"} if "number" in types else set())


def _type_of(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return kinds.get(type(value), "object")


def _listed(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema["enum"])


def _values(read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
    if "enum" not in written and "const" not in written:
        yield f"{path}: may be any {_named(written)}, and one of {len(_listed(read))} values is expected"
        return
    taken = _listed(read)
    unknown = [value for value in _listed(written) if value not in taken]
    if unknown:
        yield f"{path}: may be {', '.join(map(repr, unknown))}, which is not expected"


def _bounds(read: Mapping[str, Any], written: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in (*_LOWER, *_UPPER, *_EQUAL):
        wanted, given = read.get(name), written.get(name)
        if wanted is None or wanted == given:
            continue
        fits = given is not None and ((name in _LOWER and given >= wanted) or (name in _UPPER and given <= wanted))
        if not fits:
            yield f"{path}: {name} {wanted} is expected, and " + ("none" if given is None else str(given)) + " is kept"


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema.get("title") or schema.get("type") or "a value")


def _inlined(document: Exported, schema: Any, above: tuple[str, ...]) -> Any:
    """Return a schema without references, titles and descriptions; properties as pairs, since their order counts."""
    if isinstance(schema, list):
        return [_inlined(document, each, above) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"])
        if name in above:
            return above.index(name)  # a type that contains itself: how far up
        return _inlined(document, document.resolve(schema), (*above, name))
    kept = {
        name: each for name, each in schema.items() if name not in {"title", "description", "properties", "default"}
    }
    inlined: dict[str, Any] = {name: _inlined(document, each, above) for name, each in kept.items()}
    inlined["properties"] = [
        (name, _inlined(document, each, above)) for name, each in schema.get("properties", {}).items()
    ]
    return inlined
