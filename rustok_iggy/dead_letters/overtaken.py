"""What tells an owner of the journal that it is none any more, or that there is none any more."""

from __future__ import annotations

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy.topology import Topic


class OvertakenError(Exception):
    """The source partition was lost: a higher claim stands in the journal, or its owner put the pen down.

    A signal between the journal and the consumer, which treats the partition as lost; no user ever sees it.
    """


def emptied(journal: Journal, partition_id: int) -> Exception:
    """Return the error for a journal of which nothing is left in its dlq partition.

    While letters were open, what follows them must not run. Where none was, nothing is lost, and it is claimed again.
    """
    source, count = journal.source, journal.open_count
    if not count:
        return OvertakenError(f"the dead-letter log of {source.topic}/{source.partition} was emptied: claim it again")
    return OffsetOutOfRangeError(
        f"topic {Topic.DLQ}, partition {partition_id}: it was emptied, and with it {count} open dead letters of group"
        f" {source.group}, topic {source.topic}, partition {source.partition}; started again, the group goes on"
        " without them",
        topic=Topic.DLQ,
        partition_id=partition_id,
        expected=journal.folded_up_to + 1,
        found=None,
    )
