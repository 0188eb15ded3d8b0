"""Compares what happened with what a test expects; a failure prints what a person needs to see the difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from rustok_iggy.dead_letters.letters import DeadLetterSummary
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.testing.history import (
    Attempt,
    History,
    Outcome,
    Wanted,
    describe,
    describe_error,
    type_name,
)

SHOWN = 20
"""Lines of what happened instead; a person reads no more of them."""


def check_times(found: Sequence[object], times: int | None, *, expected: str, instead: Iterable[str]) -> None:
    """Raise AssertionError unless there are `times` of them; None: at least one."""
    __tracebackhide__ = True  # pytest shows the test's own line last
    if found if times is None else len(found) == times:
        return
    count = "at least once" if times is None else f"{times} times"
    raise AssertionError("\n".join([f"expected {expected} {count}, found {len(found)}", *_shortened(instead)]))


def wanted_name(wanted: Wanted | None, tenant_id: UUID | None) -> str:
    """Name what an expectation means."""
    if isinstance(wanted, EventEnvelope):
        return describe(wanted)
    what = "any event" if wanted is None else type_name(wanted)
    return what if tenant_id is None else f"{what} of tenant {tenant_id}"


def published_lines(history: History) -> Iterator[str]:
    """Say what was published."""
    for each in history.publications:
        yield f"published: {describe(each.envelope)}{'' if each.confirmation else ', not confirmed'}"


def call_lines(calls: Iterable[Attempt]) -> Iterator[str]:
    """Say which handlers were called with what, and how that ended."""
    for each in calls:
        line = f"group {each.group}, {each.handler}: {each.outcome} {describe(each.envelope)}"
        if each.outcome is Outcome.FAILED and each.error is not None:
            line += f" with {describe_error(each.error)}"
        yield line


def letter_lines(letters: Iterable[DeadLetterSummary]) -> Iterator[str]:
    """Say which dead letters there are, and why."""
    for each in letters:
        yield (
            f"dead letter: {each.event_type} {each.event_id} of tenant {each.tenant_id},"
            f" {each.cause} ({each.error_type})"
        )


def letters_of(
    letters: Iterable[DeadLetterSummary], wanted: Wanted | None, *, tenant_id: UUID | None
) -> list[DeadLetterSummary]:
    """Select letters as events are selected."""
    return [
        each for each in letters if tenant_id in {None, each.tenant_id} and (wanted is None or _is_letter(each, wanted))
    ]


def check_order(history: History, *, group: str) -> None:
    """Raise AssertionError unless each tenant's events were first handled in the order in which they were published.

    Events that were not handled, or that this test did not publish, are passed over.
    """
    __tracebackhide__ = True
    rank = {each.envelope.id: number for number, each in enumerate(history.publications)}
    tenants: dict[UUID, list[EventEnvelope]] = {}
    seen: set[UUID] = set()
    for envelope in history.handled(group=group):
        if envelope.id in rank and envelope.id not in seen:
            seen.add(envelope.id)
            tenants.setdefault(envelope.tenant_id, []).append(envelope)
    for tenant_id, handled in tenants.items():
        ordered = sorted(handled, key=lambda each: rank[each.id])
        if handled != ordered:
            lines = _difference(ordered, handled)
            raise AssertionError("\n".join([f"group {group} handled tenant {tenant_id} out of order", *lines]))


def _difference(published: Sequence[EventEnvelope], handled: Sequence[EventEnvelope]) -> Iterator[str]:
    first = next(number for number, (one, other) in enumerate(zip(published, handled, strict=True)) if one != other)
    yield f"the first {first} agree; then, as published | as handled:"
    pairs = zip(published[first:], handled[first:], strict=True)
    yield from _shortened(f"{one.event_type} {one.id} | {other.event_type} {other.id}" for one, other in pairs)


def _is_letter(letter: DeadLetterSummary, wanted: Wanted) -> bool:
    if isinstance(wanted, EventEnvelope):
        return letter.event_id == wanted.id
    return letter.event_type == type_name(wanted)


def _shortened(lines: Iterable[str]) -> Iterator[str]:
    rest = list(lines)
    if not rest:
        yield "  nothing of the kind happened at all"
    yield from (f"  {line}" for line in rest[:SHOWN])
    if len(rest) > SHOWN:
        yield f"  and {len(rest) - SHOWN} more"
