"""Which event types there are: type name ↔ class ↔ schema version ↔ variant index, and how old versions are read.

A catalogue is closed and ordered, because Postcard writes an event as its index in it: append new types at the end,
never remove or reorder. The order is the order of declaration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import Struct

from rustok_iggy.errors import ConfigError, DecodeError, UnknownEventTypeError, UnsupportedVersionError

E = TypeVar("E", bound=Struct)
T = TypeVar("T")
Upcaster = Callable[[Any], Any]

MAX_EVENT_TYPE_LENGTH = 128
"""Fits a message header's 255 bytes with room for a prefix."""
MAX_VERSION = 2**16 - 1
"""schema_version is a u16 on the wire."""
_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_DECLARATION = "__event_declaration__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a class says of itself as an event: `invoice.paid`, its current schema version, and its name on the wire."""

    event_type: str
    version: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """One row of a catalogue. `variant` is the index that Postcard writes, `name` the JSON `type`."""

    event_type: str
    version: int
    name: str
    variant: int
    event_class: type[Struct]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingPlan:
    """How one version of one event type is read: decode as `schema`, then run `steps` in order."""

    spec: EventSpec
    version: int
    schema: type[Any]
    steps: tuple[Upcaster, ...]

    def lift(self, value: Any, *, format: str) -> Struct:
        """Lift a value of `schema` to the current version. Raises DecodeError when an upcaster fails."""
        for step in self.steps:
            try:
                value = step(value)
            except Exception as error:  # noqa: BLE001 - user code; whatever it raises, this event cannot be read
                # The error's text may show the event's content, so only its kind is passed on.
                name = getattr(step, "__qualname__", type(step).__qualname__)
                raise DecodeError(
                    f"{self.spec.event_type}: upcaster {name} raised {type(error).__name__}", format=format
                ) from None
        if type(value) is not self.spec.event_class:
            raise DecodeError(f"{self.spec.event_type}: its upcasters end in {type(value).__name__}", format=format)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    schema: type[Any]
    to_version: int
    apply: Upcaster


def declared(event_class: type) -> Declaration:
    """Return what the class was declared as. Raises UnknownEventTypeError when it was not."""
    # vars, not getattr: a subclass of an event is not that event.
    declaration = vars(event_class).get(_DECLARATION)
    if declaration is None:
        name = event_class.__qualname__
        raise UnknownEventTypeError(
            f"{name} is not an event: declare it with @catalog.event('noun.verb')", event_type=name
        )
    return declaration  # type: ignore[no-any-return]  # vars() of a class is untyped


