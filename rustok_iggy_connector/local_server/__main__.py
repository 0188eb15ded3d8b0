"""The program: `python -m rustok_iggy_connector.local_server --data-dir D --address 127.0.0.1:0`.

Prints one line with its address when it is ready and writes the address to D/runtime/current_config.toml, as
iggy-server does. SIGTERM drains and exits 0. What cannot start says so in one line on standard error.

    exit code 0 stopped as asked   1 failed while running   2 wrong arguments   3 could not start
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import ssl
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rustok_iggy_connector.local_server.broker import Broker, Surroundings
from rustok_iggy_connector.local_server.server import ListenError, Server, run_server
from rustok_iggy_connector.local_server.storage import (
    DataDirectory,
    DataDirectoryError,
    SqliteStorage,
    StorageError,
)

USERNAME_VARIABLE, PASSWORD_VARIABLE = "IGGY_ROOT_USERNAME", "IGGY_ROOT_PASSWORD"
"""The same as iggy-server's: credentials need not stand on a command line, which others can read."""

FAILED, COULD_NOT_START = 1, 3

logger = logging.getLogger("rustok_iggy_connector.local_server")


class StartError(Exception):
    """The server cannot start; the text says why and what to do."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Exits with 2 and a line on standard error when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m rustok_iggy_connector.local_server", description="The bundled local server, for development."
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything is kept; made when missing")
    parser.add_argument("--address", type=_address, default=("127.0.0.1", 0), help="HOST:PORT; port 0 takes a free one")
    parser.add_argument(
        "--username", default=os.environ.get(USERNAME_VARIABLE, "iggy"), help="root, at the first start"
    )
    parser.add_argument(
        "--password", default=os.environ.get(PASSWORD_VARIABLE, "iggy"), help="root, at the first start"
    )
    parser.add_argument("--tls-cert", type=Path, help="certificate chain, PEM; with --tls-key")
    parser.add_argument("--tls-key", type=Path, help="private key, PEM; with --tls-cert")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    return options


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def serve(options: argparse.Namespace, directory: DataDirectory) -> None:
    """Start, announce, serve until stopped. Raises StartError."""
    tls = _tls_context(options)
    host, port = options.address

    def ready(server: Server, address: str) -> None:
        if options.exit_with_stdin:
            _stop_when_stdin_ends(server)
        _announce(directory, address)

    make_broker = partial(_make_broker, options, directory)
    try:
        asyncio.run(run_server(make_broker, host, port, tls=tls, ready=ready))
    except ListenError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error}; choose another address") from error


def _make_broker(options: argparse.Namespace, directory: DataDirectory, server: Server) -> Broker:
    surroundings = Surroundings(schedule=server.call_soon, run_slow=server.run_slow, report=_report)
    try:
        storage = SqliteStorage(directory.database, deliver=server.deliver)
        try:
            broker = Broker(storage, surroundings=surroundings)
            broker.ensure_root(options.username, options.password)
        except BaseException:
            storage.close()
            raise
    except (StorageError, ValueError) as error:
        raise StartError(str(error)) from error
    return broker


def _tls_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(
            f"TLS certificate {options.tls_cert} and key {options.tls_key} cannot be used: {error.strerror or error}"
        ) from error
    return context


def _announce(directory: DataDirectory, address: str) -> None:
    try:
        directory.announce(address)
    except OSError as error:
        raise StartError(f"cannot write {directory.current_config}: {error.strerror}") from error
    print(f"listening on {address}", flush=True)


def _stop_when_stdin_ends(server: Server) -> None:
    """Whoever started us holds the other end, and when that process ends, however it ends, so do we."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        server.deliver(server.stop)

    threading.Thread(target=wait, name="local-server-stdin", daemon=True).start()


def _report(error: StorageError) -> None:
    logger.error("not stored, and refused: %s", error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; gives its exit code."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)  # messages and credentials are the owner's only
    try:
        with DataDirectory(options.data_dir) as directory:
            serve(options, directory)
    except (StartError, DataDirectoryError) as error:
        print(f"local server: {error}", file=sys.stderr)
        return COULD_NOT_START
    except Exception:
        logger.exception("the server failed")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
