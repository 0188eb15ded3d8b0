"""What is refused before anybody asks who may: a user without the right hears of this first, as from iggy-server.

The handlers refuse the same by themselves, so this is asked about denied requests only. The order is that of
core/server/src/dispatch.rs: bounds and options before a command is replicated, and before a message or an offset is
authorized the partition it goes to.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.catalog import check_partitions_count, read_new_topic
from rustok_iggy_connector.local_server.handlers.messages import Send, place_of_offset, place_of_send
from rustok_iggy_connector.local_server.options import refuse_options
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands.partitions import CreatePartitions, DeletePartitions
from rustok_iggy_connector.wire.commands.topics import CreateTopic, UpdateTopic

Check: TypeAlias = Callable[[Broker, Session, Any], object]


def _options(broker: Broker, session: Session, request: Any) -> None:
    refuse_options(request.options)


def _new_topic(broker: Broker, session: Session, request: CreateTopic) -> None:
    read_new_topic(request.options, request.partitions_count)


def _topic_patch(broker: Broker, session: Session, request: UpdateTopic) -> None:
    broker.catalog.read_topic_patch(request.stream, request.topic, request.options)


def _partitions_count(broker: Broker, session: Session, request: CreatePartitions | DeletePartitions) -> None:
    check_partitions_count(request.partitions_count, least=1)


def _place_of_send(broker: Broker, session: Session, request: Send) -> None:
    place_of_send(broker, request)


PRECONDITIONS: Final = MappingProxyType[Command, Check](
    {
        Command.CREATE_STREAM: _options,
        Command.UPDATE_STREAM: _options,
        Command.CREATE_USER: _options,
        Command.UPDATE_USER: _options,
        Command.CREATE_TOPIC: _new_topic,
        Command.UPDATE_TOPIC: _topic_patch,
        Command.CREATE_PARTITIONS: _partitions_count,
        Command.DELETE_PARTITIONS: _partitions_count,
        Command.SEND_MESSAGES: _place_of_send,
        Command.STORE_OFFSET: place_of_offset,
        Command.DELETE_OFFSET: place_of_offset,
    }
)
"""Each raises Refusal; what it gives nobody needs."""
