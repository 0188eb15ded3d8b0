"""Documentation, dashboard and alerts say what the metric table says, and nothing that is not in it."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from rustok_iggy.consumer.statistics import ConsumerStatistics
from rustok_iggy.metrics.catalog import METRICS
from rustok_iggy.metrics.metric import Kind
from rustok_iggy.publish_lane import ProducerStatistics
from rustok_iggy_connector import ConnectorStatistics
from tools.metric_alerts import ALERTS
from tools.metric_dashboard import dashboard
from tools.write_metrics import files

SUFFIXES = {Kind.COUNTER: ("",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
SERIES = {f"{metric.full_name}{suffix}": metric for metric in METRICS for suffix in SUFFIXES[metric.kind]}
OF_PROMETHEUS = {"transport", "instance", "job", "le"}
QUERIES = [alert.expression for alert in ALERTS] + [
    target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_file_is_what_make_metrics_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], "run `make metrics`"


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_only_metrics_and_labels_that_exist(query: str) -> None:
    series = re.findall(r"\brustok_iggy_\w+", query)
    assert series
    labels = set(OF_PROMETHEUS).union(*(SERIES[name].labels for name in series))
    used = {name for clause in re.findall(r"by \(([^)]*)\)", query) for name in re.split(r",\s*", clause)}
    used |= set(re.findall(r"(\w+)=~?\"", query))
    assert used <= labels
    assert query.count("(") == query.count(")")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_names_only_labels_that_its_query_leaves(alert: object) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.advice))
    by = re.search(r"by \(([^)]*)\)", alert.expression)
    series = SERIES[re.findall(r"\brustok_iggy_\w+", alert.expression)[0]]
    left = set(re.split(r",\s*", by.group(1))) if by else {*series.labels, *OF_PROMETHEUS}
    assert named <= left


def test_names_are_prometheus_names_and_stand_once() -> None:
    assert len({metric.full_name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"rustok_iggy_[a-z_]+", metric.full_name)
        assert metric.full_name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith(".")


def test_every_counter_of_the_transport_is_shown() -> None:
    shown = {source for metric in METRICS for source in (metric.sources.values() or (metric.source,))}
    kept = {
        *(f"publishing.{field.name}" for field in fields(ProducerStatistics)),
        *(f"events.{field.name}" for field in fields(ConsumerStatistics)),
        *(f"connector.{field.name}" for field in fields(ConnectorStatistics)),
    }
    assert kept - {"publishing.outage"} <= shown, "that one is a text, which health shows"


def test_the_files_can_be_read_by_what_loads_them() -> None:
    texts = {path.name: text for path, text in files().items()}
    rules = yaml.safe_load(texts["alerts.yaml"])["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == [alert.name for alert in ALERTS]
    assert all(re.fullmatch(r"\d+m", rule["for"]) for rule in rules)
    panels = json.loads(texts["grafana.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    spots = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(spots)) == len(spots), "no panel lies on another"
