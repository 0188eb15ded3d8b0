"""What tells an owner of the journal that it is none any more, or that there is none any more."""

from __future__ import annotations

from rustok_iggy.dead_letters.records import Source
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy.topology import Topic


class OvertakenError(Exception):
    """The source partition was lost: a higher claim stands in the journal, or its owner put the pen down.

    A signal between the journal and the consumer, which treats the partition as lost; no user ever sees it.
    """


def letters_gone(source: Source, partition_id: int, *, count: int, position: int) -> OffsetOutOfRangeError:
    """Return the error for a journal that was emptied while `count` letters were open: what follows them must not run.

    Where none was open, nothing is lost, and it is claimed again.
    """
    return OffsetOutOfRangeError(
        f"topic {Topic.DLQ}, partition {partition_id}: it was emptied, and with it {count} open dead letters of group"
        f" {source.group}, topic {source.topic}, partition {source.partition}; started again, the group goes on"
        " without them",
        topic=Topic.DLQ,
        partition_id=partition_id,
        expected=position + 1,
        found=position,
    )
