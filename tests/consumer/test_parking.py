"""Who is held back, what becomes a letter next, and what is free again."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from rustok_iggy import JsonSerializer
from rustok_iggy.consumer.confirmations import Confirmations
from rustok_iggy.consumer.delivery import Delivery, Router
from rustok_iggy.consumer.lanes import Lane
from rustok_iggy.consumer.letter_records import letter_record
from rustok_iggy.consumer.parking import MAX_BATCH, Parking, PendingLetter
from rustok_iggy.consumer.subscription import Subscription
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import Cause, Claim, Epoch, Failure, Outcome, Settlement, Source
from rustok_iggy.topology import Topic
from rustok_iggy_connector import ReceivedMessage
from tests.consumer.hosts import TENANT, catalog, counted

SOURCE = Source(group="g", topic="domain", partition=0)
EPOCH = Epoch(group_id=1, generation=1, member="m")
OTHER = UUID(int=8)
SERIALIZER = JsonSerializer(catalog)
ROUTE = Router(
    [Subscription(group="g", topic=Topic.DOMAIN, event_types=None, handler=lambda envelope, context: None)],
    ThreadPoolExecutor(1),
    timeout=1.0,
).unreadable
REQUEST = UUID(int=1)


def delivery(offset: int, tenant: UUID = TENANT) -> Delivery:
    payload = SERIALIZER.encode(counted(offset, tenant))
    message = ReceivedMessage(offset, offset + 1, payload, offset, dict)
    return Delivery(offset=offset, message=message, opened=SERIALIZER.open(payload), route=ROUTE)


def own(each: Delivery, *, parks: bool = True) -> PendingLetter:
    return PendingLetter(
        delivery=each,
        cause=Cause.FAILED,
        parks=parks,
        failure=Failure(error_type="LookupError", fingerprint="f"),
        first_failed_at=1,
        last_failed_at=1,
        lane=Lane(each.opened.tenant_id.int),
    )


class World:
    """A journal to which what was taken is written."""

    def __init__(self, *, max_letters: int = 100) -> None:
        self.journal = Journal(SOURCE)
        self.position = -1
        self.apply(Claim(source=SOURCE, epoch=EPOCH, committed=-1, handled_types="h"))
        self.parking = Parking(self.journal, max_letters=max_letters)

    def apply(self, record: object) -> None:
        self.position += 1
        self.journal.apply(record, position=self.position)  # type: ignore[arg-type]

    def take(self, *, tenants_left: int = 10) -> list[PendingLetter]:
        return self.parking.take(tenants_left=tenants_left, now=5)

    def write(self, batch: list[PendingLetter]) -> list[int]:
        for letter in batch:
            self.apply(letter_record(letter, EPOCH, SOURCE))
        self.parking.written()
        return [letter.delivery.offset for letter in batch]

    def close(self, offset: int) -> None:
        self.apply(
            Settlement(
                source=SOURCE,
                epoch=EPOCH,
                offset=offset,
                number=1,
                request=REQUEST,
                outcome=Outcome.HANDLED,
                settled_at=9,
            )
        )


def parked(offset: int = 3, **options: int) -> World:
    world = World(**options)
    world.parking.add(own(delivery(offset)))
    world.write(world.take())
    return world


def test_a_tenant_is_held_back_once_its_letter_was_read_back_and_only_behind_it() -> None:
    world = World()
    world.parking.add(own(delivery(3)))
    batch = world.take()
    assert not world.parking.holds(TENANT.int, 4), "its lane waits; nothing is parked yet"
    assert world.take() == [], "one batch at a time"
    world.write(batch)
    assert world.parking.holds(TENANT.int, 4)
    assert not world.parking.holds(TENANT.int, 2), "it stood before"
    assert not world.parking.holds(OTHER.int, 4)
    assert (world.parking.holds_any, world.parking.parked, world.parking.is_idle) == (True, 1, True)


def test_what_follows_names_the_letter_it_waits_for() -> None:
    world = parked()
    world.parking.follow(delivery(4))
    world.parking.follow(delivery(7))
    batch = world.take()
    assert [(each.delivery.offset, each.cause, each.parks, each.failure.fingerprint) for each in batch] == [
        (4, Cause.SEQUENCE, True, "f"),
        (7, Cause.SEQUENCE, True, "f"),
    ]


def test_what_nothing_holds_back_any_more_is_released_in_order_and_what_is_under_way_is_not() -> None:
    world = parked()
    world.parking.follow(delivery(4))
    batch = world.take()
    world.parking.follow(delivery(5))
    world.close(3)
    assert [*world.parking.released()] == [], "letter 4 is under way, and stands before 5"
    assert world.parking.holds(TENANT.int, 6)
    world.write(batch)
    assert world.parking.holds(TENANT.int, 6)
    world.close(4)
    assert [each.offset for each in world.parking.released()] == [5]
    assert not world.parking.holds(TENANT.int, 6)
    assert world.parking.is_idle


def test_a_letter_that_parks_nobody_holds_nobody_back() -> None:
    world = World()
    world.parking.add(own(delivery(3), parks=False))
    world.write(world.take(tenants_left=0))
    assert not world.parking.holds_any


def test_no_more_tenants_are_parked_than_there_is_room_for() -> None:
    world = parked()
    world.parking.add(own(delivery(4, OTHER)))
    assert world.take(tenants_left=0) == []
    assert (world.parking.no_room, world.parking.is_idle) == ({OTHER}, True)
    assert world.write(world.take(tenants_left=1)) == [4]
    assert not world.parking.no_room


def test_a_tenant_has_no_more_letters_than_it_may_have() -> None:
    world = parked(max_letters=2)
    for offset in (4, 5, 6):
        world.parking.follow(delivery(offset))
    assert world.write(world.take()) == [4]
    assert world.take() == []
    assert (world.parking.full, world.parking.is_idle, world.parking.waiting) == ({TENANT}, True, 2)
    world.close(3)
    assert world.write(world.take()) == [5]


def test_a_refused_letter_stays_and_holds_nothing_else() -> None:
    world = World()
    world.parking.add(own(delivery(3)))
    (letter,) = world.take()
    world.parking.refuse(letter, "too big")
    world.parking.written()
    assert (world.parking.refused[0].delivery.offset, world.parking.waiting) == (3, 0)
    assert not world.parking.holds_any


def test_nothing_of_a_tenant_passes_one_of_its_events_that_no_letter_can_hold() -> None:
    world = World()
    world.parking.add(own(delivery(0)))
    world.write(world.take())
    world.parking.follow(delivery(1))
    (letter,) = world.take()
    world.parking.refuse(letter, "too big")
    world.parking.written()
    assert world.parking.holds(TENANT.int, 2)
    world.parking.follow(delivery(2))
    assert world.take() == []
    world.close(0)
    assert list(world.parking.released()) == []


def test_batches_are_bounded_and_all_tenants_come_to_their_turn() -> None:
    world = World(max_letters=10_000)
    world.parking.add(own(delivery(0)))
    world.parking.add(own(delivery(1, OTHER)))
    world.write(world.take())
    for offset in range(2, 2 + MAX_BATCH):
        world.parking.follow(delivery(offset))
    world.parking.follow(delivery(9999, OTHER))
    world.parking.follow(delivery(10000))
    first = world.write(world.take())
    assert len(first) == MAX_BATCH
    assert world.write(world.take()) in ([9999, 10000], [10000, 9999])


def test_a_tenant_stays_full_while_a_batch_has_room_for_others_only() -> None:
    world = parked(max_letters=2)
    for offset in range(4, 7):
        world.parking.follow(delivery(offset))
    world.write(world.take())
    assert world.parking.full == {TENANT}
    told = world.parking.full
    for offset in range(7, 7 + MAX_BATCH):
        world.parking.add(own(delivery(offset), parks=False))
    world.write(world.take())
    assert world.parking.full == {TENANT}, "nobody looked at it"
    world.close(3)
    world.write(world.take())
    assert (world.parking.full, told) == ({TENANT}, {TENANT}), "one was written instead, one still waits"
    world.close(4)
    world.write(world.take())
    assert (world.parking.full, world.parking.waiting) == (set(), 0)


def test_what_gathers_is_counted_from_batch_to_batch() -> None:
    world = parked()
    world.parking.follow(delivery(4))
    world.parking.follow(delivery(5))
    assert world.parking.gathered == 2
    batch = world.take()
    world.parking.follow(delivery(6))
    world.write(batch)
    assert world.parking.gathered == 1


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("fwtc"), st.integers(0, 2)), max_size=60))
def test_every_follower_becomes_a_letter_or_is_released_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    world = World()
    owners = [UUID(int=10 + at) for at in range(3)]
    out: dict[UUID, list[int]] = defaultdict(list)
    given_in: dict[UUID, list[int]] = defaultdict(list)
    batch: list[PendingLetter] = []
    for offset, (step, at) in enumerate(steps):
        owner = owners[at]
        if step == "f" and world.parking.holds(owner.int, offset):
            given_in[owner].append(offset)
            world.parking.follow(delivery(offset, owner))
        elif step == "f" and not any(letter.delivery.opened.tenant_id == owner for letter in batch):
            world.parking.add(own(delivery(offset, owner)))
        elif step == "t":
            batch = world.take() or batch
        elif step == "w" and batch:
            for letter in batch:
                if letter.cause is Cause.SEQUENCE:
                    out[letter.delivery.opened.tenant_id].append(letter.delivery.offset)
            world.write(batch)
            batch = []
        elif step == "c" and (first := world.journal.parked_from(owner)) is not None:
            world.close(first)
        for each in world.parking.released():
            out[each.opened.tenant_id].append(each.offset)
    for owner in owners:
        assert out[owner] == given_in[owner][: len(out[owner])]
    left = world.parking.waiting - sum(letter.cause is not Cause.SEQUENCE for letter in batch)
    assert left >= sum(len(given_in[owner]) - len(out[owner]) for owner in owners)


def test_a_letter_counts_once_an_answer_asked_afterwards_shows_our_claim() -> None:
    confirmations = Confirmations()
    confirmations.asking()
    confirmations.read_back(3, 4)
    assert confirmations.answered(generation=1, claimed=1) == [], "asked before"
    confirmations.asking()
    confirmations.read_back(5)
    assert confirmations.answered(generation=2, claimed=1) == [], "somebody else may have owned it"
    confirmations.asking()
    assert confirmations.answered(generation=2, claimed=2) == [3, 4, 5]
    assert len(confirmations) == 0
