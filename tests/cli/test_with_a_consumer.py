"""The whole way with a real consumer beside the commands: a handler breaks, letters, mended, redriven, traced."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from rustok_iggy import DeliveryContext, EventEnvelope, MemoryTransport, ParkTenant, Retry
from rustok_iggy.partitioning import partition_for
from rustok_iggy_connector import IggyConnector
from tests.cli.command_line import CommandLine, Result
from tests.consumer.hosts import catalog, counted

EVENTS = 8
ROUNDS = 100
"""Looks until something must have happened; each takes a tenth of a second and more."""


class Host:
    """A service of group billing whose handler fails from event 3 on, until it is mended."""

    def __init__(self, line: CommandLine) -> None:
        self.config = line.config
        self.is_broken = True
        self.handled: list[int] = []
        self.tenants: list[UUID] = []

    async def __call__(self, connector: IggyConnector) -> None:
        async with MemoryTransport(self.config, catalog=catalog, connector=connector) as transport:

            @transport.subscribe(group="billing", on_failure=ParkTenant(retry=Retry(attempts=1)))
            async def bill(envelope: EventEnvelope, context: DeliveryContext) -> None:
                number = envelope.event.number  # type: ignore[attr-defined]  # Counted has it
                if number >= 3 and self.is_broken:
                    raise ValueError("no rate")
                self.handled.append(number)
                self.tenants.append(envelope.tenant_id)

            async with transport.consuming():
                await asyncio.Event().wait()


def until(look: Callable[[], Result], condition: Callable[[Result], bool]) -> Result:
    for _ in range(ROUNDS):
        result = look()
        if condition(result):
            return result
    raise AssertionError(f"never: {result!r}")


def until_letters(line: CommandLine, count: int) -> Result:
    def look() -> Result:
        line.run("doctor", "--watch", 0.3)  # the host works meanwhile
        return line.run("dlq", "stats", "--json")

    return until(look, lambda result: result.code == 0 and result.json["letters"] == count)


def test_break_look_mend_redrive_trace(line: CommandLine) -> None:
    envelopes = line.publish_numbers(EVENTS)
    line.beside = host = Host(line)

    found = until_letters(line, EVENTS - 3)
    assert {each["cause"]: each["letters"] for each in found.json["causes"]} == {"sequence": EVENTS - 4, "failed": 1}
    assert found.json["parked_tenants"] == 1
    host.is_broken = False
    done = line.run("dlq", "redrive", "--group", "billing", "--all", "--canary", 1, "--yes", "--json", "--by", "ada")
    assert done.code == 0, done
    assert [(each["state"], each["handled"]) for each in done.json] == [("done", 1), ("done", EVENTS - 4)]
    assert host.handled == list(range(EVENTS))
    trace = line.run("trace", envelopes[3].id, "--json").json
    assert trace["groups"][0]["state"] == "handled after a redrive"
    assert [each["what"] for each in trace["journal"]] == ["dead letter", "redrive 1", "handled"]
    assert "asked for by ada" in trace["journal"][1]["detail"]


def test_the_canary_of_one_partition_runs_to_its_end_before_the_rest(line: CommandLine) -> None:
    tenants = {partition_for(UUID(int=number), 4): UUID(int=number) for number in range(1, 50)}
    first, second = tenants[0], tenants[3]
    line.publish(*(counted(number, tenant) for number in (3, 4, 5) for tenant in (second, first)))
    line.beside = host = Host(line)
    until_letters(line, 6)
    host.is_broken = False
    done = line.run("dlq", "redrive", "--group", "billing", "--all", "--canary-partition", "--yes", "--json")
    assert done.code == 0, done
    assert [(each["state"], each["handled"], each["left"]) for each in done.json] == [("done", 3, 0), ("done", 3, 0)]
    assert host.tenants == [first] * 3 + [second] * 3
