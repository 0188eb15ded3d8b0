"""The alerts of docs/dashboards/alerts.yaml: one row each. `m(name)` fails on a typo."""

from __future__ import annotations

from dataclasses import dataclass

from rustok_iggy.metrics.catalog import METRICS

BY_NAME = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """`lasting`: for how long `expression` must hold. `severity` page: wake somebody; ticket: look at it today.

    `page` is the runbook in docs/runbooks.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    advice: str
    page: str

    @property
    def runbook(self) -> str:
        """The runbook's path from the repository's root."""
        return f"docs/runbooks/{self.page}.md"


def m(name: str) -> str:
    return BY_NAME[name].full_name


def grows(name: str, window: str, selector: str = "") -> str:
    """How much a counter grew within a window, by its own labels without those of the process."""
    labels = ", ".join(("transport", *(label for label in BY_NAME[name].labels if label not in selector)))
    return f"sum by ({labels}) (increase({m(name)}{selector}[{window}]))"


def highest(name: str) -> str:
    return f"max by ({', '.join(BY_NAME[name].labels)}) ({m(name)})"


ALERTS = (
    Alert(
        name="RustokIggyNotLive",
        expression=f"{m('live')} == 0",
        lasting="1m",
        severity="page",
        summary="{{ $labels.instance }} does not move any more",
        advice="Restart the process; a liveness probe on /livez does so by itself. What hung is in /healthz.",
        page="stuck-handler",
    ),
    Alert(
        name="RustokIggyNotReady",
        expression=f"{m('ready')} == 0",
        lasting="2m",
        severity="page",
        summary="{{ $labels.instance }} does not publish or handle events",
        advice="Read the reasons in /readyz, or `rustok-iggy doctor`.",
        page="server-away",
    ),
    Alert(
        name="RustokIggyNotConnected",
        expression=f"{m('connected')} == 0",
        lasting="1m",
        severity="page",
        summary="{{ $labels.instance }} has no connection to its server",
        advice="Look whether the server runs and can be reached; nothing is lost meanwhile, publishes wait or fail.",
        page="server-away",
    ),
    Alert(
        name="RustokIggyReconnects",
        expression=f"{grows('reconnects', '10m')} > 5",
        lasting="0m",
        severity="ticket",
        summary="connections to the server are lost again and again",
        advice="Each loss of a member's connection deals the partitions of its group anew. Look at network and server.",
        page="rebalance-loop",
    ),
    Alert(
        name="RustokIggyServerRestarted",
        expression=f"{grows('server_restarts', '15m')} > 0",
        lasting="0m",
        severity="ticket",
        summary="the embedded server ended and was started again",
        advice="Its last lines are in the log of the process that owns it.",
        page="server-away",
    ),
    Alert(
        name="RustokIggyPublishFailures",
        expression=f"""{grows("published_events", "5m", '{outcome=~"failed|unknown|unsent"}')} > 0""",
        lasting="0m",
        severity="ticket",
        summary="events could not be published",
        advice="The callers got the errors. Unknown ones may be stored: publish them again only as the same envelopes.",
        page="publishes-fail",
    ),
    Alert(
        name="RustokIggyPublishQueueFull",
        expression=f"{m('publish_backpressure')} == 2",
        lasting="1m",
        severity="page",
        summary="{{ $labels.instance }} takes no more events to publish",
        advice="The server is slower than the publishers: look at publish_seconds, disk and network of the server.",
        page="publishes-fail",
    ),
    Alert(
        name="RustokIggyLag",
        expression=f"{highest('lag_events')} > 10000",
        lasting="10m",
        severity="ticket",
        summary="group {{ $labels.group }} lags by {{ $value }} events in {{ $labels.topic }}/{{ $labels.partition }}",
        advice="Slow handlers, too few members, or one tenant that floods: look at handler_seconds and polled_events.",
        page="lag-grows",
    ),
    Alert(
        name="RustokIggyNobodyConsumes",
        expression=f"sum by (group, topic) ({m('partitions')}) == 0",
        lasting="5m",
        severity="page",
        summary="no process has a partition of {{ $labels.topic }} for group {{ $labels.group }}",
        advice="Look at the logs for subscription_failed and assignment_unknown.",
        page="nobody-consumes",
    ),
    Alert(
        name="RustokIggyStuckLane",
        expression=f"{m('stuck_deliveries')} > 0",
        lasting="2m",
        severity="page",
        summary="a handler of group {{ $labels.group }} does not end",
        advice="Its tenant waits. /readyz names the event; set handler_timeout so that it ends by itself.",
        page="stuck-handler",
    ),
    Alert(
        name="RustokIggyBreakerOpen",
        expression=f"{m('breaker_open')} == 1",
        lasting="2m",
        severity="page",
        summary="nearly every delivery of group {{ $labels.group }} fails",
        advice="What its handlers depend on is down. Nothing is parked meanwhile; it goes on by itself.",
        page="dead-letter-flood",
    ),
    Alert(
        name="RustokIggyHandlerTimeouts",
        expression=f"{grows('handler_timeouts', '15m')} > 5",
        lasting="0m",
        severity="ticket",
        summary="handlers of group {{ $labels.group }} run into their time limit",
        advice="Look at handler_seconds, and at what the handlers wait for.",
        page="stuck-handler",
    ),
    Alert(
        name="RustokIggyRebalanceLoop",
        # One that dies every five minutes, which is how rarely Kubernetes starts it in the end, makes four in ten; a
        # deployment makes many, and is over sooner.
        expression=f"max by (transport, group, topic) (increase({m('rebalances')}[10m])) > 3",
        lasting="20m",
        severity="ticket",
        summary="partitions of group {{ $labels.group }} are dealt anew again and again",
        advice="A member that blocks its event loop or dies takes the partitions of healthy ones along.",
        page="rebalance-loop",
    ),
    Alert(
        name="RustokIggyEventsGone",
        expression=f"{grows('gaps', '15m')} > 0",
        lasting="0m",
        severity="page",
        summary="events were deleted before group {{ $labels.group }} handled them",
        advice="Retention is shorter than the group stood still, or the log was reset.",
        page="events-gone",
    ),
    Alert(
        name="RustokIggyDeadLetterAge",
        expression=f"{highest('dead_letter_age')} > 3600",
        lasting="5m",
        severity="ticket",
        summary="a dead letter of group {{ $labels.group }} is older than an hour",
        advice="Its tenant may wait behind it. `rustok-iggy dlq stats`, mend the cause, redrive.",
        page="tenant-parked",
    ),
    Alert(
        name="RustokIggyDeadLetterFlood",
        expression=f"""{grows("settled_events", "10m", '{outcome="letter"}')} > 100""",
        lasting="0m",
        severity="page",
        summary="{{ $value }} events of group {{ $labels.group }} became dead letters within ten minutes",
        advice="`rustok-iggy dlq stats` shows the fingerprints; a deployment that just went out is the usual cause.",
        page="dead-letter-flood",
    ),
    Alert(
        name="RustokIggyDeadLettersUnwritable",
        expression=f"{m('unreachable_journals')} > 0 or {m('refused_dead_letters')} > 0",
        lasting="2m",
        severity="page",
        summary="group {{ $labels.group }} cannot keep what it could not handle",
        advice="Nothing is lost, but its lanes wait. Look at the dead-letter topic; /readyz names an event too big.",
        page="dead-letters-unwritable",
    ),
    Alert(
        name="RustokIggyDeadLettersExpired",
        expression=f"{m('expired_journals')} > 0",
        lasting="0m",
        severity="page",
        summary="the server deleted dead letters of group {{ $labels.group }} that were open",
        advice="They are gone. Raise retention.dlq_max_age_days, and find out who removed the readers' offsets.",
        page="events-gone",
    ),
    Alert(
        name="RustokIggyLoopBlocked",
        expression=f"{m('observation_age')} > 0",
        lasting="2m",
        severity="ticket",
        summary="the event loop of {{ $labels.instance }} does not answer",
        advice="A handler computes in the loop: make it a plain `def`, which runs in a thread.",
        page="stuck-handler",
    ),
)
