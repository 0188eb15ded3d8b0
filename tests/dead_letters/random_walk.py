"""Drives the journal machine by weights: hypothesis picks rules evenly, and long useful schedules are rare in that.

A walk is named by its seed; the same seed gives the same walk.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from rustok_iggy.dead_letters.records import Outcome

Draw = Callable[[Random], dict[str, Any]]


def which(random: Random) -> dict[str, Any]:
    return {"which": random.randint(0, 10)}


def nothing(random: Random) -> dict[str, Any]:
    return {}


def always(machine: Any) -> bool:
    return True


def someone_owns(machine: Any) -> bool:
    return bool(machine.owners)


# rule, weight, when it can be taken, its arguments
RULES: list[tuple[str, float, Callable[[Any], bool], Draw]] = [
    ("deal", 1.2, always, lambda r: {"member": r.choice("AB")}),
    ("make_the_group_again", 0.1, lambda m: m.generation > 2, nothing),
    ("claim", 2, lambda m: m.waiting, which),
    ("gain_again_in_the_same_generation", 0.4, someone_owns, which),
    ("next_event", 4, someone_owns, lambda r: {**which(r), "fails": r.random() < 0.6}),
    ("die_while_a_letter_is_in_flight", 0.3, someone_owns, which),
    ("redrive", 3, someone_owns, lambda r: {**which(r), "number": r.randint(1, 3), "outcome": r.choice(list(Outcome))}),
    ("read_on", 2, someone_owns, which),
    ("commit", 2, someone_owns, which),
    ("an_operator_resets_the_group", 0.4, always, lambda r: {"to": r.randint(-1, 12)}),
    ("the_committed_offset_goes_back", 0.3, always, lambda r: {"back": r.randint(1, 3)}),
    ("checkpoint", 1.2, someone_owns, which),
    ("pin", 0.7, someone_owns, which),
    ("leave", 0.3, someone_owns, which),
    ("ask", 0.5, always, lambda r: {"number": r.randint(1, 3)}),
    ("end", 0.7, someone_owns, lambda r: {**which(r), "number": r.randint(1, 3)}),
    ("a_copy_comes_late", 2.5, lambda m: m.world.log, lambda r: {"back": r.randint(0, 15)}),
    ("what_was_in_flight_arrives", 0.5, lambda m: m.in_flight, which),
]


def walk(machine: Any, *, seed: int, steps: int) -> None:
    """Take `steps` steps, checking every invariant after each. Raises AssertionError that names the seed."""
    random = Random(seed)
    for _ in range(steps):
        possible = [(name, weight, draw) for name, weight, can, draw in RULES if can(machine)]
        name, _, draw = random.choices(possible, [weight for _, weight, _ in possible])[0]
        try:
            getattr(machine, name)(**draw(random))
            machine.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}, after {len(machine.world.log)} records, in {name}")
            raise
