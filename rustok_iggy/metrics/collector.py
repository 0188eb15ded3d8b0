"""The only place that knows prometheus_client: transports as metric families, one collector in each registry.

Paying is done by the scrape, not by the event: nothing is counted here, a scrape reads the counters that a transport
keeps anyway. It does so in the transport's event loop, in microseconds; the text is written in the scraper's thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from rustok_iggy.durations import BUCKETS, DurationsTaken
from rustok_iggy.errors import ConfigError
from rustok_iggy.metrics.catalog import METRICS
from rustok_iggy.metrics.metric import Kind, Metric, Observed, samples
from rustok_iggy.transport import EventTransport

LOOP_TIMEOUT = 2.0
"""Seconds a scrape waits for a busy event loop; then it shows what was known before. Prometheus itself waits 10 s."""

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Exposure:
    """A transport that is exposed in a registry; `withdraw()`, or the end of `with`, takes it out."""

    def __init__(self, transport: EventTransport, *, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._transport = transport
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._observed_at = clock()
        self._last = self._observe()
        self._collector: TransportCollector | None = None

    def observed(self) -> Observed:
        """Return what the transport knows of itself, or knew when its event loop last answered. From any thread."""
        if self._is_loop_here():
            return self._observe()
        asked: Future[Observed] = Future()
        try:
            self._loop.call_soon_threadsafe(self._answer, asked)
            return asked.result(LOOP_TIMEOUT)
        except (TimeoutError, RuntimeError):  # the loop is busy, or closed
            asked.cancel()
            return self._last._replace(age=self._clock() - self._observed_at)

    def withdraw(self) -> None:
        """Expose it no more. Idempotent."""
        if self._collector is not None:
            self._collector.remove(self)
            self._collector = None

    def belong_to(self, collector: TransportCollector) -> None:
        """Note who exposes it."""
        self._collector = collector

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.withdraw()

    def _is_loop_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _answer(self, asked: Future[Observed]) -> None:
        if asked.set_running_or_notify_cancel():
            asked.set_result(self._observe())

    def _observe(self) -> Observed:
        self._last = Observed(statistics=self._transport.statistics(), health=self._transport.health())
        self._observed_at = self._clock()
        return self._last


class TransportCollector(Collector):
    """All transports that are exposed in one registry. Safe for several threads."""

    def __init__(self) -> None:
        self._exposures: dict[str, Exposure] = {}
        self._lock = threading.Lock()

    def add(self, exposure: Exposure) -> None:
        """Expose a transport. Raises ConfigError when its name is taken."""
        with self._lock:
            if exposure.name in self._exposures:
                raise ConfigError(
                    [f"expose_metrics(name={exposure.name!r}): the registry has a transport of that name; name each"]
                )
            self._exposures[exposure.name] = exposure
            exposure.belong_to(self)

    def remove(self, exposure: Exposure) -> None:
        """Undo add()."""
        with self._lock:
            self._exposures.pop(exposure.name, None)

    def describe(self) -> Iterable[Family]:
        """Return every family, without values: what must not be registered twice."""
        return [_family(metric) for metric in METRICS]

    def collect(self) -> Iterator[Family]:
        """Return every family with its values."""
        with self._lock:
            exposures = tuple(self._exposures.values())
        observations = [(exposure.name, exposure.observed()) for exposure in exposures]
        for metric in METRICS:
            family = _family(metric)
            for name, observed in observations:
                for labels, value in samples(metric, observed):
                    _add(family, (name, *labels), value)
            yield family


_collectors: WeakKeyDictionary[CollectorRegistry, TransportCollector] = WeakKeyDictionary()
"""One in each registry: a family may stand in it only once, however many transports there are."""
_registering = threading.Lock()


def expose_metrics(
    transport: EventTransport, *, name: str = "default", registry: CollectorRegistry = REGISTRY
) -> Exposure:
    """Show a transport's metrics in `registry`, with the label transport=`name`, until withdrawn.

    Call it in the transport's event loop; scrapes may come from any thread. Raises ConfigError when the registry has a
    transport of that name.
    """
    exposure = Exposure(transport, name=name)
    with _registering:
        collector = _collectors.get(registry)
        if collector is None:
            collector = _collectors[registry] = TransportCollector()
            registry.register(collector)
    collector.add(exposure)
    return exposure


def render_metrics(registry: CollectorRegistry = REGISTRY) -> tuple[str, bytes]:
    """Return content type and text of all metrics of a registry. Takes milliseconds: call it in a thread."""
    return CONTENT_TYPE_LATEST, generate_latest(registry)


def _family(metric: Metric) -> Family:
    # The class appends what belongs to its kind: _total, _bucket, _sum, _count.
    name, labels = metric.full_name.removesuffix("_total"), ("transport", *metric.labels)
    families: dict[Kind, type[Family]] = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }
    return families[metric.kind](name, metric.help, labels=labels)


def _add(family: Family, labels: tuple[str, ...], value: float | DurationsTaken) -> None:
    if isinstance(value, DurationsTaken):
        assert isinstance(family, HistogramMetricFamily), "durations are histograms"
        family.add_metric(labels, buckets=_cumulated(value), sum_value=value.seconds)
    else:
        assert not isinstance(family, HistogramMetricFamily), "a histogram needs durations"
        family.add_metric(labels, value)


def _cumulated(durations: DurationsTaken) -> list[tuple[str, float]]:
    bounds = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
    return [(bound, float(sum(durations.counts[: index + 1]))) for index, bound in enumerate(bounds)]
