"""The simulation notices every mistake that is put into the engine on purpose, within a bounded number of seeds."""

import pytest

from tests.model import planted_bugs as planted
from tests.model.history import Violation
from tests.model.planted_bugs import Plant
from tests.model.simulation import Kind, simulate

SEEDS = 300
"""Several times what the slowest takes; each begins where it was seen soon."""

PLANTED: list[tuple[Plant, int, str]] = [
    # The bug, the seed to begin with, the promise it breaks.
    (planted.commit_before_handle, 0, "neither completed nor a letter"),
    (planted.watermark_over_an_open_delivery, 0, "neither completed nor a letter"),
    (planted.letter_after_the_commit, 32, "neither completed nor a letter"),
    (planted.overtaken_owners_count, 60, "neither completed nor a letter|was completed before|not done in time"),
    (planted.lettered_events_run_live, 16, "ran live"),
    (planted.redrive_without_settlement, 1, "not done in time"),
    (planted.parked_tenants_forgotten, 10, "was completed before"),
    (planted.cancellation_is_success, 0, "neither completed nor a letter|was completed before"),
    (planted.window_kept_across_a_gain, 20, "neither completed nor a letter|was completed before"),
    (planted.clean_up_within_the_task, 38, "spins: "),
]
PLANTED_IN: list[tuple[Plant, Kind, int, str]] = [
    # Seen in one of thirty worlds of this kind, and in one of several hundreds of all kinds.
    (planted.letters_not_read_back, Kind.FLUTTERING, 10, "neither completed nor a letter"),
    (planted.stores_side_by_side, Kind.CROWDED, 5, "moved . back"),
]


@pytest.mark.parametrize(("plant", "first", "promise"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])
def test_a_planted_bug_breaks_a_promise(
    plant: Plant, first: int, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        for seed in range(first, first + SEEDS):
            simulate(seed)


@pytest.mark.parametrize(
    ("plant", "kind", "first", "promise"), PLANTED_IN, ids=[plant.__name__ for plant, *_ in PLANTED_IN]
)
def test_a_planted_bug_of_rare_sequences_breaks_a_promise_where_they_are_frequent(
    plant: Plant, kind: Kind, first: int, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        for seed in range(first, first + SEEDS):
            simulate(seed, kind=kind)
