"""IggyConfig: defaults, strings for enums, plain values for the parts, and every problem at once."""

import pytest

from rustok_iggy import ConfigError, Durability, EmbeddedConfig, IggyConfig, IggyMode, RemoteConfig, SerializationFormat
from rustok_iggy.backpressure import BackpressureConfig, BackpressurePolicy
from rustok_iggy.config import ConsumerConfig, EventTransportKind
from rustok_iggy_connector import EmbeddedConnectorConfig, Engine, RemoteConnectorConfig


def problems_of(config: IggyConfig) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config.validate()
    return caught.value.problems


def test_the_defaults_are_rustoks() -> None:
    config = IggyConfig()
    config.validate()
    assert (config.mode, config.serialization) == (IggyMode.EMBEDDED, SerializationFormat.JSON)
    assert (config.embedded.data_dir, config.embedded.engine, config.embedded.tcp_port) == (
        "./data/iggy",
        Engine.AUTO,
        0,
    )
    topology = config.topology
    assert (topology.stream_name, topology.domain_partitions, topology.system_partitions) == ("rustok", 8, 1)
    assert topology.durability is Durability.PERSISTED
    retention = config.retention
    assert (retention.domain_max_age_days, retention.domain_max_size_gb) == (30, 10)
    assert (retention.system_max_age_days, retention.dlq_max_age_days) == (7, 365)


def test_strings_and_plain_values_are_taken() -> None:
    config = IggyConfig(
        mode="remote",
        serialization="postcard",
        remote={"addresses": ["a:1", "b:2"], "password": "p", "tls": {"enabled": True}},
        topology={"durability": "replicated", "domain_partitions": 4},
    )
    config.validate()
    assert config.mode is IggyMode.REMOTE
    assert config.serialization is SerializationFormat.POSTCARD
    assert (config.remote.addresses, config.remote.tls.enabled) == (("a:1", "b:2"), True)
    assert config.topology.durability is Durability.REPLICATED


def test_the_parts_are_the_connectors_own() -> None:
    assert (EmbeddedConfig, RemoteConfig) == (EmbeddedConnectorConfig, RemoteConnectorConfig)
    assert IggyConfig(embedded=EmbeddedConfig(data_dir="d")).connector.embedded.data_dir == "d"


def test_all_problems_of_the_arguments_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        IggyConfig(mode="cloud", serialization="bincode", embedded={"dat_dir": "x"}, topology={"domain_partitions": []})
    assert caught.value.problems == (
        "mode: 'cloud' is not supported; use one of embedded, remote, memory",
        "serialization: 'bincode' is not supported; RusToK's bytes are Postcard today; use postcard",
        "embedded.dat_dir: unknown key; did you mean data_dir?",
        "topology.domain_partitions: Expected `int`, got `array`",
    )


@pytest.mark.parametrize(
    ("part", "values", "problem"),
    [
        ("topology", {"stream_name": "123"}, "topology.stream_name: '123' is a number"),
        ("topology", {"stream_name": ""}, "topology.stream_name: '' has 0 bytes (a name has 1 to 255 bytes"),
        ("topology", {"stream_name": "ä" * 128}, f"topology.stream_name: '{'ä' * 40}' has 256 bytes"),
        ("topology", {"domain_partitions": 0}, "topology.domain_partitions: 0 is not between 1 and 1000"),
        ("topology", {"system_partitions": 1001}, "topology.system_partitions: 1001 is not"),
        ("topology", {"stream_name": "a\nb"}, r"topology.stream_name: 'a\nb' has a character that cannot be printed"),
        ("topology", {"replication_factor": 3}, "topology.replication_factor: 3, but mode embedded has one node"),
        ("topology", {"replication_factor": 0}, "topology.replication_factor: 0 is below 1"),
        ("retention", {"dlq_max_age_days": -1}, "retention.dlq_max_age_days: is negative"),
        ("consumer", {"drain_timeout": 28.0}, "consumer.drain_timeout: with two heartbeats"),
        ("consumer", {"heartbeat_interval": 0}, "consumer.heartbeat_interval: must be above 0"),
        ("consumer", {"max_prefetch": 0}, "consumer.max_prefetch: must be at least 1"),
    ],
)
def test_a_value_out_of_range_is_named(part: str, values: dict[str, object], problem: str) -> None:
    (found,) = problems_of(IggyConfig(**{part: values}))
    assert found.startswith(problem)


def test_numbers_of_the_transport_are_checked() -> None:
    found = problems_of(IggyConfig(publish_timeout=0, close_timeout=-1, max_event_bytes=0))
    assert [problem.partition(":")[0] for problem in found] == ["publish_timeout", "close_timeout", "max_event_bytes"]


def test_how_many_nodes_a_cluster_has_is_the_servers_to_say() -> None:
    """One address, of a load balancer or of any node, may stand for all of them."""
    remote = {"addresses": ["a:1"], "password": "p"}
    IggyConfig(mode="remote", remote=remote, topology={"replication_factor": 3}).validate()


def test_only_the_part_that_the_mode_uses_is_checked() -> None:
    bad_remote = {"addresses": ["nowhere"]}
    IggyConfig(remote=bad_remote).validate()
    assert len(problems_of(IggyConfig(mode="remote", remote=bad_remote))) == 2


def test_the_memory_transport_needs_no_server() -> None:
    config = IggyConfig(mode="remote", transport="memory")
    config.validate()
    assert config.transport is EventTransportKind.MEMORY
    assert config.connector.mode is IggyMode.MEMORY


def test_an_outbox_is_refused_while_there_is_none() -> None:
    with pytest.raises(ConfigError) as caught:
        IggyConfig(transport="outbox")
    (problem,) = caught.value.problems
    assert problem.endswith("this version has no outbox, and nothing would relay its events; use iggy or memory")


def test_secrets_are_not_shown() -> None:
    config = IggyConfig(mode="remote", remote={"password": "hunter2", "token": None})
    assert "hunter2" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        IggyConfig(remote={"password": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_the_default_drain_fits_the_servers_patience() -> None:
    assert not list(ConsumerConfig().problems("consumer"))


def test_the_publish_queue_is_checked_with_the_rest() -> None:
    wrong = {"max_queue_depth": 0, "critical_threshold": 2.0}
    found = [problem.partition(":")[0] for problem in problems_of(IggyConfig(backpressure=wrong))]  # type: ignore[arg-type] # plain dicts are taken
    assert found == [
        "backpressure.max_queue_depth",
        "backpressure.warning_threshold, backpressure.critical_threshold",
    ]
    [too_small] = problems_of(IggyConfig(backpressure=BackpressureConfig(max_queue_bytes=1000)))
    assert too_small.startswith("backpressure.max_queue_bytes")
    assert IggyConfig(backpressure={"policy": "wait"}).backpressure.policy is BackpressurePolicy.WAIT  # type: ignore[arg-type] # as above
