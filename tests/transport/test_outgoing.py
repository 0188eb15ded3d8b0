"""From an envelope to its message: route, header, bounds."""

from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from rustok_iggy import EventCatalog, EventEnvelope, IggyConfig, JsonSerializer, UnknownEventTypeError, ValidationError
from rustok_iggy import outgoing as outgoing_module
from rustok_iggy.events import OrderPlaced
from rustok_iggy.message import read_rk_header
from rustok_iggy.outgoing import EnvelopeWriter
from rustok_iggy.partitioning import partition_for
from rustok_iggy.topology import desired_topology

catalog = EventCatalog("tests")


@catalog.event("system.noted")
class Noted(Struct, frozen=True, kw_only=True):
    text: str


def writer(**config: int) -> EnvelopeWriter:
    return EnvelopeWriter(
        JsonSerializer(catalog),
        desired_topology(IggyConfig(topology={"system_partitions": 5})),
        max_event_bytes=config.get("max_event_bytes", 1000),
    )


def test_the_message_carries_the_envelopes_id_bytes_and_tenant() -> None:
    tenant = uuid4()
    envelope = EventEnvelope.new(tenant, Noted(text="x"))
    route, message = writer().write(envelope)
    assert route[:2] == ("system", partition_for(tenant, 5))
    assert message.id == envelope.id
    assert JsonSerializer(catalog).decode(message.payload) == envelope
    assert message.headers is not None
    header = read_rk_header(message.headers)
    assert header is not None
    assert header.tenant_id == tenant


def test_an_event_that_is_too_large_is_refused_without_its_content() -> None:
    with pytest.raises(ValidationError, match="more than max_event_bytes") as caught:
        writer(max_event_bytes=500).write(EventEnvelope.new(uuid4(), Noted(text="secret" * 100)))
    assert "secret" not in str(caught.value)


def test_the_nil_tenant_is_refused() -> None:
    with pytest.raises(ValidationError, match="tenant_id"):
        writer().write(EventEnvelope.new(UUID(int=0), Noted(text="x")))


def test_an_event_of_another_catalogue_is_refused() -> None:
    order = OrderPlaced(order_id=uuid4(), customer_id=None, total=1, currency="EUR")
    with pytest.raises(UnknownEventTypeError, match="catalogue"):
        writer().write(EventEnvelope.new(uuid4(), order))


def test_routes_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing_module, "MAX_REMEMBERED_ROUTES", 3)
    subject = writer()
    tenants = [uuid4() for _ in range(10)]
    for tenant in tenants * 2:
        route, _ = subject.write(EventEnvelope.new(tenant, Noted(text="x")))
        assert route.partition_id == partition_for(tenant, 5)
        assert sum(len(routes) for routes in subject._routes.values()) <= 3
