"""Writing an operator's request into the journal: acknowledged, in every dlq partition it concerns."""

from __future__ import annotations

from collections.abc import Mapping

from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.records import Request
from rustok_iggy.errors import RedriveError
from rustok_iggy.topology import Topic
from rustok_iggy_connector import ConnectorError, IggyConnector, PublishRequest, RetryPolicy

WRITE_TIMEOUT = 30.0
"""Seconds for each record, repetitions included, as for a published event."""


async def write_requests(
    connector: IggyConnector, requests: Mapping[int, Request], *, stream: str, retry: RetryPolicy | None = None
) -> dict[int, int]:
    """Write one record to each dlq partition (partition → record); return the offset of each.

    Repeated under the same message id while that may help. Raises RedriveError that says which partitions have it.
    """
    policy = retry or RetryPolicy(max_elapsed=WRITE_TIMEOUT)
    messages = {partition_id: encode_record(request) for partition_id, request in requests.items()}
    positions: dict[int, int] = {}
    for partition_id, message in sorted(messages.items()):
        request = PublishRequest(
            stream=stream,
            topic=Topic.DLQ,
            partition_id=partition_id,
            payload=message.payload,
            event_id=requests[partition_id].id,
            headers=message.headers,
        )

        async def publish(request: PublishRequest = request) -> int:
            return (await connector.publish(request)).offset

        try:
            positions[partition_id] = await policy.run(publish)
        except ConnectorError as error:
            raise RedriveError(_unwritten(requests, positions, error)) from error
    return positions


def _unwritten(requests: Mapping[int, Request], positions: Mapping[int, int], error: ConnectorError) -> str:
    missing = sorted(set(requests) - set(positions))
    known = f"; it stands in {sorted(positions)} and runs there" if positions else ""
    unknown = ", the first of them perhaps all the same" if error.outcome_unknown else ""
    request = next(iter(requests.values()))
    return (
        f"request {request.id} was not written to {Topic.DLQ} partitions {missing}{unknown}{known}: {error}."
        " Ask again when the server answers: letters that were settled meanwhile are left alone"
    )
