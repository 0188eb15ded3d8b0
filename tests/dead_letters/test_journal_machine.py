"""Every reader of the journal comes to the same state, whoever wrote what in which order, wherever he began.

The machine runs owners that keep to the protocol under a group that is dealt anew at any moment: zombies, A → B → A,
the same owner again in one generation, a group made again, offsets that go back, late copies of anything. After every
step a fold from each pin and from each checkpoint that anybody could have stored equals the fold from the first record
and the naive reading of the rules. Then the machine itself is tested: it must catch each of the planted bugs.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.records import AnyRecord, Claim, Epoch, Letter, Outcome, Settlement
from rustok_iggy.dead_letters.snapshot import FoldedLetter, Snapshot
from tests.dead_letters.journal_records import (
    SOURCE,
    attempt,
    claim,
    epoch,
    letter,
    release,
    request,
    request_end,
    request_id,
    settlement,
)
from tests.dead_letters.naive_fold import naive_fold
from tests.dead_letters.owners import Owner, World
from tests.dead_letters.random_walk import walk

TENANTS = 2
REQUESTS = 3
STEPS = 60
index = st.integers(min_value=0, max_value=10)


class JournalMachine(RuleBasedStateMachine):
    journal_type: type[Journal] = Journal

    def __init__(self) -> None:
        super().__init__()
        self.world = World(journal_type=self.journal_type)
        self.topic = 0
        self.group_id = 1
        self.generation = 0
        self.waiting: list[Owner] = []
        self.owners: list[Owner] = []
        self.in_flight: list[AnyRecord] = []
        self.closed: set[int] = set()

    # The group

    @rule(member=st.sampled_from("AB"))
    def deal(self, member: str) -> None:
        """The server gives the partition to `member`, who reads the committed offset and will claim at some time."""
        self.generation += 1
        under = epoch(self.generation, member, group_id=self.group_id, topic=self.topic)
        self.waiting.append(Owner(epoch=under, journal=Journal(SOURCE), committed=self.world.committed))

    @precondition(lambda self: self.generation > 2)
    @rule()
    def make_the_group_again(self) -> None:
        self.group_id += 1
        self.generation = 0
        self.world.committed = -1

    @precondition(lambda self: self.group_id > 1)
    @rule()
    def make_the_topic_again(self) -> None:
        """Where nothing was noted that tells its log from the one before: its groups are counted from one again."""
        self.topic += 1
        self.group_id = 1
        self.generation = 0
        self.world.committed = -1

    @precondition(lambda self: self.waiting)
    @rule(which=index)
    def claim(self, which: int) -> None:
        owner = self.waiting.pop(which % len(self.waiting))
        self.world.gain(owner)
        assert owner.journal.snapshot() == self.world.truth.snapshot(), "an owner gained with another state"
        if not owner.journal.is_overtaken(owner.epoch):
            self.owners.append(owner)

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def gain_again_in_the_same_generation(self, which: int) -> None:
        owner = self.owners.pop(which % len(self.owners))
        self.waiting.append(Owner(epoch=owner.epoch, journal=Journal(SOURCE), committed=self.world.committed))

    # What owners do

    def owner(self, which: int) -> Owner:
        return self.owners[which % len(self.owners)]

    def open_letter(self, owner: Owner, which: int) -> FoldedLetter | None:
        letters = list(owner.journal.open_letters())
        return letters[which % len(letters)] if letters else None

    def next_letter(self, owner: Owner) -> Letter | None:
        offset = owner.next_offset
        owner.next_offset += 1
        return None if owner.journal.letter(offset) else letter(owner.epoch, offset, of=offset % TENANTS)

    @precondition(lambda self: self.owners)
    @rule(which=index, fails=st.booleans())
    def next_event(self, which: int, fails: bool) -> None:
        written = self.next_letter(self.owner(which))
        if written is not None and fails:
            self.world.append(written)

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def die_while_a_letter_is_in_flight(self, which: int) -> None:
        written = self.next_letter(self.owners.pop(which % len(self.owners)))
        if written is not None:
            self.in_flight.append(written)

    @precondition(lambda self: self.owners)
    @rule(which=index, number=st.integers(min_value=1, max_value=REQUESTS), outcome=st.sampled_from(Outcome))
    def redrive(self, which: int, number: int, outcome: Outcome) -> None:
        owner = self.owner(which)
        chosen = self.open_letter(owner, which)
        if chosen is None:
            return
        tried = chosen.attempts + 1
        self.world.append(attempt(owner.epoch, chosen.offset, tried, request=number))
        self.world.append(settlement(owner.epoch, chosen.offset, outcome, number=tried, request=number))
        self.world.read_on(owner)

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def read_on(self, which: int) -> None:
        owner = self.owner(which)
        self.world.read_on(owner)
        if owner.journal.is_overtaken(owner.epoch):
            self.owners.remove(owner)

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def commit(self, which: int) -> None:
        """The server takes offsets of the partition's owner only."""
        owner = self.owner(which)
        if owner.epoch.rank == (self.topic, self.group_id, self.generation):
            self.world.committed = owner.committed = max(owner.committed, owner.next_offset - 1)

    @rule(to=st.integers(min_value=-1, max_value=12))
    def an_operator_resets_the_group(self, to: int) -> None:
        """It has no members then; whoever thinks that it is one goes on all the same."""
        self.generation += 1
        self.world.committed = min(to, max([owner.next_offset - 1 for owner in self.owners], default=-1))
        under = epoch(self.generation, "ops", group_id=self.group_id, topic=self.topic)
        self.world.append(replace(claim(under, committed=self.world.committed), resets=True))
        self.closed = {offset for offset in self.closed if offset <= self.world.committed}
        for owner in self.owners:
            self.world.read_on(owner)
            assert owner.journal.is_overtaken(owner.epoch), "a stranger thinks it goes on"

    @rule(back=st.integers(min_value=1, max_value=3))
    def the_committed_offset_goes_back(self, back: int) -> None:
        self.world.committed = max(-1, self.world.committed - back)

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def checkpoint(self, which: int) -> None:
        self.world.write_checkpoint(self.owner(which))

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def pin(self, which: int) -> None:
        self.world.pin = self.owner(which).journal.pin

    @precondition(lambda self: self.owners)
    @rule(which=index)
    def leave(self, which: int) -> None:
        owner = self.owners.pop(which % len(self.owners))
        assert owner.position is not None
        self.world.append(release(owner.epoch, closes=owner.position))

    @rule(number=st.integers(min_value=1, max_value=REQUESTS))
    def ask(self, number: int) -> None:
        self.world.append(request(number))

    @precondition(lambda self: self.owners)
    @rule(which=index, number=st.integers(min_value=1, max_value=REQUESTS))
    def end(self, which: int, number: int) -> None:
        self.world.append(request_end(self.owner(which).epoch, number))

    # What the network does

    @precondition(lambda self: self.world.log)
    @rule(back=st.integers(min_value=0, max_value=15))
    def a_copy_comes_late(self, back: int) -> None:
        position = max(0, len(self.world.log) - 1 - back)
        self.world.append(self.world.log[position], snapshot=self.world.snapshots.get(position))

    @precondition(lambda self: self.in_flight)
    @rule(which=index)
    def what_was_in_flight_arrives(self, which: int) -> None:
        self.world.append(self.in_flight.pop(which % len(self.in_flight)))

    # What always holds

    def check(self) -> None:
        self.the_journal_is_what_the_rules_say()
        self.every_fold_comes_to_the_same_state()
        self.a_void_letter_never_parks()
        self.a_settled_letter_never_opens_again()

    @invariant()
    def the_journal_is_what_the_rules_say(self) -> None:
        naive = naive_fold(self.world.log, SOURCE)
        assert observed(self.world.truth) == naive.observed()

    @invariant()
    def every_fold_comes_to_the_same_state(self) -> None:
        expected = self.world.truth.snapshot()
        for fold in self.world.folds:
            assert fold.journal.snapshot() == expected, fold.label
            assert fold.journal.parked_tenants == self.world.truth.parked_tenants, fold.label
            for number in range(1, REQUESTS + 1):
                assert fold.journal.progress(request_id(number)) == self.world.truth.progress(request_id(number))

    @invariant()
    def a_void_letter_never_parks(self) -> None:
        void = naive_fold(self.world.log, SOURCE).void
        for open_letter in self.world.truth.open_letters():
            assert open_letter.position not in void

    @invariant()
    def a_settled_letter_never_opens_again(self) -> None:
        still_open = {open_letter.offset for open_letter in self.world.truth.open_letters()}
        assert not still_open & self.closed
        self.closed |= {known.offset for known in self.world.truth.snapshot().letters if not known.is_open}


