"""A process that publishes once and ends: `python short_process.py ADDRESS USERNAME PASSWORD STREAM [how]`.

how: shutdown (default); abandon ends without shutting down; cancelled ends in the middle of publishes; refused logs in
with another password, which the server does not let in; connecting0.005 is cancelled 5 ms after it began to connect.
"""

import asyncio
import sys
import uuid

from rustok_iggy_connector import AuthenticationError, PublishRequest, RemoteConnector, RemoteConnectorConfig


async def main(address: str, username: str, password: str, stream: str, how: str = "shutdown") -> None:
    given = f"not {password}" if how == "refused" else password
    connector = RemoteConnector(RemoteConnectorConfig(addresses=(address,), username=username, password=given))
    if how.startswith("connecting"):
        connecting = asyncio.ensure_future(connector.connect())
        await asyncio.sleep(float(how.removeprefix("connecting")))
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        if not connecting.cancelled():
            await connector.shutdown()
        return
    try:
        await connector.connect()
    except AuthenticationError:
        assert how == "refused", "the password is right"
        return

    async def publish() -> None:
        await connector.publish(
            PublishRequest(stream=stream, topic="t", partition_id=0, payload=b"x", event_id=uuid.uuid4())
        )

    await publish()
    if how == "cancelled":
        tasks = [asyncio.ensure_future(publish()) for _ in range(8)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if how != "abandon":
        await connector.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
