"""What an event must satisfy before it is published. All problems are reported together, with field names.

Every event's fields are checked against their types. RusToK's events also follow RusToK's rules (rustok_rules.py); a
host's event states its own in a `validate` method (ValidateEvent).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import astuple, fields

from rustok_iggy.catalog import declared
from rustok_iggy.checks import Check, check_for
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import UnknownEventTypeError, ValidationError
from rustok_iggy.events import RUSTOK
from rustok_iggy.integers import U16, U32
from rustok_iggy.quick_checks import quick_test
from rustok_iggy.rustok_rules import FIELD_RULES, RELATIONS, TYPE_RULES

CACHED_CLASSES = 4096
"""Event classes whose checks are kept; more than any host declares."""

_RUSTOK_TYPES = {spec.event_class: spec.event_type for spec in RUSTOK}
# What is held against the event's declaration is not looked at twice; the class does not say how wide its integers are.
_ENVELOPE_TYPES = {field.name: field.type for field in fields(EventEnvelope)} | {
    "event_type": object,
    "schema_version": U16,
    "event": object,
    "retry_count": U32,
}
_ENVELOPE_CHECKS = tuple((name, check_for(annotation)) for name, annotation in _ENVELOPE_TYPES.items())
_is_sound = quick_test((annotation, None) for annotation in _ENVELOPE_TYPES.values())


@runtime_checkable
class ValidateEvent(Protocol):
    """An event with rules of its own, beyond the types of its fields."""

    def validate(self) -> Iterable[str]:
        """Yield every problem as `field: what is wrong`, never with a value. The fields' types are right by then."""
        ...


def require_envelopes(given: Iterable[object]) -> None:
    """Raise ValidationError when anything else is among them, such as an event that nobody wrapped."""
    for kind in set(map(type, given)):
        if not issubclass(kind, EventEnvelope):
            advice = "wrap an event with EventEnvelope.new(tenant_id, event, actor_id=...)"
            raise ValidationError([f"{kind.__name__} is not an EventEnvelope; {advice}"])


def validate_envelope(envelope: EventEnvelope) -> None:
    """Raise ValidationError with every problem of an envelope and of its event, the event's as `event.field: ...`."""
    if type(envelope) is not EventEnvelope:
        require_envelopes([envelope])
    problems = [] if _is_sound(*astuple(envelope)) else _failures(envelope, _ENVELOPE_CHECKS)
    event = envelope.event
    try:
        rules = _rules(type(event))
    except UnknownEventTypeError as error:
        problems.append(f"event: {error}")
    else:
        if envelope.event_type != rules.event_type:
            problems.append(f"event_type: is {rules.event_type} for this event")
        if envelope.schema_version != rules.version:
            problems.append(f"schema_version: is {rules.version} for this event")
        of_event = rules.problems(event)
        if of_event:
            problems += [f"event.{problem}" for problem in of_event]
    if problems:
        raise ValidationError(problems, event_type=envelope.event_type, event_id=envelope.id)


def validate_event(event: Struct) -> None:
    """Raise ValidationError with every problem of an event, UnknownEventTypeError for what was not declared as one."""
    problems = event_problems(event)
    if problems:
        raise ValidationError(problems, event_type=declared(type(event)).event_type)


def event_problems(event: Struct) -> list[str]:
    """Return every problem of an event, each as `field: what is wrong`. Raises UnknownEventTypeError."""
    return _rules(type(event)).problems(event)


def _failures(value: Any, checks: Iterable[tuple[str, Check]]) -> list[str]:
    problems = ((name, check(getattr(value, name))) for name, check in checks)
    return [f"{name}: {problem}" for name, problem in problems if problem is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _EventRules:
    """What is checked of the events of one class: field by field, and then what relates them."""

    event_type: str
    version: int
    quick_test: Callable[..., bool]
    checks: tuple[tuple[str, Check], ...]
    relate: Callable[[Any], list[str]] | None

    def problems(self, event: Struct) -> list[str]:
        if not self.quick_test(*astuple(event)):
            return _failures(event, self.checks)  # what relates the fields relies on each being right
        return [] if self.relate is None else self.relate(event)


@lru_cache(maxsize=CACHED_CLASSES)
def _rules(event_class: type[Struct]) -> _EventRules:
    declaration = declared(event_class)
    event_type = _RUSTOK_TYPES.get(event_class)
    rules = {field.name: (field.type, _rule(event_type, field.name)) for field in fields(event_class)}
    return _EventRules(
        event_type=declaration.event_type,
        version=declaration.version,
        quick_test=quick_test(rules.values()),
        checks=tuple((name, _check(annotation, rule)) for name, (annotation, rule) in rules.items()),
        relate=_relate(event_type, event_class),
    )


def _rule(event_type: str | None, field: str) -> Check | None:
    return None if event_type is None else TYPE_RULES.get((event_type, field), FIELD_RULES.get(field))


def _check(annotation: Any, rule: Check | None) -> Check:
    type_check = check_for(annotation)
    if rule is None:
        return type_check

    def check(value: Any) -> str | None:
        problem = type_check(value)
        return rule(value) if problem is None and value is not None else problem

    return check


def _relate(event_type: str | None, event_class: type[Struct]) -> Callable[[Any], list[str]] | None:
    if event_type is None:
        return (lambda event: list(event.validate())) if hasattr(event_class, "validate") else None
    if event_type not in RELATIONS:
        return None
    holds, problem = RELATIONS[event_type]
    return lambda event: [] if holds(event) else [problem]
