"""Metrics for Prometheus: counters that exist anyway, read when they are scraped."""

from prometheus_client import REGISTRY, CollectorRegistry

from rustok_iggy.metrics.collector import Exposure, expose_metrics, render_metrics

__all__ = ["REGISTRY", "CollectorRegistry", "Exposure", "expose_metrics", "render_metrics"]