class EventCatalog:
    """An ordered set of event types.

    `extends` starts it with all types of another catalogue, at the same indices; declare that one completely first.
    Declaring is for import time; `check()` when everything is declared.
    """

    def __init__(self, name: str, *, extends: EventCatalog | None = None) -> None:
        self.name = name
        self._specs: list[EventSpec] = [] if extends is None else list(extends)
        self._by_type = {spec.event_type: spec for spec in self._specs}
        self._by_class: dict[type, EventSpec] = {spec.event_class: spec for spec in self._specs}
        self._steps: dict[tuple[str, int], _Step] = {} if extends is None else dict(extends._steps)

    def __len__(self) -> int:
        return len(self._specs)

    def __iter__(self) -> Iterator[EventSpec]:
        """Yield the rows in the order of their variant index."""
        return iter(self._specs)

    def __contains__(self, event_type: object) -> bool:
        return event_type in self._by_type

    def __repr__(self) -> str:
        return f"EventCatalog({self.name!r}, {len(self)} event types)"

    def event(self, event_type: str, *, version: int = 1, name: str | None = None) -> Callable[[type[E]], type[E]]:
        """Declare a msgspec Struct as an event type, at the next variant index.

        `version` is its current schema version; `name` is its name on the wire (default: the class's). Raises
        ConfigError for a bad or taken name, or a class whose JSON would not be one object with all its fields.
        """

        def declare(event_class: type[E]) -> type[E]:
            declaration = Declaration(event_type=event_type, version=version, name=name or event_class.__name__)
            problems = [*self._problems(declaration), *_class_problems(event_class, declaration)]
            if problems:
                raise ConfigError(f"{self.name}.{event_type}: {problem}" for problem in problems)
            setattr(event_class, _DECLARATION, declaration)
            self._add(declaration, event_class)
            return event_class

        return declare

    def upcaster(
        self, event_type: str, *, version: int, schema: type[T], to_version: int | None = None
    ) -> Callable[[Callable[[T], Any]], Callable[[T], Any]]:
        """Declare how `version` of an event type becomes `to_version` (default: the next one).

        Bytes of that version are decoded as `schema`, a Struct with that version's fields; the function returns a
        value of the schema of `to_version`. It must be pure: replay runs it again. A step cannot lead to the same or
        a lower version, so chains have no cycles; `check()` finds their gaps.
        """
        target = version + 1 if to_version is None else to_version

        def add(function: Callable[[T], Any]) -> Callable[[T], Any]:
            field = f"{self.name}.{event_type}"
            if (event_type, version) in self._steps:
                raise ConfigError([f"{field}: version {version} has an upcaster already"])
            if not 1 <= version < target <= MAX_VERSION:
                raise ConfigError([f"{field}: an upcaster leads to a higher version, not from {version} to {target}"])
            self._steps[event_type, version] = _Step(schema=schema, to_version=target, apply=function)
            return function

        return add

    def check(self) -> None:
        """Raise ConfigError with every upcaster that leads nowhere. Serializers call it when they are made."""
        problems = []
        for (event_type, version), step in sorted(self._steps.items(), key=lambda item: item[0]):
            spec = self._by_type.get(event_type)
            if spec is None:
                problems.append(f"{self.name}.{event_type}: an upcaster for an event type that is not declared")
            elif step.to_version > spec.version:
                problems.append(
                    f"{self.name}.{event_type}: the upcaster from version {version} leads to {step.to_version},"
                    f" above the current version {spec.version}"
                )
            elif step.to_version < spec.version and (event_type, step.to_version) not in self._steps:
                problems.append(
                    f"{self.name}.{event_type}: the upcaster from version {version} leads to {step.to_version},"
                    f" from which none goes on to {spec.version}"
                )
        if problems:
            raise ConfigError(problems)

    def by_type(self, event_type: str) -> EventSpec:
        """Return the row of `invoice.paid`. Raises UnknownEventTypeError."""
        spec = self._by_type.get(event_type)
        if spec is None:
            raise UnknownEventTypeError(
                f"event type {printable(event_type)} is not in the {self.name} catalogue", event_type=event_type
            )
        return spec

    def by_class(self, event_class: type) -> EventSpec:
        """Return the row of an event's class. Raises UnknownEventTypeError."""
        spec = self._by_class.get(event_class)
        if spec is None:
            name = event_class.__qualname__
            raise UnknownEventTypeError(
                f"{name} is not in the {self.name} catalogue: declare it with @catalog.event('noun.verb')"
                " and give the transport that catalogue",
                event_type=name,
            )
        return spec

    def reading_plan(self, event_type: str, version: int) -> ReadingPlan:
        """Say how a version is read. Raises UnknownEventTypeError, UnsupportedVersionError."""
        spec = self.by_type(event_type)
        schema: type[Any] = spec.event_class
        steps: list[Upcaster] = []
        reached = version
        while reached != spec.version:
            step = self._steps.get((event_type, reached))
            if step is None:
                raise self._unsupported(spec, version)
            if not steps:
                schema = step.schema
            steps.append(step.apply)
            reached = step.to_version
        return ReadingPlan(spec=spec, version=version, schema=schema, steps=tuple(steps))

    def reading_plans(self) -> Iterator[ReadingPlan]:
        """Yield a plan for every version of every event type that can be read."""
        for spec in self._specs:
            for version in self._versions(spec):
                yield self.reading_plan(spec.event_type, version)

    def _versions(self, spec: EventSpec) -> list[int]:
        return sorted({spec.version, *(v for event_type, v in self._steps if event_type == spec.event_type)})

    def _unsupported(self, spec: EventSpec, version: int) -> UnsupportedVersionError:
        supported = self._versions(spec)
        advice = "upgrade this service" if version > spec.version else "declare an upcaster"
        return UnsupportedVersionError(
            f"{spec.event_type} version {version} cannot be read, only {', '.join(map(str, supported))}: {advice}",
            event_type=spec.event_type,
            version=version,
            supported=supported,
        )

    def _add(self, declaration: Declaration, event_class: type[Struct]) -> None:
        spec = EventSpec(
            event_type=declaration.event_type,
            version=declaration.version,
            name=declaration.name,
            variant=len(self._specs),
            event_class=event_class,
        )
        self._specs.append(spec)
        self._by_type[spec.event_type] = spec
        self._by_class[event_class] = spec

    def _problems(self, declaration: Declaration) -> Iterator[str]:
        if not _EVENT_TYPE.fullmatch(declaration.event_type):
            yield "an event type is lower-case words joined by dots, as in invoice.paid"
        if len(declaration.event_type) > MAX_EVENT_TYPE_LENGTH:
            yield f"an event type has at most {MAX_EVENT_TYPE_LENGTH} characters"
        if not 1 <= declaration.version <= MAX_VERSION:
            yield f"a schema version is between 1 and {MAX_VERSION}"
        if declaration.event_type in self._by_type:
            yield "this event type is declared already"
        if any(spec.name == declaration.name for spec in self._specs):
            yield f"the name {declaration.name} is taken by another event type"


def _class_problems(event_class: type[Any], declaration: Declaration) -> Iterator[str]:
    if not issubclass(event_class, Struct):
        yield f"{event_class!r} is not a msgspec.Struct"
        return
    config = event_class.__struct_config__
    # The wire has one object of all fields, nulls included, and its own tag (RusToK's serde attributes).
    refused = {"array_like": config.array_like, "omit_defaults": config.omit_defaults, "tag": config.tag is not None}
    yield from (f"an event's Struct cannot use {option}" for option, used in refused.items() if used)
    earlier = vars(event_class).get(_DECLARATION, declaration)
    if earlier != declaration:
        yield f"{event_class.__name__} is declared as {earlier.event_type} version {earlier.version} already"


def printable(text: str) -> str:
    """Quote a name that came from outside: escaped, and cut to a length a log line can bear."""
    return ascii(text if len(text) <= MAX_EVENT_TYPE_LENGTH else text[:MAX_EVENT_TYPE_LENGTH] + "…")
