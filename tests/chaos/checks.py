"""The promises of delivery.md, checked over what a chaos run left behind. Pure.

- Every confirmed event stands where its confirmation says, and was handled, or discarded by an operator.
- Per tenant the first completions, without the discarded, have the order in which the events were published.
- An event comes again only at a new owner, and only above the offset that was committed when that owner claimed.
- An event that is a dead letter does not run live at whoever takes over.
- letters = open + handled + discarded, and at the end none is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rustok_iggy.dead_letters.records import NOTHING_COMMITTED, Outcome
from tests.chaos.histories import Confirmed, Noted, What
from tests.chaos.stored import Claimed, JournalHistory, Stored

Event = tuple[int, int]
SHOWN = 5
"""Cases of each kind that a report spells out."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that a run left behind. `noted` in any order."""

    confirmed: Sequence[Confirmed]
    noted: Sequence[Noted]
    stored: Sequence[Stored]
    journal: JournalHistory

    def handled(self) -> list[Noted]:
        """Completions, by time."""
        return sorted((each for each in self.noted if each.what is What.HANDLED), key=lambda each: each.at)

    def of(self, event: Event) -> str:
        """Everything that is known of an event, for people."""
        lines = [f"tenant {event[0]}, number {event[1]}:"]
        lines += [f"  stored at {each.partition}/{each.offset}" for each in self.stored if each.event == event]
        for each in sorted(self.noted, key=lambda each: each.at):
            if each.event == event:
                redrive = f", redrive {each.redrive}" if each.redrive else ""
                lines.append(
                    f"  {each.at / 1e6:.3f} {each.what} by {each.process} at {each.partition}/{each.offset},"
                    f" generation {each.generation}{redrive}"
                )
        places = {(each.partition, each.offset) for each in self.stored if each.event == event}
        lines += [f"  letter {letter}" for place, letter in self.journal.letters.items() if place in places]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found: `violations` are broken promises, `numbers` what a person wants to see."""

    violations: list[str]
    numbers: dict[str, int]


@dataclass
class Check:
    """Collects what one kind of check finds, and spells out the first of it."""

    evidence: Evidence
    violations: list[str] = field(default_factory=list)

    def broken(self, what: str, events: Iterable[Event]) -> None:
        found = sorted(set(events))
        if not found:
            return
        shown = "\n".join(self.evidence.of(each) for each in found[:SHOWN])
        self.violations.append(f"{what}: {len(found)}\n{shown}")


def check(evidence: Evidence) -> Findings:
    """Check everything."""
    found = Check(evidence)
    handled = evidence.handled()
    discarded = discarded_events(evidence)
    confirmed = {each.event for each in evidence.confirmed}
    found.broken("confirmed, but not where the confirmation says", not_in_place(evidence))
    found.broken("lost: confirmed, neither handled nor discarded", confirmed - {e.event for e in handled} - discarded)
    found.broken("handled, but never published", {e.event for e in handled} - {e.event for e in evidence.stored})
    found.broken("stored in another order than published", stored_out_of_order(evidence))
    found.broken("order of a tenant broken", out_of_order(evidence, handled, discarded))
    found.broken("came again where it had been handled already", again_at_the_same_owner(evidence, handled))
    found.broken("came again although it was committed", again_below_the_commit(evidence))
    found.broken("ran live although it was a dead letter", live_in_spite_of_a_letter(evidence))
    found.violations += journal_violations(evidence.journal)
    return Findings(violations=found.violations, numbers=numbers(evidence, handled, discarded))


def not_in_place(evidence: Evidence) -> Iterator[Event]:
    places = {(each.partition, each.offset): each.event for each in evidence.stored}
    return (each.event for each in evidence.confirmed if places.get((each.partition, each.offset)) != each.event)


def stored_out_of_order(evidence: Evidence) -> Iterator[Event]:
    """Events whose first copy stands behind that of a later one of their tenant."""
    highest: dict[int, int] = {}
    for each in sorted(evidence.stored, key=lambda each: (each.partition, each.offset)):
        if each.number > highest.get(each.tenant, -1) + 1:
            yield each.event
        highest[each.tenant] = max(each.number, highest.get(each.tenant, -1))


def discarded_events(evidence: Evidence) -> set[Event]:
    places = {(letter.partition, letter.offset) for letter in evidence.journal.of_outcome(Outcome.DISCARDED)}
    return {each.event for each in evidence.stored if (each.partition, each.offset) in places}


def out_of_order(evidence: Evidence, handled: Sequence[Noted], discarded: set[Event]) -> Iterator[Event]:
    """Events whose first completion does not come in the order in which they were first stored, from the first on."""
    published: dict[int, list[int]] = {}
    for stored in sorted(evidence.stored, key=lambda each: (each.partition, each.offset)):
        if stored.event not in discarded:
            published.setdefault(stored.tenant, []).append(stored.number)
    completed: dict[int, list[int]] = {}
    for noted in handled:
        if noted.event not in discarded:
            completed.setdefault(noted.tenant, []).append(noted.number)
    for tenant, numbers in completed.items():
        expected = list(dict.fromkeys(published.get(tenant, ())))
        for found, wanted in zip(dict.fromkeys(numbers), expected, strict=False):
            if found != wanted:
                yield tenant, found
                yield tenant, wanted
                break


def again_at_the_same_owner(evidence: Evidence, handled: Sequence[Noted]) -> Iterator[Event]:
    """Events that one process handled twice under one claim: it knew that it had done them."""
    times = Counter((each.event, each.process, claim_of(evidence, each)) for each in handled)
    return (event for (event, *_), count in times.items() if count > 1)


def again_below_the_commit(evidence: Evidence) -> Iterator[Event]:
    """Live deliveries at or below the offset that was committed when their owner claimed."""
    for each in evidence.noted:
        claim = claim_of(evidence, each) if each.what is What.BEGAN and not each.redrive else None
        if claim is not None and each.offset <= claim.committed:
            yield each.event


def live_in_spite_of_a_letter(evidence: Evidence) -> Iterator[Event]:
    """Live deliveries of events that were letters already when their owner claimed (F3)."""
    for each in evidence.noted:
        letter = evidence.journal.letters.get((each.partition, each.offset))
        if letter is None or each.redrive or each.what is not What.BEGAN:
            continue
        claim = claim_of(evidence, each)
        if claim is not None and letter.position < claim.position:
            yield each.event


def claim_of(evidence: Evidence, noted: Noted) -> Claimed | None:
    """The last claim of a delivery's owner before it."""
    own = [claim for claim in evidence.journal.claims.get(noted.partition, ()) if claim.process == noted.process]
    return max((claim for claim in own if claim.at <= noted.at), key=lambda claim: claim.at, default=None)


