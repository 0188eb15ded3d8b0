"""What was measured, as a table for a terminal and as values: results.json, from which page.py makes the page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.paced import EVENTS_PER_SECOND, Paced
from benchmarks.run import PACED_AIM, EngineReport, Result
from rustok_iggy.benchmark.timing import Series

CPU_FACTS = Path("/proc/cpuinfo")


def table(report: EngineReport) -> str:
    head = f"{'':24} {'raw/s':>12} {'ours/s':>12} {'ratio':>7} {'aim':>6} {'p50 µs':>9} {'p99 µs':>9}"
    lines = [f"{report.engine} {report.version}, events of {report.payload_bytes} bytes", head]
    paced = f"{EVENTS_PER_SECOND} events a second, from publish to handler"
    return "\n".join(
        [
            *lines,
            *(line(report, result) for result in report.results),
            f"{paced:50} {'p50 µs':>9} {'p99 µs':>9} {'of a core':>9}",
            *(paced_line(name, each) for name, each in report.paced.items()),
        ]
    )


def line(report: EngineReport, result: Result) -> str:
    aim = "" if result.row.aim is None else f"{result.row.aim:g}"
    return (
        f"{result.row.name:24} {result.raw.rate:12,.0f} {result.ours.rate:12,.0f} {result.ratio:7.2f} {aim:>6} "
        f"{result.ours.latency(50) * 1e6:9,.0f} {result.ours.latency(99) * 1e6:9,.0f}{note(missed(report, result))}"
    )


def paced_line(name: str, found: Paced) -> str:
    numbers = f"{found.p50 * 1e6:9,.0f} {found.p99 * 1e6:9,.0f} {found.core:9.0%}"
    return f"{name:50} {numbers}{note(paced_missed(name, found))}"


def note(aims: Sequence[str]) -> str:
    return f"  ← {', '.join(aims)}" if aims else ""


def missed(report: EngineReport, result: Result) -> list[str]:
    """The aims of a row that were not reached."""
    row = result.row
    aims = (
        ("ratio below", row.aim, result.ratio, ""),
        ("ours below", row.ours_aim, result.ours.rate, "/s"),
        ("raw below", raw_aim(report, result), result.raw.rate, "/s"),
    )
    return [f"{what} {aim:,g}{unit}" for what, aim, found, unit in aims if aim is not None and found < aim]


def raw_aim(report: EngineReport, result: Result) -> float | None:
    """What the raw client is to reach: a question to the server that is ours."""
    return result.row.raw_aim if report.engine == "local" else None


def paced_missed(name: str, found: Paced) -> list[str]:
    if name != "engine":
        return []
    aims = (
        (f"p50 above {PACED_AIM.p50 * 1e6:.0f} µs", found.p50 > PACED_AIM.p50),
        (f"above {PACED_AIM.core:.0%} of a core", found.core > PACED_AIM.core),
    )
    return [text for text, is_missed in aims if is_missed]


def values(reports: Sequence[EngineReport]) -> dict[str, Any]:
    """All of it, with where and when it was measured."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "engines": [engine_values(report) for report in reports],
    }


def machine() -> dict[str, str]:
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "rustok-iggy": version("rustok-iggy"),
        "apache-iggy (the raw client)": version("apache-iggy"),
    }


def processor() -> str:
    """Its name where the system says it, else what kind it is."""
    lines = CPU_FACTS.read_text(encoding="utf-8").splitlines() if CPU_FACTS.exists() else []
    names = [found.partition(":")[2].strip() for found in lines if found.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def engine_values(report: EngineReport) -> dict[str, Any]:
    return {
        "engine": report.engine,
        "version": report.version,
        "payload_bytes": report.payload_bytes,
        "rows": [row_values(report, result) for result in report.results],
        "paced": {name: paced_values(name, found) for name, found in report.paced.items()},
    }


def row_values(report: EngineReport, result: Result) -> dict[str, Any]:
    return {
        "name": result.row.name,
        "baseline": result.row.baseline,
        "ratio": round(result.ratio, 3),
        "aim": result.row.aim,
        "ours_aim": result.row.ours_aim,
        "raw_aim": raw_aim(report, result),
        "missed": missed(report, result),
        **series_values("raw", result.raw),
        **series_values("ours", result.ours),
    }


def series_values(who: str, series: Series) -> dict[str, Any]:
    return {
        f"{who}_messages_per_second": round(series.rate),
        f"{who}_call_p50_us": round(series.latency(50) * 1e6, 1),
        f"{who}_call_p99_us": round(series.latency(99) * 1e6, 1),
        f"{who}_rounds": [round(each.rate) for each in series.rounds],
    }


def paced_values(name: str, found: Paced) -> dict[str, Any]:
    return {
        "events_per_second": EVENTS_PER_SECOND,
        "p50_us": round(found.p50 * 1e6, 1),
        "p99_us": round(found.p99 * 1e6, 1),
        "of_a_core": round(found.core, 3),
        "aim": {"p50_us": PACED_AIM.p50 * 1e6, "of_a_core": PACED_AIM.core} if name == "engine" else None,
        "missed": paced_missed(name, found),
    }
