"""Which server is chosen, what it is told, and what it never gets to see."""

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy_connector.config import EmbeddedConnectorConfig, Engine
from rustok_iggy_connector.data_directory import Credentials
from rustok_iggy_connector.engines import ServerProgram, find_program, launch
from rustok_iggy_connector.errors import IncompatibleServerError, ServerNotFoundError, ServerStartupError
from tests.embedded.conftest import write_program
from tests.logs import event_of

NOWHERE: Mapping[str, str] = {"PATH": "/nonexistent"}
CREDENTIALS = Credentials(username="rustok", password="a long password")


def server(path: Path, version: str = "server 0.9.0") -> Path:
    path.parent.mkdir(exist_ok=True)
    return write_program(path, f"echo '{version}'")


def find(environment: Mapping[str, str] = NOWHERE, holds: Engine | None = None, **settings: Any) -> ServerProgram:
    return find_program(EmbeddedConnectorConfig(**settings), holds=holds, environment=environment)


def test_a_named_path_comes_before_the_variable_and_the_variable_before_path(tmp_path: Path) -> None:
    named, variable, searched = (server(tmp_path / name / "iggy-server") for name in "abc")
    environment = {"IGGY_SERVER_PATH": str(variable), "PATH": str(searched.parent)}
    assert find(environment, server_path=str(named)).path == named
    assert find(environment).path == variable
    assert find({"PATH": str(searched.parent)}).path == searched


def test_a_named_path_that_is_wrong_is_an_error_even_when_path_has_one(tmp_path: Path) -> None:
    environment = {"PATH": str(server(tmp_path / "a" / "iggy-server").parent)}
    with pytest.raises(ServerNotFoundError, match=r"embedded\.server_path: /no/where names .*apache/iggy:0\.9\.0"):
        find(environment, server_path="/no/where")
    with pytest.raises(ServerNotFoundError, match=r"\$IGGY_SERVER_PATH names /no/where"):
        find(environment | {"IGGY_SERVER_PATH": "/no/where"})


def test_a_file_that_cannot_be_executed_is_not_a_program(tmp_path: Path) -> None:
    path = server(tmp_path / "iggy-server")
    path.chmod(stat.S_IRUSR)
    with pytest.raises(ServerNotFoundError, match="no program that can be run"):
        find(server_path=str(path))


def test_auto_without_a_binary_runs_the_local_server_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    assert find().engine is Engine.LOCAL
    (warning,) = caplog.records
    assert (warning.levelname, event_of(warning)) == ("WARNING", "embedded_server_is_for_development")
    assert "apache/iggy:0.9.0" in warning.getMessage()


def test_local_asked_for_by_name_does_not_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environment = {"PATH": str(server(tmp_path / "iggy-server").parent)}
    assert find(environment, engine="local").engine is Engine.LOCAL
    assert caplog.records == []


@pytest.mark.parametrize("settings", [{"engine": "iggy-server"}, {"use_binary_fallback": False}])
def test_where_a_binary_is_demanded_its_absence_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ServerNotFoundError, match=r"no iggy-server was found; take .*engine: local needs no binary"):
        find(**settings)


@pytest.mark.parametrize(
    ("settings", "holds"),
    [
        ({"engine": "local"}, Engine.IGGY_SERVER),
        ({"engine": "iggy-server"}, Engine.LOCAL),
        ({"use_binary_fallback": False}, Engine.LOCAL),
    ],
)
def test_data_of_the_other_engine_are_not_taken_for_an_empty_log(settings: dict[str, Any], holds: Engine) -> None:
    with pytest.raises(ServerStartupError, match=rf"holds data of engine {holds}.*Set embedded\.engine: {holds}"):
        find(holds=holds, **settings)


def test_auto_stays_with_the_engine_whose_data_are_there(tmp_path: Path) -> None:
    environment = {"PATH": str(server(tmp_path / "iggy-server").parent)}
    assert find(environment, holds=Engine.LOCAL).engine is Engine.LOCAL
    with pytest.raises(ServerNotFoundError, match="only it can read them"):
        find(holds=Engine.IGGY_SERVER)


@pytest.mark.parametrize("version", ["server 0.8.0", "server 0.10.0", "server 1.0.0", "server 0.10.0-edge.1"])
def test_another_generation_is_refused_with_both_versions(tmp_path: Path, version: str) -> None:
    path = server(tmp_path / "iggy-server", version)
    with pytest.raises(IncompatibleServerError, match=r"speaks to 0\.9 only.*apache/iggy:0\.9\.0") as raised:
        find(server_path=str(path))
    assert raised.value.server_version == version.removeprefix("server ")


@pytest.mark.parametrize(
    "answer", ["ls (GNU coreutils) 9.4", "", "server", "web server 0.9.0 for all", "observer 0.9.0"]
)
def test_a_binary_that_is_not_iggy_server_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(ServerNotFoundError, match="is not an iggy-server"):
        find(server_path=str(server(tmp_path / "iggy-server", answer)))


def test_a_broken_binary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "iggy-server"
    path.write_bytes(b"\x7fELF but no more")
    path.chmod(0o755)
    with pytest.raises(ServerNotFoundError, match="not a working iggy-server"):
        find(server_path=str(path))


def test_a_binary_that_hangs_is_refused_within_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy_connector.engines.VERSION_TIMEOUT", 0.2)
    path = write_program(tmp_path / "iggy-server", "exec sleep 60")
    with pytest.raises(ServerNotFoundError, match="no answer within"):
        find(server_path=str(path))


@pytest.mark.parametrize(("version", "prefix"), [("0.9.0", "IGGY_"), ("0.9.0-edge.5", "IGGY_SYSTEM_")])
def test_settings_have_the_names_of_the_version(tmp_path: Path, version: str, prefix: str) -> None:
    program = ServerProgram(engine=Engine.IGGY_SERVER, version=version, path=tmp_path / "iggy-server")
    settings = launch(program, data_dir=tmp_path, port=0, credentials=CREDENTIALS).environment
    assert settings[f"{prefix}PATH"] == str(tmp_path)
    assert settings[f"{prefix}MEMORY_POOL_SIZE"] == "512 MiB"
    assert settings["IGGY_TCP_ADDRESS"] == "127.0.0.1:0"
    assert ("IGGY_SYSTEM_PATH" in settings) != ("IGGY_PATH" in settings)


@pytest.mark.parametrize("engine", [Engine.LOCAL, Engine.IGGY_SERVER])
def test_the_environment_is_clean_and_the_password_is_nowhere_else(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("IGGY_ENCRYPTION_KEY", "hunter2")
    path = tmp_path / "iggy-server" if engine is Engine.IGGY_SERVER else None
    program = ServerProgram(engine=engine, version="0.9.0", path=path)
    how = launch(program, data_dir=tmp_path, port=7, credentials=CREDENTIALS)
    assert "hunter2" not in how.environment.values()
    assert how.environment["IGGY_ROOT_PASSWORD"] == CREDENTIALS.password
    assert not any(CREDENTIALS.password in argument for argument in how.arguments)
    assert CREDENTIALS.password not in repr(how)
    assert how.follows_stdin == (engine is Engine.LOCAL)
    assert how.arguments[0] == sys.executable
