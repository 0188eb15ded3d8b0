"""Consumer groups as clients meet them: fences, hand-over, eviction. Their rules are tested in test_groups.py."""

from rustok_iggy_connector.local_server.broker import HEARTBEAT_TIMEOUT
from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import groups, messages, system
from tests.local_server.clients import GROUP, Clock, join, logged_in, owned, payloads, poll, send, store, stored


def test_a_group_is_fenced_and_its_offsets_go_with_it(server: InProcessServer, topic: InProcessSession) -> None:
    topic.request(send(b"a", b"b"))
    stranger = topic.request(poll(GROUP))
    assert stranger == messages.PollMessagesReply(partition_id=messages.NO_PARTITION, current_offset=0, count=0)
    assert topic.request(store(GROUP, 0)) == Refusal(Status.RESOURCE_NOT_FOUND)
    join(topic)
    assert payloads(topic.request(poll(GROUP))) == [b"a", b"b"]
    assert topic.request(store(GROUP, 1)) == system.Empty()
    assert stored(topic, GROUP) == 1
    topic.request(groups.DeleteGroup(stream="s", topic="t", group="g"))
    topic.request(groups.CreateGroup(stream="s", topic="t", name="g"))
    assert stored(topic, GROUP) is None
    assert not server._broker.logs[1].offsets


def test_a_second_member_gets_a_partition_when_it_is_committed(
    server: InProcessServer, topic: InProcessSession
) -> None:
    topic.request(send(b"a", partition=1))
    join(topic)
    topic.request(poll(GROUP, partition=1))
    second = logged_in(server)
    join(second)
    assert (owned(topic), owned(second)) == ((0,), ())
    topic.request(store(GROUP, 0, partition=1))
    assert (owned(topic), owned(second)) == ((0,), (1,))
    second.close()
    assert owned(topic) == (0, 1)


def test_a_partition_moves_after_30_seconds_also_without_a_commit(
    server: InProcessServer, topic: InProcessSession, clock: Clock
) -> None:
    topic.request(send(b"a", partition=1))
    join(topic)
    topic.request(poll(GROUP, partition=1))
    second = logged_in(server)
    join(second)
    clock.seconds += 29.9
    server.tick()
    assert owned(second) == ()
    clock.seconds += 0.2
    server.tick()
    assert owned(second) == (1,)


def test_a_silent_member_is_evicted_and_others_are_not(
    server: InProcessServer, topic: InProcessSession, clock: Clock
) -> None:
    idle, second = logged_in(server), logged_in(server)
    join(topic)
    join(second)
    clock.seconds += HEARTBEAT_TIMEOUT - 1
    topic.request(system.Ping())
    clock.seconds += 2
    server.tick()
    assert (topic.is_open, second.is_open, idle.is_open) == (True, False, True)
    assert owned(topic) == (0, 1)
