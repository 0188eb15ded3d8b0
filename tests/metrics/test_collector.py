"""What is scraped agrees with what happened, to the event; transports and threads do not get in each other's way."""

import asyncio
import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from rustok_iggy import EVERYTHING, ConfigError, DeadLetter, EventEnvelope, ParkTenant, Reject, Retry
from rustok_iggy.metrics import expose_metrics, render_metrics
from rustok_iggy.metrics.catalog import METRICS
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import Counted, Ignored, counted, transport
from tests.waiting import WITHIN, until

pytestmark = pytest.mark.anyio

WELL, ILL = UUID(int=7), UUID(int=8)


class Scraped:
    """Values by name and labels, as Prometheus would read them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        _, text = render_metrics(registry)
        self.text = text.decode()
        self._values = {
            (sample.name.removeprefix("rustok_iggy_"), frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self._values[name, frozenset({"transport": "default", **labels}.items())]

    def get(self, name: str, **labels: str) -> float | None:
        """The same, None when it is not shown."""
        return self._values.get((name, frozenset({"transport": "default", **labels}.items())))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def scrape(registry: CollectorRegistry) -> Scraped:
    return await asyncio.to_thread(Scraped, registry)


async def scraped_until(registry: CollectorRegistry, condition: Callable[[Scraped], bool]) -> Scraped:
    """The first scrape for which the condition holds."""
    found: list[Scraped] = []

    async def is_so() -> bool:
        found.append(await scrape(registry))
        return condition(found[-1])

    await until(is_so)
    return found[-1]


async def test_counters_reconcile_exactly_with_what_happened(registry: CollectorRegistry) -> None:
    """7 published; group a handles 4, filters 1, parks a tenant with 2; group b handles 6 and rejects 1."""
    failed_once: set[int] = set()
    mended = False

    async def handle(envelope, context) -> None:
        number = envelope.event.number
        if envelope.tenant_id == ILL and not mended:
            raise LookupError
        if number == 3 and number not in failed_once:
            failed_once.add(number)
            raise ValueError

    async def reject(envelope, context) -> None:
        if envelope.event.number == 2:
            raise Reject("no", park=False)

    async with transport(MemoryServer()) as host:
        quick = Retry(attempts=2, delay=0.001)
        host.subscribe(group="a", event_types=[Counted], on_failure=ParkTenant(retry=quick))(handle)
        host.subscribe(group="b", on_failure=DeadLetter(retry=quick))(reject)
        exposure = expose_metrics(host, registry=registry)
        async with host.consuming():
            await host.publish_batch([counted(number, WELL) for number in range(4)])
            await host.publish(ignored(9))
            await host.publish_batch([counted(number, ILL) for number in (20, 21)])
            await until(lambda: sum(each.events.polled for each in host.statistics().groups) == 14)
            await until(lambda: host.statistics().consuming.letters == 3)
            await until(lambda: all(each.standing.running == 0 for each in host.statistics().groups))
            await until(lambda: host.statistics().groups[0].standing.parked_tenants == 1)
            await until(lambda: host.statistics().consuming.handled == 4 + 6)
            # A host whose machine stood still for some heartbeats is unready for a moment.
            seen = await scraped_until(registry, lambda seen: seen("ready") == 1)
            a, b = {"group": "a", "topic": "domain"}, {"group": "b", "topic": "domain"}
            assert seen("published_events_total", outcome="confirmed") == 7
            assert seen("published_events_total", outcome="failed") == 0
            assert seen("publish_batches_total") == 3
            assert seen("publish_seconds_count") == 3
            assert seen("polled_events_total", **a) == 7
            assert [seen("settled_events_total", **a, outcome=each) for each in OUTCOMES] == [4, 1, 0, 2]
            assert [seen("settled_events_total", **b, outcome=each) for each in OUTCOMES] == [6, 0, 0, 1]
            assert seen("delivery_retries_total", **a) == 2, "once for number 3, once for the ill tenant's first"
            assert seen("handler_seconds_count", **a) == 4 + 1 + 2
            assert seen("dead_letters", **a) == 2
            assert seen("parked_tenants", **a) == 1
            assert seen("dead_letters", **b) == 1
            assert seen("parked_tenants", **b) == 0
            assert seen("dead_letter_age_seconds", **b) > 0, "also of letters that hold back nobody"
            assert seen("health", component="consuming") == 1
            mended = True
            await host.dead_letters.redrive(EVERYTHING, group="a", by="test", reason="mended")
            await until(lambda: host.statistics().consuming.redriven == 2)
            await until(lambda: host.statistics().groups[0].standing.open_requests == 0)
            after = await scrape(registry)
            assert after("redriven_letters_total", **a, outcome="handled") == 2
            assert after("settled_events_total", **a, outcome="handled") == 4, "a redriven letter is no new event"
            assert after("dead_letters", **a) == 0
        exposure.withdraw()


OUTCOMES = ("handled", "filtered", "duplicate", "letter")


def ignored(number: int) -> EventEnvelope:
    return EventEnvelope.new(WELL, Ignored(number=number))


async def test_lag_is_what_the_server_says(registry: CollectorRegistry) -> None:
    async with transport(MemoryServer(), lag_interval=0.02) as host:
        gate = asyncio.Event()

        @host.subscribe(group="a")
        async def wait(envelope, context) -> None:
            await gate.wait()

        expose_metrics(host, registry=registry)
        async with host.consuming():
            await host.publish_batch([counted(number) for number in range(5)])
            await until(lambda: host.statistics().groups[0].lag == {0: 5})
            where = {"group": "a", "topic": "domain", "partition": "0"}
            await scraped_until(registry, lambda seen: seen.get("lag_events", **where) == 5)  # too old: not shown
            gate.set()
            await until(lambda: host.statistics().groups[0].lag == {0: 0})


async def test_transports_of_one_process_stand_side_by_side(registry: CollectorRegistry) -> None:
    async with transport(MemoryServer()) as one, transport(MemoryServer()) as two:
        with expose_metrics(one, name="one", registry=registry), expose_metrics(two, name="two", registry=registry):
            await one.publish(counted(1))
            seen = await scrape(registry)
            assert seen("published_events_total", transport="one", outcome="confirmed") == 1
            assert seen("published_events_total", transport="two", outcome="confirmed") == 0
            assert seen.text.count("# TYPE rustok_iggy_published_events_total counter") == 1
            with pytest.raises(ConfigError, match="name each"):
                expose_metrics(two, name="one", registry=registry)
        assert "transport=" not in (await scrape(registry)).text, "withdrawn"


async def test_a_scrape_does_not_wait_for_a_busy_loop_for_ever(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transport(MemoryServer()) as host:
        expose_metrics(host, registry=registry)
        found: list[Scraped] = []
        thread = threading.Thread(target=lambda: found.append(Scraped(registry)))
        with monkeypatch.context() as patch:
            patch.setattr("rustok_iggy.metrics.collector.LOOP_TIMEOUT", 0.05)
            thread.start()
            thread.join(WITHIN)  # the loop does nothing else meanwhile
        assert found[0]("observation_age_seconds") > 0
        assert (await scrape(registry))("observation_age_seconds") == 0


async def test_what_was_known_stays_readable_when_the_loop_is_gone(registry: CollectorRegistry) -> None:
    def life() -> None:
        async def publish() -> None:
            async with transport(MemoryServer()) as host:
                expose_metrics(host, registry=registry)
                await host.publish(counted(1))
                render_metrics(registry)

        asyncio.run(publish())

    await asyncio.to_thread(life)
    assert (await scrape(registry))("published_events_total", outcome="confirmed") == 1


async def test_no_family_has_a_tenant(registry: CollectorRegistry) -> None:
    assert not [metric.name for metric in METRICS if "tenant" in " ".join(metric.labels)]
