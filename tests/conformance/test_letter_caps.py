"""More letters than a tenant may have, more tenants than may be parked: who waits, who says so, what frees them."""

from uuid import UUID

import pytest

from rustok_iggy import EVERYTHING, IggyTransport, LetterSelection, RequestState
from rustok_iggy.consumer import letters
from tests.conformance.services import (
    GROUP,
    PATIENCE,
    Book,
    Handler,
    Place,
    letters_of,
    number_of,
    place,
    publish,
    reasons,
    tenant_of,
    until_caught_up,
    until_letters,
)
from tests.logs import event_of, facts_of
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]
MAX_LETTERS = 6
MAX_TENANTS = 2


@pytest.fixture(autouse=True)
def _small_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ones are 10 000 letters and 1 000 tenants: minutes of a test's time."""
    monkeypatch.setattr(letters, "MAX_PARKED_LETTERS", MAX_LETTERS)
    monkeypatch.setattr(letters, "MAX_PARKED_TENANTS", MAX_TENANTS)


class Ill:
    """Fails on every event of some tenants."""

    def __init__(self, *tenants: UUID) -> None:
        self.tenants = set(tenants)
        self.book = Book()

    def __call__(self, envelope: object, context: object) -> None:
        if envelope.tenant_id in self.tenants:  # type: ignore[attr-defined]  # as Before
            raise LookupError

    @property
    def handler(self) -> Handler:
        return Handler(self.book, self)


async def redrive(operator: IggyTransport, selection: LetterSelection = EVERYTHING, **options: int) -> None:
    request = await operator.dead_letters.redrive(selection, group=GROUP, by="ada", **options)  # type: ignore[arg-type]
    result = await operator.dead_letters.wait(request, timeout=PATIENCE)
    assert result.state is RequestState.DONE


def standing(service: IggyTransport):  # type: ignore[no-untyped-def]  # GroupStanding
    (group,) = service.statistics().groups
    return group.standing


def is_said(service: IggyTransport, *words: str) -> bool:
    return any(all(word in each for word in words) for each in reasons(service))


async def test_a_tenant_with_all_the_letters_it_may_have_waits_in_the_topic_and_loses_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    ill, well = tenant_of(0), tenant_of(0)
    illness = Ill(ill)
    async with place.transport() as operator, place.service(illness.handler) as service:
        await publish(operator, [ill, well], range(10))
        await until_letters(operator, MAX_LETTERS)
        await until(lambda: illness.book.numbers(well) == list(range(10)))
        await until(lambda: is_said(service, str(ill), f"has {MAX_LETTERS} dead letters", "redrive or discard"))
        assert standing(service).letters_waiting == 10 - MAX_LETTERS
        (told,) = [facts_of(each) for each in caplog.records if event_of(each) == "parked_tenant_full"]
        assert (told["tenant_id"], told["letters"]) == (str(ill), MAX_LETTERS)
        illness.tenants.clear()
        await redrive(operator, limit=2)  # room for two more, though the tenant stays parked
        assert illness.book.numbers(ill) == [0, 1]
        await until_letters(operator, MAX_LETTERS)
        await redrive(operator)
        await until_caught_up(operator)
        await until(lambda: not is_said(service, str(ill)))
        assert illness.book.numbers(ill) == illness.book.numbers(well) == list(range(10))
        assert await letters_of(operator) == standing(service).letters_waiting == 0


async def test_a_tenant_that_waits_at_the_cap_is_taken_over_with_what_waits(place: Place) -> None:
    ill = tenant_of(0)
    illness = Ill(ill)
    async with place.transport() as operator:
        async with place.service(illness.handler) as service:
            await publish(operator, [ill], range(10))
            await until_letters(operator, MAX_LETTERS)
            await until(lambda: standing(service).letters_waiting == 10 - MAX_LETTERS)
        assert sum((await operator.lag(group=GROUP, topic="domain")).values()) == 10 - MAX_LETTERS
        illness.tenants.clear()
        async with place.service(illness.handler) as service:
            await until(lambda: standing(service).letters_waiting == 10 - MAX_LETTERS)
            await redrive(operator)
            await until_caught_up(operator)
        assert illness.book.numbers(ill) == list(range(10))


async def test_when_no_more_tenants_may_be_parked_the_next_waits_until_one_is_freed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third, well = tenant_of(0), tenant_of(0), tenant_of(1), tenant_of(1)
    illness = Ill(first, second, third)
    async with place.transport() as operator, place.service(illness.handler) as service:
        await publish(operator, [first, second], range(2))
        await until_letters(operator, 4)
        await publish(operator, [third, well], range(2))
        await until(lambda: illness.book.numbers(well) == [0, 1])
        await until(lambda: is_said(service, f"{MAX_TENANTS} tenants are parked, and 1 more"))
        assert await letters_of(operator) == 4
        (told,) = [facts_of(each) for each in caplog.records if event_of(each) == "too_many_tenants_parked"]
        assert (told["tenants"], told["waiting"]) == (MAX_TENANTS, 1)
        illness.tenants.remove(first)
        await redrive(operator, LetterSelection(tenants=(first,)))
        await until_letters(operator, 4)  # two of the second, and now two of the third
        assert not is_said(service, "tenants are parked, and")
        illness.tenants.clear()
        await redrive(operator)
        await until_caught_up(operator)
        assert [illness.book.numbers(each) for each in (first, second, third, well)] == [[0, 1]] * 4
        assert [number_of(envelope) for envelope, context in illness.book.handled if context.redrive] != []
