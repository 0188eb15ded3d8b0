"""Records before they are written: what an owner means to say, under whatever epoch it then has."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias
from uuid import UUID

from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.records import AnyRecord, Epoch, Letter, letter_id
from rustok_iggy_connector import OutgoingMessage

Drafted: TypeAlias = AnyRecord | tuple[AnyRecord, bytes]
RecordDraft: TypeAlias = Callable[[Epoch], Drafted]
"""Makes a record under an epoch, with its body where it has one (a letter: encode_original)."""


class Written(NamedTuple):
    """A record that goes out: its message, and the record as it will be read back."""

    message: OutgoingMessage
    record: AnyRecord


def written(drafted: Drafted, *, new_id: Callable[[], UUID]) -> Written:
    """Return a record with its message; a letter's id derives from its source. Raises as encode_record."""
    record, body = drafted if isinstance(drafted, tuple) else (drafted, b"")
    encoded = encode_record(record, body=body)
    message_id = letter_id(record.source, offset=record.offset) if isinstance(record, Letter) else new_id()
    return Written(OutgoingMessage(id=message_id, payload=encoded.payload, headers=encoded.headers), encoded.record)
