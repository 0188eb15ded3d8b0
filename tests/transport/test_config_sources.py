"""Where values come from: files, profiles, ${NAME}, the environment, arguments, and which of them wins."""

import logging
from pathlib import Path

import pytest

from rustok_iggy import ConfigError, IggyConfig, IggyMode
from tests.logs import event_of

RUSTOKS = """
settings:
  rustok:
    events:
      transport: iggy
      relay_interval_ms: 1000
      iggy:
        mode: remote
        remote: {addresses: ["10.0.0.1:8090"], username: rustok, password: "${IGGY_PASSWORD}"}
        topology: {domain_partitions: 4}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, text: str, name: str = "iggy.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path | None = None, **arguments: object) -> tuple[str, ...]:
    arguments.setdefault("environment", {})
    with pytest.raises(ConfigError) as caught:
        IggyConfig.load(path, **arguments)  # type: ignore[arg-type]
    return caught.value.problems


def test_a_rustok_file_is_read_where_rustok_keeps_it(folder: Path) -> None:
    config = IggyConfig.load(written(folder, RUSTOKS), environment={"IGGY_PASSWORD": "s3cret"})
    assert (config.mode, config.remote.addresses) == (IggyMode.REMOTE, ("10.0.0.1:8090",))
    assert (config.remote.password, config.topology.domain_partitions) == ("s3cret", 4)


def test_a_flat_file_is_read_too(folder: Path) -> None:
    config = IggyConfig.load(written(folder, "embedded: {data_dir: here}\n"), environment={})
    assert config.embedded.data_dir == "here"


def test_toml_is_read_by_its_ending(folder: Path) -> None:
    path = written(folder, 'publish_timeout = 5\n[embedded]\ndata_dir = "here"\n', "iggy.toml")
    config = IggyConfig.load(str(path), environment={})
    assert (config.embedded.data_dir, config.publish_timeout) == ("here", 5.0)


def test_environment_goes_over_file_and_arguments_over_both(folder: Path) -> None:
    path = written(folder, "topology: {stream_name: file, domain_partitions: 2}\npublish_timeout: 1\n")
    environment = {"RUSTOK_IGGY__TOPOLOGY__STREAM_NAME": "environment", "RUSTOK_IGGY__PUBLISH_TIMEOUT": "2.5"}
    config = IggyConfig.load(path, environment=environment)
    assert (config.topology.stream_name, config.topology.domain_partitions) == ("environment", 2)
    assert config.publish_timeout == 2.5
    config = IggyConfig.load(path, environment=environment, topology={"stream_name": "argument"})
    assert (config.topology.stream_name, config.topology.domain_partitions) == ("argument", 2)


def test_the_environment_gives_lists_and_switches() -> None:
    config = IggyConfig.load(
        environment={
            "RUSTOK_IGGY__MODE": "remote",
            "RUSTOK_IGGY__REMOTE__ADDRESSES": "a:1, b:2",
            "RUSTOK_IGGY__REMOTE__PASSWORD": "12345",
            "RUSTOK_IGGY__REMOTE__TLS__ENABLED": "true",
            "RUSTOK_IGGY_SERVER": "not ours",
        }
    )
    assert config.remote.addresses == ("a:1", "b:2")
    assert config.remote.tls.enabled
    assert config.remote.password == "12345"


def test_a_profile_lies_over_the_file(folder: Path) -> None:
    base = written(folder, "topology: {stream_name: base, domain_partitions: 2}\n", "base.yaml")
    written(folder, "topology: {stream_name: live}\n", "production.yaml")
    assert IggyConfig.load(base, profile="production", environment={}).topology.stream_name == "live"
    config = IggyConfig.load(base, environment={"RUSTOK_ENV": "production"})
    assert (config.topology.stream_name, config.topology.domain_partitions) == ("live", 2)
    assert IggyConfig.load(base, environment={"RUSTOK_ENV": "test"}).topology.stream_name == "base"
    assert problems_of(base, profile="test") == (f"{folder / 'test.yaml'}: cannot be read: No such file or directory",)


def test_a_missing_variable_is_named_with_its_field(folder: Path) -> None:
    assert problems_of(written(folder, RUSTOKS)) == (
        "remote.password: the environment variable IGGY_PASSWORD is not set",
    )


def test_names_inside_text_are_replaced_and_may_be_escaped(folder: Path) -> None:
    path = written(folder, 'embedded: {data_dir: "${HOME}/iggy", server_path: "$${HOME}/x"}\n')
    config = IggyConfig.load(path, environment={"HOME": "/srv/ann"})
    assert (config.embedded.data_dir, config.embedded.server_path) == ("/srv/ann/iggy", "${HOME}/x")


def test_a_replaced_value_may_be_a_number(folder: Path) -> None:
    path = written(folder, "embedded: {tcp_port: $PORT_IS_NOT_IT}\n".replace("$PORT_IS_NOT_IT", '"${PORT}"'))
    assert IggyConfig.load(path, environment={"PORT": "8090"}).embedded.tcp_port == 8090


def test_everything_wrong_is_said_at_once(folder: Path) -> None:
    path = written(
        folder,
        "mode: remote\nserialisation: json\nremote: {adresses: [a], password: '${NOPE}'}\n"
        "topology: {domain_partitions: 0}\n",
    )
    assert problems_of(path, environment={"RUSTOK_IGGY__TOPOLOGI__STREAM_NAME": "x"}) == (
        "remote.password: the environment variable NOPE is not set",
        "serialisation: unknown key; did you mean serialization?",
        "remote.adresses: unknown key; did you mean addresses?",
        "topologi: unknown key; did you mean topology?",
        "topology.domain_partitions: 0 is not between 1 and 1000",
    )


@pytest.mark.parametrize("kind", ["kafka", "Iggyy", ""])
def test_an_unknown_transport_fails_at_start(kind: str) -> None:
    (problem,) = problems_of(environment={"RUSTOK_EVENT_TRANSPORT": kind})
    assert problem == f"transport: {kind!r} is not supported; use one of iggy, memory"


def test_the_transport_variable_goes_over_the_file(folder: Path) -> None:
    config = IggyConfig.load(
        written(folder, RUSTOKS), environment={"IGGY_PASSWORD": "x", "RUSTOK_EVENT_TRANSPORT": "memory"}
    )
    assert config.connector.mode is IggyMode.MEMORY


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("remote: [password: {", "is not YAML, line 1, column 21"),
        ("just text\n", "holds no keys"),
        ("settings: {rustok: {}}\n", "has no settings.rustok.events.iggy"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(folder: Path, text: str, problem: str) -> None:
    path = written(folder, text)
    assert problems_of(path) == (f"{path}: {problem}",)


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    assert problems_of(folder / "nothing.yaml") == (
        f"{folder / 'nothing.yaml'}: cannot be read: No such file or directory",
    )
    (folder / "latin.yaml").write_bytes(b"mode: \xe9\n")
    assert problems_of(folder / "latin.yaml") == (f"{folder / 'latin.yaml'}: is not UTF-8",)
    assert problems_of(folder) == (f"{folder}: cannot be read: Is a directory",)


def test_an_empty_file_means_the_defaults(folder: Path) -> None:
    assert IggyConfig.load(written(folder, ""), environment={}) == IggyConfig()


def test_a_secret_in_a_broken_file_is_not_shown(folder: Path) -> None:
    (problem,) = problems_of(written(folder, 'password: "hunter2\n  x: [\n'))
    assert "hunter2" not in problem


def test_a_port_for_http_is_noticed_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rustok_iggy")
    IggyConfig.load(written(folder, "embedded: {http_port: 3000}\n"), environment={})
    IggyConfig.load(written(folder, "embedded: {tcp_port: 0}\n"), environment={})
    assert [event_of(record) for record in caplog.records] == ["http_port_ignored"]
