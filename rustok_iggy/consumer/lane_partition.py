"""What the runner of a partition's lanes asks of the partition: consumer/partition.py, or a replay's."""

from __future__ import annotations

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

    def settle(self, offset: int) -> None:
        """An event is done."""
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

    def turn(self) -> int:
        """See to what is due; return after how many deliveries to do so again, if a turn has not ended before."""
        ...