def observed(journal: Journal) -> dict[str, object]:
    letters = journal.snapshot().letters
    return {
        "fence": (0, 0, 0) if journal.claim is None else journal.claim.epoch.rank,
        "low mark": journal.low_mark,
        "requests": [open_.request.id for open_ in journal.requests],
        "open": {known.offset: known.attempts for known in journal.open_letters()},
        "above": {known.offset: known.outcome for known in letters if known.offset > journal.low_mark},
        "parked": set(journal.parked_tenants),
    }


JournalMachine.TestCase.settings = settings(stateful_step_count=STEPS)
TestJournalMachine = JournalMachine.TestCase


# Planted bugs: each is caught within a tenth of these walks, most within ten.
PLANTED_WALKS = 2000


class WithoutF1(Journal):
    def _is_void(self, epoch: object) -> bool:
        return False


class VoidLettersCount(Journal):
    def apply(self, record: AnyRecord, *, position: int) -> Verdict:
        verdict = super().apply(record, position=position)
        if verdict is Verdict.VOID and isinstance(record, Letter):
            return self._letter(record, position)
        return verdict


class LowMarkIgnored(Journal):
    def _letter(self, record: Letter, position: int) -> Verdict:
        mark, self.low_mark = self.low_mark, -1
        try:
            return super()._letter(record, position)
        finally:
            self.low_mark = mark


