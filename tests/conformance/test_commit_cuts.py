"""A connection that is cut in the very step of a commit: the server never had it, or did it and nobody heard."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from rustok_iggy import IggyTransport
from rustok_iggy_connector import RemoteConnector
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands import command_of
from rustok_iggy_connector.wire.commands.offsets import StoreOffset
from rustok_iggy_connector.wire.connection import RequestFrame
from rustok_iggy_connector.wire.primitives import ConsumerKind
from tests.conformance.backends import Feature
from tests.conformance.services import (
    GROUP,
    PARK,
    PARTITIONS,
    Handler,
    Place,
    owned,
    place,
    publish,
    tenant_of,
    until_caught_up,
)
from tests.faults import Cut, fault_proxy
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.needs(Feature.NETWORK)]
__all__ = ["place"]


class CommitCutter:
    """Cuts the connection at the second commit of each partition; notes what the server was given to store."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.stored: defaultdict[int, list[int]] = defaultdict(list)
        self.cut_at: dict[int, int] = {}
        """By partition: the highest offset the server had of the group when the connection went."""

    def __call__(self, frame: RequestFrame) -> Cut | None:
        if command_of(frame.header, frame.body) is not Command.STORE_OFFSET:
            return None
        request = StoreOffset.decode(frame.body)
        partition, stored = request.partition_id, self.stored[request.partition_id or 0]
        if request.consumer.kind is not ConsumerKind.GROUP or partition is None:
            return None  # where the journal of dead letters begins
        cuts = len(stored) == 1 and partition not in self.cut_at
        if not (cuts and self._cut is Cut.BEFORE_REQUEST):
            stored.append(request.offset)
        if cuts:
            self.cut_at[partition] = stored[-1]
        return self._cut if cuts else None


@asynccontextmanager
async def service_behind(place: Place, cutter: CommitCutter, handler: Handler) -> AsyncIterator[IggyTransport]:
    config = place.backend.remote_config()
    async with fault_proxy(config.addresses[0], judge=cutter) as proxy:
        connector = RemoteConnector(msgspec.structs.replace(config, addresses=(proxy.address,)))
        async with place.transport(connector) as service:
            service.subscribe(group=GROUP, on_failure=PARK, deduplicate=False)(handler)
            async with service.consuming():
                yield service


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())
async def test_a_commit_that_is_cut_loses_nothing_and_never_goes_back(place: Place, cut: Cut) -> None:
    """Only what was not committed comes again, and the member owns its partitions again."""
    tenants = [tenant_of(partition) for partition in range(PARTITIONS)]
    cutter, handler = CommitCutter(cut), Handler()
    async with place.transport() as operator, service_behind(place, cutter, handler) as service:
        await publish(operator, tenants, range(5))
        await until_caught_up(operator)
        await publish(operator, tenants, range(5, 10))
        await until(lambda: len(cutter.cut_at) == PARTITIONS)
        await until_caught_up(operator)
        await until(lambda: len(owned(service)) == PARTITIONS)
        await publish(operator, tenants, range(10, 15))
        await until(lambda: handler.book.distinct == 15 * len(tenants))
        await until_caught_up(operator)
    for partition, tenant in enumerate(tenants):
        stored, numbers = cutter.stored[partition], handler.book.numbers(tenant)
        assert list(dict.fromkeys(numbers)) == list(range(15))
        assert stored == sorted(stored), "the offset went back"
        # A tenant that is alone in its partition has events that are numbered like their offsets.
        again = {number for number, count in Counter(numbers).items() if count > 1}
        assert not [number for number in again if number <= cutter.cut_at[partition]], "what was committed came again"
        assert max(Counter(numbers).values()) <= 1 + PARTITIONS, "once more for each connection that was cut"
