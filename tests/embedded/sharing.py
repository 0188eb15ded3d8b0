"""A process that publishes through the embedded server of a data directory, for tests that need several of them.

    python sharing.py DATA_DIR ENGINE NAME

Publishes until its standard input ends, repeating what failed with the same id. Prints `ready` after its first
confirmed message, and in the end one line for each confirmed one: partition, offset and message id.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).parents[2]))

from rustok_iggy_connector.config import EmbeddedConnectorConfig
from rustok_iggy_connector.connector import IggyConnector
from rustok_iggy_connector.embedded import EmbeddedConnector
from rustok_iggy_connector.errors import AlreadyExistsError, ConnectorError
from rustok_iggy_connector.models import PublishConfirmation, PublishRequest, TopicSpec

STREAM, TOPIC, PARTITIONS = "kept", "messages", 4


async def ensure_topic(connector: IggyConnector) -> None:
    """Safe for several at once."""
    for create in (
        lambda: connector.admin.create_stream(STREAM),
        lambda: connector.admin.create_topic(stream=STREAM, spec=TopicSpec(name=TOPIC, partitions=PARTITIONS)),
    ):
        try:
            await create()
        except AlreadyExistsError:
            continue


async def publish(connector: IggyConnector, partition: int, text: str) -> PublishConfirmation:
    """One message, repeated under its id until the server has confirmed it."""
    request = PublishRequest(
        stream=STREAM, topic=TOPIC, partition_id=partition, payload=text.encode(), event_id=uuid4()
    )
    while True:
        try:
            return await connector.publish(request)
        except ConnectorError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(0.01)


async def stored(connector: IggyConnector) -> dict[tuple[int, int], UUID]:
    """(partition, offset) → message id of everything in the topic."""
    reader = await connector.subscribe(stream=STREAM, topic=TOPIC)
    found: dict[tuple[int, int], UUID] = {}
    for partition in range(PARTITIONS):
        offset = 0
        while messages := await reader.poll(partition, offset=offset, max_messages=1000):
            found |= {(partition, message.offset): UUID(int=message.id) for message in messages}
            offset = messages[-1].offset + 1
    await reader.leave()
    return found


def missing(confirmed: list[PublishConfirmation], found: dict[tuple[int, int], UUID]) -> list[PublishConfirmation]:
    """What was confirmed and is not where the confirmation says."""
    return [one for one in confirmed if found.get((one.partition_id, one.offset)) != one.event_id]


async def main(data_dir: str, engine: str, name: str) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = loop.run_in_executor(None, sys.stdin.read)
    confirmed: list[PublishConfirmation] = []
    config = EmbeddedConnectorConfig(data_dir=data_dir, engine=engine, publish_clients=1)  # type: ignore[arg-type]
    async with EmbeddedConnector(config) as connector:
        await ensure_topic(connector)
        while not told_to_stop.done():
            number = len(confirmed)
            confirmed.append(await publish(connector, number % PARTITIONS, f"{name} {number}"))
            if number == 0:
                print("ready", "owner" if connector.is_owner else "attached", flush=True)
        owner = connector.is_owner
    for one in confirmed:
        print(one.partition_id, one.offset, one.event_id)
    print("owner" if owner else "attached", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
