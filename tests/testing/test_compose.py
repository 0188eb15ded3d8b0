"""docker-compose.yaml and what it mounts: well-formed, pinned, reachable from this machine only."""

from typing import Any

import pytest
import yaml

from rustok_iggy.testing.servers import IMAGE
from tests.architecture.source_tree import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_server_is_the_one_that_the_fixtures_start() -> None:
    assert SERVICES["iggy"]["image"] == IMAGE
    assert SERVICES["iggy"]["security_opt"] == ["seccomp=unconfined"]
    assert SERVICES["iggy"]["ulimits"] == {"memlock": {"soft": -1, "hard": -1}}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_ports_are_those_of_this_machine(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert tag[-1].isdigit()
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def test_a_client_is_told_the_address_at_which_it_reached_the_server() -> None:
    (port,) = SERVICES["iggy"]["ports"]
    host, outside, inside = port.split(":")
    assert outside == inside
    assert SERVICES["iggy"]["environment"]["IGGY_NODE_ADVERTISED_ADDRESS"] == host
    assert SERVICES["iggy"]["environment"]["IGGY_TCP_ADDRESS"] == f"0.0.0.0:{inside}"


def test_every_file_it_mounts_exists_and_every_volume_is_declared() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount for mount in mounts if not mount.startswith("./")} == set(COMPOSE["volumes"])
    missing = [mount for mount in mounts if mount.startswith("./docker/") and not (ROOT / mount).exists()]
    assert not missing


def test_grafana_asks_the_prometheus_that_runs_beside_it_and_finds_the_dashboards() -> None:
    provisioning = ROOT / "docker" / "grafana"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "rustok-iggy.yaml").read_text("utf-8"))["providers"]
    assert source["url"] == "http://prometheus:9090"
    assert f"./docs/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    rules = yaml.safe_load((ROOT / "docker" / "prometheus.yaml").read_text("utf-8"))["rule_files"]
    assert "./docs/dashboards:/etc/prometheus/rules:ro" in SERVICES["prometheus"]["volumes"]
    assert all(rule.startswith("/etc/prometheus/rules/") for rule in rules)
