"""The simulation notices every mistake that is put into the engine on purpose, within a bounded number of seeds."""

import random

import pytest

from tests.model import planted_bugs as planted
from tests.model.history import Violation
from tests.model.planted_bugs import Plant
from tests.model.simulation import simulate

SEEDS = 100
"""Ten times and more what each took when it was planted."""
MANY_SEEDS = 5000

EASY: list[tuple[Plant, int, str]] = [
    # The bug, the seed to begin with, the promise it breaks.
    (planted.commit_before_handle, 0, "neither completed nor a letter"),
    (planted.watermark_over_an_open_delivery, 0, "neither completed nor a letter"),
    (planted.letter_after_the_commit, 0, "neither completed nor a letter"),
    (planted.lettered_events_run_live, 0, "ran live"),
    (planted.redrive_without_settlement, 0, "not done in time"),
    (planted.parked_tenants_forgotten, 0, "was completed before"),
    (planted.cancellation_is_success, 0, "neither completed nor a letter|was completed before"),
    (planted.window_kept_across_a_gain, 30, "neither completed nor a letter|was completed before"),
]
RARE: list[tuple[Plant, str]] = [
    (planted.overtaken_owners_count, ""),
    (planted.letters_count_unconfirmed, "neither completed nor a letter"),
    (planted.two_stores_in_flight, "back from|neither completed nor a letter"),
]


@pytest.mark.parametrize(("plant", "first", "promise"), EASY, ids=[plant.__name__ for plant, *_ in EASY])
def test_a_planted_bug_breaks_a_promise(
    plant: Plant, first: int, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        for seed in range(first, first + SEEDS):
            simulate(seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("plant", "promise"), RARE, ids=[plant.__name__ for plant, _ in RARE])
def test_a_bug_that_shows_seldom_breaks_a_promise(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = random.SystemRandom().randrange(10**9)
    print(f"seeds from {first} on")
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        for seed in range(first, first + MANY_SEEDS):
            simulate(seed)
