"""Writes docs/reference/metrics.md and docs/dashboards/ from the metric table: `make metrics`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from rustok_iggy.metrics.catalog import SECTIONS
from rustok_iggy.metrics.metric import Kind, Metric
from tools.metric_alerts import ALERTS, Alert
from tools.metric_dashboard import dashboard

DOCS = Path(__file__).parents[1] / "docs"
NOTICE = "Written by `make metrics` from rustok_iggy/metrics/catalog.py and tools/metric_alerts.py"
LINE_WIDTH = 110
INTRODUCTION = f"""# Metrics

{NOTICE}.

`expose_metrics(transport)` shows them in a Prometheus registry; `serve_health` and `health_app` answer /metrics. Values
are read when they are scraped: an event pays nothing for them but two histograms. All have the label `transport`, the
name given to `expose_metrics`. A tenant is never a label. *Together* says how to combine the values of several
processes.

A dashboard for Grafana is in [dashboards/grafana.json](../dashboards/grafana.json), rules for Prometheus are in
[dashboards/alerts.yaml](../dashboards/alerts.yaml).
"""


def files() -> dict[Path, str]:
    """Return what stands in each generated file."""
    return {
        DOCS / "reference" / "metrics.md": reference(),
        DOCS / "dashboards" / "grafana.json": json.dumps(dashboard(), indent=2) + "\n",
        DOCS / "dashboards" / "alerts.yaml": alerts(),
    }


def reference() -> str:
    """Return the page of all metrics and alerts."""
    return "\n".join(_reference())


def alerts() -> str:
    """Return the rules as Prometheus loads them (rule_files)."""
    groups = [{"name": "rustok-iggy", "rules": [_rule(alert) for alert in ALERTS]}]
    return f"# {NOTICE}\n" + yaml.safe_dump({"groups": groups}, sort_keys=False, width=LINE_WIDTH, allow_unicode=True)


def _reference() -> Iterator[str]:
    yield INTRODUCTION
    for title, metrics in SECTIONS.items():
        yield from (f"## {title}", "", "| name | kind | labels | together | what |", "|---|---|---|---|---|")
        yield from map(_row, metrics)
        yield ""
    yield from (
        "## Alerts",
        "",
        "| alert | when | for | severity | what to do | runbook |",
        "|---|---|---|---|---|---|",
    )
    for alert in ALERTS:
        query = alert.expression.replace("|", "\\|")
        when = f"`{query}` | {alert.lasting} | {alert.severity}"
        yield f"| {alert.name} | {when} | {alert.advice} | [{alert.page}](../runbooks/{alert.page}.md) |"
    yield ""


def _row(metric: Metric) -> str:
    values = f" ({', '.join(metric.sources)})" if metric.by else ""
    labels = ", ".join(f"`{label}`" for label in metric.labels) + values
    together = "sum" if metric.kind is not Kind.GAUGE else metric.across.value
    return f"| `{metric.full_name}` | {metric.kind} | {labels} | {together} | {metric.help} |"


def _rule(alert: Alert) -> dict[str, object]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.advice, "runbook": alert.runbook},
    }


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
