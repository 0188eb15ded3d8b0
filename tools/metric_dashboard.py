"""The Grafana dashboard: a panel for each row of the metric table, and a line of the most important ones on top."""

from __future__ import annotations

from typing import Any

from rustok_iggy.metrics.catalog import METRICS, SECTIONS
from rustok_iggy.metrics.metric import Kind, Metric, Scope

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
UNITS = {"seconds": "s", "bytes": "bytes"}
FIRST_LOOK = ("ready", "connected", "lag_events", "dead_letters", "parked_tenants", "breaker_open")
"""What a person at 3 a.m. looks at first."""
BAD_FROM = {"lag_events": 10_000.0}
QUANTILES = {"p50": 0.5, "p99": 0.99}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it (schema 39, Grafana 10 and later)."""
    return {
        "uid": "rustok-iggy",
        "title": "rustok-iggy",
        "tags": ["rustok-iggy"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _variable("transport"), _variable("group")]},
        "panels": _numbered([*_first_look(), *_sections(top=4)]),
    }


def expression(metric: Metric) -> str:
    """Return what a panel shows of a metric: rates of counters, all processes together."""
    labels = ", ".join(metric.labels)
    by = f" by ({labels})" if labels else ""
    selected = f"{metric.full_name}{_selector(metric)}"
    if metric.kind is Kind.COUNTER:
        return f"sum{by} (rate({selected}[$__rate_interval]))"
    return f"{metric.across}{by} ({selected})"


def quantile(metric: Metric, share: float) -> str:
    """Return a quantile of a histogram."""
    labels = ", ".join(("le", *metric.labels))
    selected = f"{metric.full_name}_bucket{_selector(metric)}"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({selected}[$__rate_interval])))"


def _selector(metric: Metric) -> str:
    group = ', group=~"$group"' if metric.scope in {Scope.GROUP, Scope.PARTITION} else ""
    return f'{{transport=~"$transport"{group}}}'


def _first_look() -> list[dict[str, Any]]:
    by_name = {metric.name: metric for metric in METRICS}
    return [_stat(by_name[name], x=4 * index) for index, name in enumerate(FIRST_LOOK)]


def _stat(metric: Metric, *, x: int) -> dict[str, Any]:
    good_is_high = metric.across == "min"
    steps = [
        {"color": "red" if good_is_high else "green", "value": None},
        {"color": "green" if good_is_high else "red", "value": BAD_FROM.get(metric.name, 1.0)},
    ]
    return {
        "type": "stat",
        "title": metric.name.replace("_", " "),
        "description": metric.help,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": 0, "w": 4, "h": 4},
        "fieldConfig": {"defaults": {"thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"},
        "targets": [_target(f"{metric.across} ({metric.full_name}{_selector(metric)})", "")],
    }


def _sections(*, top: int) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    for title, metrics in SECTIONS.items():
        position = {"x": 0, "y": top, "w": WIDTH * COLUMNS, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": position})
        for index, metric in enumerate(metrics):
            row, column = divmod(index, COLUMNS)
            panels.append(_graph(metric, x=column * WIDTH, y=top + 1 + row * HEIGHT))
        top += 1 + -(-len(metrics) // COLUMNS) * HEIGHT
    return panels


def _graph(metric: Metric, *, x: int, y: int) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        targets = [_target(quantile(metric, share), f"{name} {legend}".strip()) for name, share in QUANTILES.items()]
    else:
        targets = [_target(expression(metric), legend)]
    per_second = metric.kind is Kind.COUNTER
    unit = "Bps" if per_second and metric.unit == "bytes" else "cps" if per_second else UNITS.get(metric.unit, "short")
    return {
        "type": "timeseries",
        "title": metric.name.replace("_", " ") + (" per second" if per_second else ""),
        "description": metric.help,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _target(query: str, legend: str) -> dict[str, Any]:
    return {"expr": query, "legendFormat": legend or "__auto", "datasource": DATASOURCE, "range": True}


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variable(label: str) -> dict[str, Any]:
    source = "rustok_iggy_ready" if label == "transport" else "rustok_iggy_polled_events_total"
    return {
        "name": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({source}, {label})", "refId": label},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }


def _numbered(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for panel_id, panel in enumerate(panels, start=1):
        panel["id"] = panel_id
        for index, target in enumerate(panel.get("targets", ())):
            target["refId"] = chr(ord("A") + index)
    return panels
