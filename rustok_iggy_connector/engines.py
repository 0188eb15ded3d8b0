"""Which server the embedded connector runs, and with which settings.

`find_program` decides what to run, `launch` how: arguments and a complete environment. Nothing of this process's own
environment is passed on but what a program needs to start: secrets of the host application stay with it.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rustok_iggy_connector.config import EmbeddedConnectorConfig, Engine
from rustok_iggy_connector.data_directory import Credentials
from rustok_iggy_connector.errors import IncompatibleServerError, ServerNotFoundError, ServerStartupError
from rustok_iggy_connector.logging import get_logger

log = get_logger(__name__)

BINARY = "iggy-server"
PATH_VARIABLE = "IGGY_SERVER_PATH"
GENERATION = (0, 9)
"""The one generation of the protocol that the client speaks; 0.8 and 0.10 are others."""
VERSION_TIMEOUT = 10.0
"""Seconds for `--version`, which answers within milliseconds; long enough for a cold, slow disk."""
VERSION_OUTPUT = re.compile(r"^(?:iggy-)?server (?P<version>(?P<major>\d+)\.(?P<minor>\d+)\.\d+(-\S+)?)$", re.MULTILINE)

HOW_TO_GET_IT = (
    "take /usr/local/bin/iggy-server out of the docker image apache/iggy:0.9.0 or build it, and "
    f"set embedded.server_path or ${PATH_VARIABLE} to it or put it on PATH"
)
HOW_TO_DO_WITHOUT = "for development, embedded.engine: local needs no binary"

# What a child needs to find its libraries and to read the clock as its parent does.
PASSED_ON = ("LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

SMALL_MEMLOCK = 64 << 20
"""Below this much lockable memory io_uring's rings are made smaller: 256 entries were seen to fit into 8 MiB, the
common limit; the server's own 4096 are for machines set up for it."""

