"""Events as JSON lines, as `publish` reads them.

    {"tenant_id": …, "event_type": …, "data": {…}, "actor_id"?: …, "trace_id"?: …}     a new event
    {"id": …, "event_type": …, …, "event": {"type": …, "data": {…}}, "retry_count": …}  an envelope, whole

The first kind gets its id from the run and the line's number: a run that goes on after an interruption gives the same
line the same id, and consumers pass over the copy. The second is what JsonSerializer and a replay to a file write.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import DecodeError, UnknownEventTypeError, UnsupportedVersionError
from rustok_iggy.serialization import JsonSerializer

REQUIRED = frozenset({"tenant_id", "event_type", "data"})


class LineError(Exception):
    """A line that is no event; its text says why, and quotes nothing of it."""


class _NewEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant_id: UUID
    event_type: str
    data: msgspec.Raw
    actor_id: UUID | None = None
    trace_id: str | None = None


class EventLines:
    """Reads lines into envelopes."""

    def __init__(self, catalog: EventCatalog, *, run: UUID) -> None:
        self._catalog = catalog
        self._run = run
        self._serializer = JsonSerializer(catalog)

    def envelope(self, line: bytes, *, number: int) -> EventEnvelope:
        """Return the event of line `number`. Raises LineError."""
        try:
            keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            if "event" in keys and "id" in keys:
                return self._serializer.decode(line)
            if not keys.keys() >= REQUIRED:
                raise LineError("is neither {tenant_id, event_type, data} nor a whole envelope")
            return self._new(msgspec.json.decode(line, type=_NewEvent), number)
        except (DecodeError, UnknownEventTypeError, UnsupportedVersionError) as error:
            raise LineError(str(error)) from None
        except msgspec.ValidationError as error:
            raise LineError(str(error).partition(" - ")[0] + _path(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise LineError("no JSON object") from None

    def _new(self, line: _NewEvent, number: int) -> EventEnvelope:
        spec = self._catalog.by_type(line.event_type)
        event: Any = msgspec.json.decode(line.data, type=spec.event_class)
        return EventEnvelope.new(
            line.tenant_id,
            event,
            actor_id=line.actor_id,
            trace_id=line.trace_id,
            ids=lambda: uuid5(self._run, str(number)),
        )


def _path(error: msgspec.ValidationError) -> str:
    _, found, path = str(error).partition(" - at `$")
    return f", at {path.rstrip('`').lstrip('.')}" if found and path != "`" else ""
