"""What tells an owner of the journal that it is none any more."""

from __future__ import annotations


class OvertakenError(Exception):
    """The source partition was lost: a higher claim stands in the journal, or its owner put the pen down.

    A signal between the journal and the consumer, which treats the partition as lost; no user ever sees it.
    """
