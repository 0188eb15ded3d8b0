"""TLS to a server: the right certificate is taken, everything else refused, and plain text is never fallen back to."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rustok_iggy_connector import ConfigError, RemoteConnector, ServerUnreachableError
from rustok_iggy_connector.config import TlsConfig
from rustok_iggy_connector.remote import tls_settings
from tests.connector.conftest import LocalServer, start_local_server, stop
from tests.faults import fault_proxy

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class TlsServer:
    server: LocalServer
    ca_file: str
    other_ca_file: str


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> str:
    subject = ("-subj", f"/CN={name}", "-days", "2", "-nodes")
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return str(folder / f"{name}.pem")


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program to make certificates")
    folder = tmp_path_factory.mktemp("tls")
    ca_file, other = make_authority(folder, "authority"), make_authority(folder, "stranger")
    (folder / "names").write_text("subjectAltName=DNS:iggy.example.org,IP:127.0.0.1\n")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=iggy", "-keyout", "s.key", "-out", "s.csr")
    signing = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl(folder, "x509", "-req", "-in", "s.csr", *signing, "-out", "s.pem")
    process, address = start_local_server(
        folder / "data", "--tls-cert", str(folder / "s.pem"), "--tls-key", str(folder / "s.key")
    )
    yield TlsServer(LocalServer(address), ca_file, other)
    stop(process)


async def connect(server: LocalServer, *, address: str | None = None, within: float = 1.0, **tls: object) -> None:
    """Who is refused is refused again and again, `within` seconds long."""
    config = server.config(
        addresses=(address or server.address,), connect_timeout=within, tls=TlsConfig(enabled=True, **tls)
    )
    async with RemoteConnector(config) as connector:
        assert connector.statistics().connected


async def test_a_trusted_certificate_for_the_address_is_taken(tls_server: TlsServer) -> None:
    await connect(tls_server.server, ca_file=tls_server.ca_file, within=20)


async def test_the_certificate_may_carry_another_name_that_is_asked_for(tls_server: TlsServer) -> None:
    await connect(tls_server.server, ca_file=tls_server.ca_file, server_name="iggy.example.org", within=20)


@pytest.mark.parametrize("server_name", ["other.example.org", "127.0.0.2"])
async def test_a_certificate_for_another_name_is_refused(tls_server: TlsServer, server_name: str) -> None:
    with pytest.raises(ServerUnreachableError, match="TLS"):
        await connect(tls_server.server, ca_file=tls_server.ca_file, server_name=server_name)


async def test_a_certificate_of_a_stranger_is_refused(tls_server: TlsServer) -> None:
    with pytest.raises(ServerUnreachableError, match="TLS"):
        await connect(tls_server.server, ca_file=tls_server.other_ca_file)


async def test_a_certificate_that_the_system_does_not_trust_is_refused(tls_server: TlsServer) -> None:
    with pytest.raises(ServerUnreachableError, match="TLS"):
        await connect(tls_server.server)


async def test_there_is_no_way_back_to_plain_text(tls_server: TlsServer, local_server: LocalServer) -> None:
    """Not even a byte of the password goes to a server that does not speak TLS."""
    async with fault_proxy(local_server.address) as proxy:
        with pytest.raises(ServerUnreachableError):
            await connect(local_server, address=proxy.address, ca_file=tls_server.ca_file)
        assert proxy.connections > 0
        for secret in (local_server.password, local_server.username):
            assert secret.encode() not in proxy.from_clients


async def test_a_client_without_tls_is_told(tls_server: TlsServer) -> None:
    with pytest.raises(ServerUnreachableError, match=r"TLS|not an Iggy server"):
        async with RemoteConnector(tls_server.server.config(connect_timeout=1.0)):
            pass


@pytest.mark.parametrize("content", [None, "", "not a certificate"], ids=["missing", "empty", "text"])
async def test_a_file_without_certificates_is_a_configuration_error(
    tls_server: TlsServer, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises((ConfigError, ServerUnreachableError), match=r"ca|TLS"):
        await connect(tls_server.server, ca_file=str(path))


def test_the_name_is_the_host_unless_one_is_given() -> None:
    for address, name in {"iggy.example.org:8090": "iggy.example.org", "[::1]:8090": "::1"}.items():
        settings = tls_settings(TlsConfig(enabled=True), address)
        assert settings is not None
        assert settings.server_name == name
    settings = tls_settings(TlsConfig(enabled=True, server_name="given"), "host:1")
    assert settings is not None
    assert settings.server_name == "given"
    assert tls_settings(TlsConfig(), "host:1") is None
