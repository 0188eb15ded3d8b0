"""A program that stands in for iggy-server: it answers logins, and misbehaves on request.

    fake_server.py BEHAVIOUR REPOSITORY ...

Tests write a small script that runs it (see conftest.py): the environment of a server is empty but for its settings, so
the behaviour stands in the script.
"""

import importlib
import os
import signal
import socket
import sys
import time
import types
from pathlib import Path


def main() -> None:
    behaviour, repository, *arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print("server 0.9.0")
        return
    data = Path(os.environ["IGGY_PATH"])
    (data / "pid.new").write_text(str(os.getpid()))
    (data / "pid.new").rename(data / "pid")  # whoever sees it can read it
    (data / "environment").write_text("\n".join(sorted(os.environ)))
    print(f"\x1b[32mstarting\x1b[0m with {os.environ['IGGY_ROOT_PASSWORD']}", flush=True)
    if behaviour == "exits":
        print("the disk is on fire", file=sys.stderr)
        sys.exit(3)
    if behaviour == "never-ready":
        time.sleep(60)
    if behaviour == "ignores-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(behaviour, data, repository)


def serve(behaviour: str, data: Path, repository: str) -> None:
    package = sys.modules["rustok_iggy_connector"] = types.ModuleType("rustok_iggy_connector")
    package.__path__ = [f"{repository}/rustok_iggy_connector"]  # the wire alone, not the client library
    # Before it listens: on a busy machine this takes as long as a tested connector waits for an answer.
    for module in ("codes", "commands.session", "connection"):
        importlib.import_module(f"rustok_iggy_connector.wire.{module}")
    host, _, port = os.environ["IGGY_TCP_ADDRESS"].rpartition(":")
    listener = socket.create_server((host, int(port)), reuse_port=False)
    address = "{}:{}".format(*listener.getsockname())
    (data / "runtime").mkdir(exist_ok=True)
    (data / "runtime" / "current_config.toml").write_text(f'[tcp]\naddress = "{address}"\n')
    if behaviour == "chatty":
        print("x" * 100_000, flush=True)
    open_connections = []
    while True:
        connection, _ = listener.accept()
        if behaviour == "mute":
            open_connections.append(connection)
            continue
        with connection:
            answer(connection, behaviour)
        if behaviour == "dies-after-login":
            print("I had enough", flush=True)
            os._exit(7)


def answer(connection: socket.socket, behaviour: str) -> None:
    from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION, Command, EvictionReason
    from rustok_iggy_connector.wire.commands.session import LoginReply
    from rustok_iggy_connector.wire.connection import RequestFrame, ServerConnection, encode_eviction, encode_success

    server = ServerConnection()
    while not isinstance(frame := server.next_frame(), RequestFrame):
        data = connection.recv(4096)
        if not data:
            return
        server.receive_data(data)
    if behaviour == "refuses-login":
        connection.sendall(encode_eviction(frame.header, EvictionReason.INVALID_CREDENTIALS))
        return
    reply = LoginReply(user_id=0, session=1, protocol_version=PROTOCOL_VERSION, server_version="0.9.0")
    connection.sendall(b"".join(bytes(part) for part in encode_success(frame.header, Command.LOGIN, reply)))


if __name__ == "__main__":
    main()
