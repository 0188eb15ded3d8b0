"""JSON Schema and AsyncAPI of a catalogue: complete, without loose references, and true of what is written."""

from collections.abc import Iterator
from typing import Any

import pytest

from rustok_iggy.cli.schema_documents import TABLE, asyncapi, json_schema
from rustok_iggy.events import RUSTOK


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


DOCUMENTS = [json_schema(RUSTOK), asyncapi(RUSTOK, stream="rustok", version="1.2.3")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=["json-schema", "asyncapi"])
def test_every_reference_points_to_something(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


@pytest.mark.parametrize("document", DOCUMENTS, ids=["json-schema", "asyncapi"])
def test_the_table_has_every_event_type(document: dict[str, Any]) -> None:
    rows = document[TABLE]["events"]
    assert [(each["event_type"], each["version"], each["variant"]) for each in rows] == [
        (spec.event_type, spec.version, spec.variant) for spec in RUSTOK
    ]


def test_channels_are_the_topics() -> None:
    channels = DOCUMENTS[1]["channels"]
    assert channels["domain"]["address"] == "rustok/domain"
    assert "order.placed" in channels["domain"]["messages"]
    assert all(name.startswith("system.") for name in channels.get("system", {}).get("messages", {}))
    assert DOCUMENTS[1]["operations"]["publish.domain"]["action"] == "send"
