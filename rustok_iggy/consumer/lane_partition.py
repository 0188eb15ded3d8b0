"""What the runner of a partition's lanes asks of the partition: consumer/partition.py, or a replay's."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from rustok_iggy.consumer.context import GroupLife
from rustok_iggy.consumer.parking import FailedDelivery


class Partition(Protocol):
    """What the runner asks the partition it works for."""

    partition_id: int

    @property
    def life(self) -> GroupLife: ...

    @property
    def generation(self) -> int: ...

    def may_begin(self) -> bool:
        """Whether a delivery may begin now."""
        ...

    def settle(self, offset: int) -> bool:
        """An event is done; whether the watermark should be stored because of how many are."""
        ...

    def changed(self) -> None:
        """There may be room for more, or the runner has become quiet."""
        ...

    def write_letter(self, failed: FailedDelivery) -> None:
        """Put a delivery into the journal that has failed for good."""
        ...

    def fail(self, error: Exception) -> None:
        """Stop: this delivery ends its subscription."""
        ...

    def after_delivery(self) -> Awaitable[None] | None:
        """What is to be awaited before the next delivery."""
        ...
