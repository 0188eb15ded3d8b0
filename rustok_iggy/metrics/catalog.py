"""Every metric there is, one row each: name, unit, where the value comes from, and what it says.

The collector, docs/reference/metrics.md, the dashboard and the alerts are made from this table or checked against it. A
tenant is never a label: there is no bound on tenants. Every metric also has the label `transport`, the name under which
a transport was exposed.
"""

from __future__ import annotations

from functools import partial

from rustok_iggy.metrics.metric import Across, Kind, Metric, Scope

_counter = partial(Metric, kind=Kind.COUNTER, scope=Scope.TRANSPORT)
_gauge = partial(Metric, kind=Kind.GAUGE, scope=Scope.TRANSPORT)
_group_counter = partial(Metric, kind=Kind.COUNTER, scope=Scope.GROUP)
_group_gauge = partial(Metric, kind=Kind.GAUGE, scope=Scope.GROUP)
_partition_gauge = partial(Metric, kind=Kind.GAUGE, scope=Scope.PARTITION)
_health = partial(Metric, kind=Kind.GAUGE, scope=Scope.HEALTH)

PUBLISHING: tuple[Metric, ...] = (
    _counter(
        name="published_events",
        by="outcome",
        sources={
            "confirmed": "publishing.confirmed",
            "failed": "publishing.failed",
            "unknown": "publishing.unknown",
            "unsent": "publishing.unsent",
        },
        help="Events that publish() took, by what became of them; unknown: they may be stored all the same.",
    ),
    _counter(
        name="publish_rejected_events",
        source="publishing.rejected",
        help="Events refused because the publish queue was full.",
    ),
    _counter(
        name="publish_batches", source="publishing.batches", help="Batches confirmed by the server, one partition each."
    ),
    _counter(name="publish_retries", source="publishing.retries", help="Batches sent again, with the same ids."),
    Metric(
        name="publish",
        kind=Kind.HISTOGRAM,
        scope=Scope.TRANSPORT,
        unit="seconds",
        source="publishing.seconds",
        help="From publish() to the confirmation; a batch counts once for each of its partitions.",
    ),
    _gauge(name="publish_queue_events", source="publishing.queued", help="Events queued or in flight."),
    _gauge(name="publish_queue", unit="bytes", source="publishing.queued_bytes", help="Their payloads together."),
    _gauge(name="publish_waiting_events", source="publishing.waiting", help="Events that wait for room in the queue."),
    _gauge(
        name="publish_backpressure",
        across=Across.MAX,
        source="publishing.backpressure",
        help="How full the publish queue is: 0 normal, 1 warning, 2 critical: nothing more is taken.",
    ),
    _gauge(
        name="publish_retrying_partitions",
        source="publishing.retrying",
        help="Partitions whose batch is being repeated right now.",
    ),
)

SERVER: tuple[Metric, ...] = (
    _gauge(
        name="connected",
        across=Across.MIN,
        source="connector.connected",
        help="1 while the server answers; 0 when it was just reached for in vain.",
    ),
    _gauge(name="sessions", source="connector.clients", help="Sessions with the server."),
    _counter(name="requests", source="connector.requests", help="Requests sent to the server."),
    _counter(name="request_timeouts", source="connector.timeouts", help="Requests that were not answered in time."),
    _counter(name="reconnects", source="connector.reconnects", help="Sessions that were lost and opened again."),
    _counter(
        name="server_restarts",
        source="connector.server_restarts",
        help="Times the embedded server had to be started again.",
    ),
    _counter(
        name="published_messages",
        source="connector.messages_published",
        help="Messages stored, dead-letter records included.",
    ),
    _counter(name="published", unit="bytes", source="connector.bytes_published", help="Payloads of those messages."),
)

