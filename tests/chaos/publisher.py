"""A service that publishes at least once: python -m tests.chaos.publisher DIRECTORY.

Each tenant's events are numbered from 0. What was confirmed is noted before the next batch; whoever starts after a kill
goes on with the first number that was not, under the same id. Ends when the file `stop` is there and all is confirmed.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rustok_iggy import EventEnvelope, IggyTransport
from tests.chaos import program
from tests.chaos.histories import Confirmed, History, now, read_history
from tests.chaos.scenario import STOP, TENANTS, Happened, Settings, catalog, envelope

EVENTS_AT_ONCE = 3
"""Of each tenant in one batch, so that one of them may fail in the middle."""
PAUSE_AFTER_FAILURE = 0.05


async def publish(transport: IggyTransport, history: History[Confirmed], envelopes: list[EventEnvelope]) -> None:
    """Repeat what is not confirmed, in order, until all is."""
    while envelopes:
        results = await transport.publish_batch(envelopes)
        history.note(
            *[
                Confirmed(
                    at=now(),
                    tenant=happened(each).tenant,
                    number=happened(each).number,
                    partition=result.confirmation.partition_id,
                    offset=result.confirmation.offset,
                )
                for each, result in zip(envelopes, results, strict=True)
                if result.confirmation is not None
            ]
        )
        envelopes = [each for each, result in zip(envelopes, results, strict=True) if not result.is_confirmed]
        if envelopes:
            await asyncio.sleep(PAUSE_AFTER_FAILURE)


def happened(envelope: EventEnvelope) -> Happened:
    assert isinstance(envelope.event, Happened)
    return envelope.event


async def main(directory: Path, settings: Settings) -> None:
    # A batch goes to several partitions: a kill may leave one tenant behind the others.
    following = dict.fromkeys(range(TENANTS), 0)
    for each in read_history(directory, "publisher-", Confirmed):
        following[each.tenant] = max(following[each.tenant], each.number + 1)
    with History[Confirmed](directory / f"publisher-{os.getpid()}-{now()}.jsonl") as history:
        async with IggyTransport(settings.config, catalog=catalog) as transport:
            program.say_ready()
            stopping = False
            while not stopping:  # once at least: it repeats what was under way when the one before was killed
                stopping = (directory / STOP).exists()
                envelopes = [
                    envelope(settings, tenant, following[tenant] + each)
                    for each in range(EVENTS_AT_ONCE)
                    for tenant in following
                ]
                await publish(transport, history, envelopes)
                following = {tenant: number + EVENTS_AT_ONCE for tenant, number in following.items()}
                await asyncio.sleep(EVENTS_AT_ONCE / settings.rate)


if __name__ == "__main__":
    program.run(main)
