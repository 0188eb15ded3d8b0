"""One chaos run: services that consume, one that publishes, an operator, a fault a second; then all is checked."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rustok_iggy import IggyTransport
from tests.chaos.checks import Evidence, Findings, check
from tests.chaos.faults import Faults
from tests.chaos.histories import Confirmed, Noted, read_history
from tests.chaos.processes import READY_TIMEOUT, Running, running
from tests.chaos.redriving import Operator
from tests.chaos.scenario import STOP, Settings, catalog
from tests.chaos.server import Server, running_server
from tests.chaos.stored import read_events, read_journal


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`seconds` of faults, one every `interval`; then `settle_within` seconds for everything to be settled."""

    engine: str
    seed: int
    seconds: float
    members: int = 3
    rate: float = 40.0
    bad_share: float = 0.01
    interval: float = 1.0
    settle_within: float = 120.0


@dataclass(kw_only=True)
class Report:
    """What came of a run; `violations` empty: every promise was kept."""

    plan: Plan
    violations: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    operator: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"seed {self.plan.seed}, {self.plan.engine}, {self.plan.seconds:g} s, {self.plan.members} members"]
        for title, rows in (("faults", self.faults), ("operator", self.operator), ("found", self.numbers)):
            lines += [f"{title}:", *[f"  {count:7} {name}" for name, count in rows.items()]]
        lines += ["every promise was kept" if not self.violations else "BROKEN:", *self.violations]
        return "\n".join(lines)


async def run(plan: Plan, directory: Path) -> Report:
    """Run it in an empty directory, where everything is left for a person to look at."""
    async with running_server(plan.engine, directory / "server") as server:
        return await run_on(server, plan, directory)


async def run_on(server: Server, plan: Plan, directory: Path) -> Report:
    """Run it on a server that runs already."""
    report = Report(plan=plan)
    settings = Settings(
        seed=plan.seed,
        stream=f"chaos-{secrets.token_hex(4)}",
        address=server.address,
        username=server.credentials.username,
        password=server.credentials.password,
        rate=plan.rate,
        bad_share=plan.bad_share,
        data_dir=server.data_dir,
        engine=plan.engine,
    )
    settings.save(directory)
    async with IggyTransport(settings.config, catalog=catalog) as transport:
        operator = Operator(transport, directory, random.Random(f"operator {plan.seed}"))
        await _live(plan, directory, server, operator, report)
        findings = await _look(transport, settings, directory)
        if not server.is_ours:
            await transport._connector.admin.delete_stream(settings.stream)
    report.numbers |= findings.numbers
    report.violations += findings.violations
    return report


async def _live(plan: Plan, directory: Path, server: Server, operator: Operator, report: Report) -> None:
    """The time of faults, and the time in which everything must come right again."""
    members = [Running(f"member-{number}", "tests.chaos.member", directory=directory) for number in range(plan.members)]
    publisher = Running("publisher", "tests.chaos.publisher", directory=directory)
    faults = Faults(random.Random(plan.seed), members, publisher, server, interval=plan.interval)
    async with running(*members, publisher) as tasks:
        await _all_ready([*members, publisher])
        async with cancelled_at_the_end(faults.run(), operator.run()):
            await asyncio.sleep(plan.seconds)
        began = time.monotonic()
        await _all_ready([*members, publisher])
        publisher.finish()
        (directory / STOP).touch()
        await asyncio.wait([tasks[-1]], timeout=plan.settle_within)
        if not tasks[-1].done():
            report.violations.append("the publisher did not get its events confirmed")
        if left := await operator.settle_everything(within=plan.settle_within):
            report.violations.append(f"not settled within {plan.settle_within:g} s: {left}")
        report.numbers["seconds until all was settled"] = round(time.monotonic() - began)
        await _end(members, tasks[:-1])
    for each in (*members, publisher):
        report.violations += each.failures
    report.numbers["processes started"] = sum(each.starts for each in (*members, publisher))
    report.numbers["starts that failed without a server"] = sum(each.failed_starts for each in (*members, publisher))
    report.faults = {str(fault): count for fault, count in faults.counts.items()}
    report.operator = dict(operator.did)


async def _end(members: list[Running], tasks: list[asyncio.Task[None]]) -> None:
    """Members leave as they do when a service is stopped."""
    for each in members:
        each.finish()
        each.terminate()
    await asyncio.wait(tasks, timeout=READY_TIMEOUT)


async def _look(transport: IggyTransport, settings: Settings, directory: Path) -> Findings:
    connector = transport._connector
    return check(
        Evidence(
            confirmed=list(read_history(directory, "publisher-", Confirmed)),
            noted=list(read_history(directory, "member-", Noted)),
            stored=await read_events(connector, stream=settings.stream),
            journal=await read_journal(connector, stream=settings.stream),
        )
    )


async def _all_ready(processes: list[Running]) -> None:
    async with asyncio.timeout(READY_TIMEOUT):
        for each in processes:
            await each.ready.wait()


@asynccontextmanager
async def cancelled_at_the_end(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks while inside. What one of them raises is raised at the end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