class CheckpointsDoNotRaiseTheLowMark(Journal):
    def _raise_low_mark(self, committed: int) -> None:
        if self.claim is not None and self.claim.position == self.folded_up_to:
            super()._raise_low_mark(committed)


class FailureClosesTheLetter(Journal):
    def _settlement(self, record: Settlement) -> Verdict:
        return super()._settlement(replace(record, outcome=Outcome.DISCARDED, failure=None))


class FoldFromTheOldestOpenLetter(Journal):
    @property
    def pin(self) -> int | None:
        letters = [known.position - 1 for known in self.open_letters()]
        return min(letters) if letters else super().pin


class RequestsAreNotPinned(Journal):
    @property
    def pin(self) -> int | None:
        journal = Journal.restore(replace(self.snapshot(), requests=()))
        return journal.pin


class ClosedLettersAreNotPinned(Journal):
    @property
    def pin(self) -> int | None:
        journal = Journal.restore(replace(self.snapshot(), letters=tuple(self.open_letters())))
        return journal.pin


class CheckpointsHoldOpenLettersOnly(Journal):
    def _restore(self, snapshot: Snapshot) -> None:
        super()._restore(replace(snapshot, letters=tuple(known for known in snapshot.letters if known.is_open)))


class ResetsFenceNobodyOff(Journal):
    def _is_void(self, epoch: Epoch) -> bool:
        return super()._is_void(epoch) and not (self.claim is not None and self.claim.epoch.member == "ops")


class ResetsKeepClosedLetters(Journal):
    def _reset(self, record: Claim, position: int) -> Verdict:
        letters = dict(self._letters)
        verdict = super()._reset(record, position)
        self._letters = letters
        return verdict


class EveryClaimIsAnAnchor(Journal):
    def _claim(self, record: Claim, position: int) -> Verdict:
        verdict = super()._claim(record, position)
        self._anchor = position
        return verdict


PLANTED = [
    WithoutF1,
    VoidLettersCount,
    LowMarkIgnored,
    CheckpointsDoNotRaiseTheLowMark,
    FailureClosesTheLetter,
    FoldFromTheOldestOpenLetter,
    RequestsAreNotPinned,
    ClosedLettersAreNotPinned,
    CheckpointsHoldOpenLettersOnly,
    ResetsFenceNobodyOff,
    ResetsKeepClosedLetters,
    EveryClaimIsAnAnchor,
]


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_the_machine_catches(bug: type[Journal]) -> None:
    planted = type("PlantedMachine", (JournalMachine,), {"journal_type": bug})
    with pytest.raises(AssertionError):
        for seed in range(PLANTED_WALKS):
            walk(planted(), seed=seed, steps=STEPS)


@pytest.mark.parametrize("block", range(4))
def test_random_walks_find_nothing(block: int) -> None:
    walks = settings.default.max_examples if settings.default else 40
    for seed in range(block * walks, (block + 1) * walks):
        walk(JournalMachine(), seed=seed, steps=STEPS)