def journal_violations(journal: JournalHistory) -> Iterator[str]:
    is_open = sum(1 for _ in journal.of_outcome(None))
    if is_open or journal.open_letters:
        yield f"letters left open: {is_open}, and {journal.open_letters} by the fold"
    if journal.open_requests:
        yield f"requests left open: {journal.open_requests}"


def numbers(evidence: Evidence, handled: Sequence[Noted], discarded: set[Event]) -> dict[str, int]:
    live = [each for each in handled if not each.redrive]
    redriven = [each for each in handled if each.redrive]
    journal = evidence.journal
    committed = [claim.committed for claims in journal.claims.values() for claim in claims]
    return {
        "events confirmed": len({each.event for each in evidence.confirmed}),
        "stored twice (repeated publishes)": len(evidence.stored) - len({each.event for each in evidence.stored}),
        "handled": len({each.event for each in handled}),
        "discarded": len(discarded),
        "came again live": len(live) - len({each.event for each in live}),
        "came again as a letter": len({e.event for e in redriven}) and _again(live, redriven),
        "most at one change of owner": most_at_once(handled),
        "letters": len(journal.letters),
        "letters handled": sum(1 for _ in journal.of_outcome(Outcome.HANDLED)),
        "letters discarded": sum(1 for _ in journal.of_outcome(Outcome.DISCARDED)),
        "redrives that failed again": sum(each.failed_again for each in journal.letters.values()),
        "claims": len(committed),
        "claims before anything was committed": sum(each == NOTHING_COMMITTED for each in committed),
        "records of overtaken owners": journal.void,
        "handlers cancelled": sum(each.what is What.CANCELLED for each in evidence.noted),
    }


def _again(live: Sequence[Noted], redriven: Sequence[Noted]) -> int:
    """Redriven completions of what had been completed before."""
    done = {each.event for each in live}
    return len(redriven) - len({each.event for each in redriven} - done)


def most_at_once(handled: Sequence[Noted]) -> int:
    """The most events that one owner handled of what an earlier one had handled."""
    seen: set[Event] = set()
    again: Counter[tuple[int, int, int]] = Counter()
    for each in handled:
        if each.event in seen:
            again[each.process, each.generation, each.partition] += 1
        seen.add(each.event)
    return max(again.values(), default=0)
