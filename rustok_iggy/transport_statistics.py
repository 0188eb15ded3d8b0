"""Counters of a transport since it was opened."""

from __future__ import annotations

from dataclasses import dataclass

from rustok_iggy.consumer.group_statistics import GroupStatistics
from rustok_iggy.consumer.statistics import ConsumerStatistics
from rustok_iggy.publish_lane import ProducerStatistics
from rustok_iggy_connector import ConnectorStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportStatistics:
    """What was published and consumed, and what that took of the connector."""

    publishing: ProducerStatistics
    consuming: ConsumerStatistics
    connector: ConnectorStatistics
    groups: tuple[GroupStatistics, ...] = ()
    """What this process consumes, each group on each topic by itself; `consuming` is their sum."""
