"""What all processes of a chaos run know: where the server is, which events there are, which fail, how fast it goes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from rustok_iggy import EventCatalog, EventEnvelope, IggyConfig, ParkTenant, Retry

GROUP = "chaos"
TOPIC = "domain"
PARTITIONS = 4
TENANTS = 4
SETTINGS = "settings.json"
MENDED = "mended"
STOP = "stop"

ON_FAILURE = ParkTenant(retry=Retry(attempts=2, delay=0.02))
HEARTBEAT = 0.3
"""Seconds: short, so that a minute holds many changes of ownership."""
NAMES = UUID("0b5f3a52-0f6f-4f0d-8c2b-6a1f6f5d1c11")

catalog = EventCatalog("chaos")


@catalog.event("chaos.happened")
class Happened(Struct, frozen=True, kw_only=True):
    """Event `number` of tenant number `tenant`, both from 0."""

    tenant: int
    number: int


class Settings(Struct, frozen=True, kw_only=True):
    """One run. `rate`: events a second for each tenant. `bad_share` of them fail until they are mended.

    `data_dir` and `engine` are those of a server beside us, to which processes attach as those of one host do;
    None: it is reached by its address.
    """

    seed: int
    stream: str
    address: str
    username: str
    password: str
    rate: float
    bad_share: float
    data_dir: str | None = None
    engine: str = "local"

    def __repr__(self) -> str:
        return f"Settings(seed={self.seed}, stream={self.stream!r}, address={self.address!r})"

    @classmethod
    def load(cls, directory: Path) -> Settings:
        return msgspec.json.decode((directory / SETTINGS).read_bytes(), type=cls)

    def save(self, directory: Path) -> None:
        (directory / SETTINGS).write_bytes(msgspec.json.encode(self))

    @property
    def config(self) -> IggyConfig:
        server: dict[str, Any] = {
            "mode": "remote",
            "remote": {"addresses": [self.address], "username": self.username, "password": self.password},
        }
        if self.data_dir is not None:
            server = {"mode": "embedded", "embedded": {"data_dir": self.data_dir, "engine": self.engine}}
        return IggyConfig(
            **server,
            topology={"stream_name": self.stream, "domain_partitions": PARTITIONS},
            consumer={
                "heartbeat_interval": HEARTBEAT,
                "commit_interval": 0.1,
                "drain_timeout": 2.0,
                "takeover_timeout": 0.5,
                "max_idle_delay": 0.05,
            },
        )

    def is_bad(self, tenant: int, number: int) -> bool:
        """Whether the handler fails on an event until it is mended; the same in every process."""
        return random.Random(f"{self.seed}/{tenant}/{number}").random() < self.bad_share


def tenant_id(tenant: int) -> UUID:
    return uuid5(NAMES, f"tenant {tenant}")


def event_id(settings: Settings, tenant: int, number: int) -> UUID:
    """Always the same: a publisher that was killed repeats what was not confirmed under its id."""
    return uuid5(NAMES, f"{settings.seed} {tenant} {number}")


def envelope(settings: Settings, tenant: int, number: int) -> EventEnvelope:
    return EventEnvelope.new(
        tenant_id(tenant), Happened(tenant=tenant, number=number), ids=lambda: event_id(settings, tenant, number)
    )


def mended_below(directory: Path) -> int:
    """Events with lower numbers do not fail any more."""
    try:
        return int((directory / MENDED).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0


def mend(directory: Path, *, below: int) -> None:
    new = directory / f"{MENDED}.new"
    new.write_text(str(below), encoding="ascii")
    new.replace(directory / MENDED)
