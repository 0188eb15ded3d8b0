"""What an event must satisfy before it is published. All problems are reported together, with field names.

Every event's fields are checked against their types. RusToK's events also follow RusToK's rules (rustok_rules.py); a
host's event states its own in a `validate` method (ValidateEvent).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple, fields

from rustok_iggy.catalog import declared
from rustok_iggy.checks import Check, check_for, check_id, check_moment, check_text, optional
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import UnknownEventTypeError, ValidationError
from rustok_iggy.events import RUSTOK
from rustok_iggy.integers import RANGES, U16, U32
from rustok_iggy.quick_checks import quick_test
from rustok_iggy.rustok_rules import FIELD_RULES, RELATIONS, TYPE_RULES

CACHED_CLASSES = 4096
"""Event classes whose checks are kept; more than any host declares."""

_RUSTOK_TYPES = {spec.event_class: spec.event_type for spec in RUSTOK}
_ENVELOPE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("id", check_id),
    ("tenant_id", check_id),
    ("correlation_id", check_id),
    ("causation_id", optional(check_id)),
    ("actor_id", optional(check_id)),
    ("trace_id", optional(check_text)),
    ("timestamp", check_moment),
    ("schema_version", check_for(U16)),
    ("retry_count", check_for(U32)),
)
_LARGEST_U16, _LARGEST_U32 = RANGES["u16"][1], RANGES["u32"][1]


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
    problems = [] if _is_sound(envelope) else _failures(envelope, _ENVELOPE_CHECKS)
    problems += _declaration_problems(envelope)
    of_event = event_problems(envelope.event)
    if of_event:
        problems += [f"event.{problem}" for problem in of_event]
    if problems:
        raise ValidationError(problems, event_type=envelope.event_type, event_id=envelope.id)


def validate_event(event: Struct) -> None:
    """Raise ValidationError with every problem of an event."""
    problems = event_problems(event)
    if problems:
        raise ValidationError(problems, event_type=declared(type(event)).event_type)


def event_problems(event: Struct) -> list[str]:
    """Return every problem of an event, each as `field: what is wrong`."""
    rules = _rules(type(event))
    if not rules.quick_test(*astuple(event)):
        problems = _failures(event, rules.checks)
        if problems:
            return problems  # what relates the fields relies on each being right
    return [] if rules.relate is None else rules.relate(event)


def _is_sound(envelope: EventEnvelope) -> bool:
    """Say yes only when _ENVELOPE_CHECKS have nothing to say: at a quarter of their cost, for nearly all envelopes."""
    event_id, tenant_id, correlation_id = envelope.id, envelope.tenant_id, envelope.correlation_id
    causation_id, actor_id, trace_id = envelope.causation_id, envelope.actor_id, envelope.trace_id
    timestamp, schema_version, retry_count = envelope.timestamp, envelope.schema_version, envelope.retry_count
    return (
        type(event_id) is type(tenant_id) is type(correlation_id) is UUID
        and bool(event_id.int and tenant_id.int and correlation_id.int)
        and (causation_id is None or (type(causation_id) is UUID and causation_id.int != 0))
        and (actor_id is None or (type(actor_id) is UUID and actor_id.int != 0))
        and (trace_id is None or type(trace_id) is str)
        and type(timestamp) is datetime
        and timestamp.tzinfo is not None
        and type(schema_version) is type(retry_count) is int
        and 0 <= schema_version <= _LARGEST_U16
        and 0 <= retry_count <= _LARGEST_U32
    )


def _failures(value: Any, checks: Iterable[tuple[str, Check]]) -> list[str]:
    problems = []
    for name, check in checks:
        problem = check(getattr(value, name))
        if problem is not None:
            problems.append(f"{name}: {problem}")
    return problems


def _declaration_problems(envelope: EventEnvelope) -> list[str]:
    try:
        declaration = declared(type(envelope.event))
    except UnknownEventTypeError as error:
        return [f"event: {error}"]
    problems = []
    if envelope.event_type != declaration.event_type:
        problems.append(f"event_type: is {declaration.event_type} for this event")
    if envelope.schema_version != declaration.version:
        problems.append(f"schema_version: is {declaration.version} for this event")
    return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _EventRules:
    """What is checked of the events of one class: field by field, and then what relates them."""

    quick_test: Callable[..., bool]
    checks: tuple[tuple[str, Check], ...]
    relate: Callable[[Any], list[str]] | None


@lru_cache(maxsize=CACHED_CLASSES)
def _rules(event_class: type[Struct]) -> _EventRules:
    event_type = _RUSTOK_TYPES.get(event_class)
    rules = {field.name: (field.type, _rule(event_type, field.name)) for field in fields(event_class)}
    return _EventRules(
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