# iggy-server's settings that both namings share. One shard: an embedded server shares its machine.
SETTINGS = {
    "IGGY_HTTP_ENABLED": "false",
    "IGGY_QUIC_ENABLED": "false",
    "IGGY_WEBSOCKET_ENABLED": "false",
}
# Settings that moved: 0.9.0 knows IGGY_<name>, edge builds before it IGGY_SYSTEM_<name>; neither takes the other's.
MOVED_SETTINGS = {
    "SHARDING_CPU_ALLOCATION": "1",
    "SHARDING_PIN_CORES": "false",
    "MEMORY_POOL_SIZE": "512 MiB",  # the least it accepts
    "LOGGING_FILE_ENABLED": "false",  # its output is kept by us
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProgram:
    """A server that can be run. The local server is a module of this package: no path, and no version to tell apart."""

    engine: Engine
    version: str = ""
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start a program.

    `follows_stdin`: it ends by itself at the end of its standard input. A program that does not is started through
    launcher.py, so that it ends with its parent.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    follows_stdin: bool

    def __repr__(self) -> str:
        return f"Launch(arguments={self.arguments!r})"  # the environment holds the password


def find_program(
    config: EmbeddedConnectorConfig, *, holds: Engine | None, environment: Mapping[str, str] = os.environ
) -> ServerProgram:
    """The server to run in a data directory that `holds` data of that engine (None: is empty).

    Runs `iggy-server --version`, so call it off the event loop. Raises: ServerNotFoundError, IncompatibleServerError,
    ServerStartupError (the directory holds the other engine's data).
    """
    refuse_foreign_data(config, holds)
    wanted = holds if config.engine is Engine.AUTO and holds else config.engine
    if wanted is Engine.LOCAL:
        program = local_program(config)
    else:
        path = find_binary(config, environment)
        if path is not None:
            program = iggy_server_program(path)
        elif wanted is Engine.IGGY_SERVER or not config.use_binary_fallback:
            raise ServerNotFoundError(f"no {BINARY} was found; {HOW_TO_GET_IT}. {reason_for(config, holds)}")
        else:
            program = local_program(config)
    if program.engine is Engine.LOCAL and config.engine is Engine.AUTO:
        log.warning(
            "embedded_server_is_for_development",
            engine="local",
            data_dir=config.data_dir,
            advice=f"no {BINARY} was found, so the bundled local server runs; for production {HOW_TO_GET_IT}, or "
            "use mode: remote; embedded.engine: local says that this is meant",
        )
    return program


def refuse_foreign_data(config: EmbeddedConnectorConfig, holds: Engine | None) -> None:
    """The two engines do not read each other's files: switching would look like an empty log."""
    local_forbidden = config.engine is Engine.AUTO and not config.use_binary_fallback
    wanted = Engine.IGGY_SERVER if local_forbidden else config.engine
    if holds is not None and wanted not in (Engine.AUTO, holds):
        raise ServerStartupError(
            f"embedded.data_dir: {config.data_dir} holds data of engine {holds}, which {wanted} cannot read. "
            f"Set embedded.engine: {holds}, or name another directory"
        )


def reason_for(config: EmbeddedConnectorConfig, holds: Engine | None) -> str:
    if config.engine is Engine.AUTO and holds is Engine.IGGY_SERVER:
        return f"The data in {config.data_dir} are an {BINARY}'s, and only it can read them"
    return HOW_TO_DO_WITHOUT[0].upper() + HOW_TO_DO_WITHOUT[1:]


def local_program(config: EmbeddedConnectorConfig) -> ServerProgram:
    if not config.use_binary_fallback:  # validate() reports it earlier; a promise not to use it is kept here too
        raise ServerNotFoundError(
            f"embedded.use_binary_fallback is false, which forbids the local server; {HOW_TO_GET_IT}"
        )
    return ServerProgram(engine=Engine.LOCAL)


def find_binary(config: EmbeddedConnectorConfig, environment: Mapping[str, str]) -> Path | None:
    """A path that was named must be right; PATH is only searched when none was."""
    for source, named in (
        (f"embedded.server_path: {config.server_path}", config.server_path),
        (f"${PATH_VARIABLE}", environment.get(PATH_VARIABLE)),
    ):
        if named:
            found = shutil.which(Path(named).expanduser().absolute())
            if found is None:
                raise ServerNotFoundError(
                    f"{source} names {named}, which is no program that can be run; {HOW_TO_GET_IT}"
                )
            return Path(found)
    found = shutil.which(BINARY, path=environment.get("PATH", os.defpath))
    return Path(found).absolute() if found else None


def iggy_server_program(path: Path) -> ServerProgram:
    """Asks the binary for its version: another generation, or something else altogether, is refused before it runs."""
    try:
        answer = subprocess.run(  # noqa: S603 -- the path is the operator's choice
            [path, "--version"],
            env=minimal_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        cause = error.strerror if isinstance(error, OSError) else f"no answer within {VERSION_TIMEOUT:.0f} s"
        raise ServerNotFoundError(
            f"{path} --version: {cause}; that is not a working {BINARY}: {HOW_TO_GET_IT}"
        ) from error
    version = VERSION_OUTPUT.search(answer.stdout[:4096].decode("utf-8", "replace"))
    if answer.returncode != 0 or version is None:
        raise ServerNotFoundError(
            f"{path} is not an {BINARY}: --version gave code {answer.returncode} and no version; {HOW_TO_GET_IT}"
        )
    if (int(version["major"]), int(version["minor"])) != GENERATION:
        raise IncompatibleServerError(
            f"{path} is {BINARY} {version['version']}; this client speaks to 0.9 only: {HOW_TO_GET_IT}",
            client_version="0.9",
            server_version=version["version"],
        )
    return ServerProgram(engine=Engine.IGGY_SERVER, version=version["version"], path=path)


def launch(program: ServerProgram, *, data_dir: Path, port: int, credentials: Credentials) -> Launch:
    """How to run `program` on 127.0.0.1:`port` (0: a free one) with its data in `data_dir`."""
    address = f"127.0.0.1:{port}"
    environment = minimal_environment(os.environ) | {
        "IGGY_ROOT_USERNAME": credentials.username,
        "IGGY_ROOT_PASSWORD": credentials.password,
    }
    if program.path is None:
        return Launch(
            arguments=local_command(data_dir, address),
            environment=environment | python_environment(),
            follows_stdin=True,
        )
    return Launch(
        arguments=(
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("launcher.py")),
            str(os.getpid()),
            str(program.path),
        ),
        environment=environment | iggy_server_settings(program, data_dir) | {"IGGY_TCP_ADDRESS": address},
        follows_stdin=False,
    )


def local_command(data_dir: Path, address: str) -> tuple[str, ...]:
    # -P: the working directory is the data directory, which is no place to import from.
    return (
        sys.executable,
        "-P",
        "-m",
        "rustok_iggy_connector.local_server",
        "--data-dir",
        str(data_dir),
        "--address",
        address,
        "--exit-with-stdin",
    )


def python_environment() -> dict[str, str]:
    """The child finds the modules that this process finds, however they came to be there."""
    return {
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
        "PYTHONUNBUFFERED": "1",
    }


def iggy_server_settings(program: ServerProgram, data_dir: Path) -> dict[str, str]:
    """Its settings under the names that its version knows."""
    prefix = "IGGY_SYSTEM_" if "-" in program.version else "IGGY_"
    settings = dict(SETTINGS)
    settings |= {f"{prefix}{name}": value for name, value in MOVED_SETTINGS.items()}
    settings[f"{prefix}PATH"] = str(data_dir)
    if lockable_memory() < SMALL_MEMLOCK:
        settings["IGGY_SHARD_RUNTIME_CAPACITY"] = "256"
    return settings


def lockable_memory() -> float:
    """Bytes; the hard limit, to which launcher.py raises the soft one."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return float("inf") if hard == resource.RLIM_INFINITY else hard


def minimal_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in PASSED_ON if name in environment}