CONSUMING: tuple[Metric, ...] = (
    _group_counter(name="polled_events", source="events.polled", help="Events read from the topic."),
    _group_counter(
        name="settled_events",
        by="outcome",
        sources={
            "handled": "events.handled",
            "filtered": "events.filtered",
            "duplicate": "events.duplicates",
            "letter": "events.letters",
        },
        help="Events that are done; polled_events less their sum is in flight or was given up.",
    ),
    Metric(
        name="handler",
        kind=Kind.HISTOGRAM,
        scope=Scope.GROUP,
        unit="seconds",
        source="handler_seconds",
        help="One attempt of a handler, decoding included; failed attempts and redriven letters count as well.",
    ),
    _group_counter(name="delivery_retries", source="events.retried", help="Attempts that failed and were repeated."),
    _group_counter(
        name="handler_timeouts", source="events.timed_out", help="Handlers cancelled because of handler_timeout."
    ),
    _group_counter(name="commits", source="events.commits", help="Offsets stored."),
    _group_counter(
        name="subscription_failures",
        source="events.failed",
        help="Partitions that ended with an error; run() raises it.",
    ),
    _group_counter(
        name="gaps", source="events.gaps", help="Times events were gone from the topic before they were handled."
    ),
    _group_counter(
        name="rebalances",
        source="events.rebalances",
        help="Times the group's partitions were dealt anew while this process was a member, its own joining included;"
        " every process of the group counts: take the maximum.",
    ),
    _group_counter(
        name="lost_partitions",
        source="events.lost_partitions",
        help="Partitions that another member had taken over before they were handed over.",
    ),
    _group_counter(
        name="abandoned_lanes",
        source="events.abandoned_lanes",
        help="Tenants whose events still waited when their partition was handed over.",
    ),
    _group_gauge(
        name="assigned",
        across=Across.MIN,
        source="standing.is_assigned",
        help="1 while the server says which partitions are ours.",
    ),
    _group_gauge(name="partitions", source="standing.partitions", help="Partitions this process has; 0 is idle."),
    _group_gauge(name="running_handlers", source="standing.running", help="Handlers that run now."),
    _group_gauge(
        name="stuck_deliveries",
        source="standing.stuck",
        help="Deliveries that run, or wait to be acknowledged, for longer than stuck_after.",
    ),
    _group_gauge(
        name="breaker_open",
        across=Across.MAX,
        source="standing.is_breaker_open",
        help="1 while nearly every delivery fails and all wait but one probe.",
    ),
    _group_gauge(name="paused", across=Across.MAX, source="is_paused", help="1 while the group is paused."),
    _partition_gauge(
        name="lag_events",
        across=Across.MAX,
        source="lag",
        help="Events the group has not committed, as the server last said; every process of the group reports all of"
        " its partitions: take the maximum.",
    ),
    _partition_gauge(
        name="ahead_events",
        across=Across.MAX,
        source="standing.ahead",
        help="Events begun above the committed offset, done or not.",
    ),
)

DEAD_LETTERS: tuple[Metric, ...] = (
    _group_gauge(
        name="dead_letters", source="standing.letters", help="Open dead letters of the partitions this process has."
    ),
    _group_gauge(
        name="dead_letter_age",
        across=Across.MAX,
        unit="seconds",
        source="standing.oldest_letter_age",
        help="Since the first failure of the oldest open dead letter; 0 without any.",
    ),
    _group_gauge(name="parked_tenants", source="standing.parked_tenants", help="Tenants held back by a dead letter."),
    _group_gauge(
        name="dead_letter_requests", source="standing.open_requests", help="Operators' requests that are not done."
    ),
    _group_gauge(
        name="unwritten_dead_letters", source="standing.letters_waiting", help="Events that wait to become letters."
    ),
    _group_gauge(
        name="refused_dead_letters",
        source="standing.letters_refused",
        help="Events too big for a letter: their lanes stand still.",
    ),
    _group_gauge(
        name="expired_journals",
        source="standing.letters_expired",
        help="Partitions of which the server deleted letters that were still open.",
    ),
    _group_gauge(
        name="unreachable_journals",
        source="standing.unreachable_journals",
        help="Partitions whose dead-letter topic does not answer.",
    ),
    _group_counter(
        name="redriven_letters",
        by="outcome",
        sources={
            "handled": "events.redriven",
            "failed": "events.redrives_failed",
            "discarded": "events.discarded",
        },
        help="Dead letters that ran again or were discarded; one that fails again counts each time.",
    ),
    _group_counter(
        name="letters_without_tenant",
        source="events.letters_without_tenant",
        help="Letters that hold back nobody because they cannot be read: order is not kept there.",
    ),
)

HEALTH: tuple[Metric, ...] = (
    _health(
        name="live",
        across=Across.MIN,
        source="is_live",
        help="Liveness: 0 when nothing moves and only a restart helps.",
    ),
    _health(
        name="ready",
        across=Across.MIN,
        source="is_ready",
        help="Readiness: 0 when events cannot be published or are not handled.",
    ),
    Metric(
        name="health",
        across=Across.MAX,
        kind=Kind.GAUGE,
        scope=Scope.COMPONENT,
        source="components",
        help="0 healthy, 1 degraded, 2 unhealthy.",
    ),
    Metric(
        name="observation_age",
        across=Across.MAX,
        kind=Kind.GAUGE,
        scope=Scope.OBSERVED,
        unit="seconds",
        source="age",
        help="How old all of these values are: above 0 the event loop did not answer the scrape.",
    ),
)

SECTIONS: dict[str, tuple[Metric, ...]] = {
    "Publishing": PUBLISHING,
    "Server": SERVER,
    "Consuming": CONSUMING,
    "Dead letters": DEAD_LETTERS,
    "Health": HEALTH,
}
METRICS: tuple[Metric, ...] = tuple(metric for section in SECTIONS.values() for metric in section)
