"""Event types as documents: JSON Schema 2020-12 and AsyncAPI 3.0.0. Pure.

Both carry the same table under `x-rustok-iggy`: event type, schema version, name on the wire, variant index, the
versions that can be read, and where the schema of the data stands. schema_compatibility.py reads nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rustok_iggy.catalog import EventCatalog, EventSpec
from rustok_iggy.topology import Topic, topic_of

TABLE = "x-rustok-iggy"
FORMAT = 1
JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "3.0.0"
_UUID: Mapping[str, Any] = {"type": "string", "format": "uuid"}


def json_schema(catalog: EventCatalog) -> dict[str, Any]:
    """Return a schema that every envelope of the catalogue fits, in the JSON that JsonSerializer writes."""
    schemas, table = _tables(catalog, prefix="#/$defs/")
    return {
        "$schema": JSON_SCHEMA,
        "title": f"Envelopes of the {catalog.name} catalogue",
        TABLE: table,
        "oneOf": [_envelope(spec, schemas[spec.event_type]) for spec in catalog],
        "$defs": schemas["$components"],
    }


def asyncapi(catalog: EventCatalog, *, stream: str, version: str) -> dict[str, Any]:
    """Return the channels, messages and operations of a host that publishes the catalogue's events."""
    schemas, table = _tables(catalog, prefix="#/components/schemas/")
    by_topic = {topic: [each for each in catalog if topic_of(each.event_type) is topic] for topic in Topic}
    channels = {topic.value: specs for topic, specs in by_topic.items() if specs}
    return {
        "asyncapi": ASYNCAPI,
        "info": {"title": f"Events of the {catalog.name} catalogue", "version": version},
        "defaultContentType": "application/json",
        TABLE: table,
        "channels": {
            name: {
                "address": f"{stream}/{name}",
                "messages": {spec.event_type: _ref(f"#/components/messages/{spec.event_type}") for spec in specs},
            }
            for name, specs in channels.items()
        },
        "operations": {
            f"{verb}.{name}": {"action": action, "channel": _ref(f"#/channels/{name}")}
            for name in channels
            for verb, action in (("publish", "send"), ("handle", "receive"))
        },
        "components": {
            "messages": {
                spec.event_type: {
                    "name": spec.event_type,
                    "title": spec.name,
                    "payload": _envelope(spec, schemas[spec.event_type]),
                }
                for spec in catalog
            },
            "schemas": schemas["$components"],
        },
    }


def _tables(catalog: EventCatalog, *, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return where each type's schema stands, with all components; and the table."""
    classes = [spec.event_class for spec in catalog]
    shapes, components = msgspec.json.schema_components(classes, ref_template=prefix + "{name}")
    schemas: dict[str, Any] = {spec.event_type: shape for spec, shape in zip(catalog, shapes, strict=True)}
    schemas["$components"] = components
    readable: dict[str, list[int]] = {}
    for plan in catalog.reading_plans():
        readable.setdefault(plan.spec.event_type, []).append(plan.version)
    rows = [
        {
            "event_type": spec.event_type,
            "version": spec.version,
            "name": spec.name,
            "variant": spec.variant,
            "readable_versions": readable[spec.event_type],
            "data": schemas[spec.event_type],
        }
        for spec in catalog
    ]
    return schemas, {"format": FORMAT, "catalog": catalog.name, "events": rows}


def _envelope(spec: EventSpec, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of one type's envelope; the fields are those of EventEnvelope, in their order."""
    fields: dict[str, Any] = {
        "id": _UUID,
        "event_type": {"const": spec.event_type},
        "schema_version": {"const": spec.version},
        "correlation_id": _UUID,
        "causation_id": {"anyOf": [_UUID, {"type": "null"}]},
        "tenant_id": _UUID,
        "trace_id": {"type": ["string", "null"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "actor_id": {"anyOf": [_UUID, {"type": "null"}]},
        "event": {
            "type": "object",
            "properties": {"type": {"const": spec.name}, "data": data},
            "required": ["type", "data"],
        },
        "retry_count": {"type": "integer", "minimum": 0},
    }
    return {"title": spec.event_type, "type": "object", "properties": fields, "required": list(fields)}


def _ref(target: str) -> dict[str, str]:
    return {"$ref": target}
