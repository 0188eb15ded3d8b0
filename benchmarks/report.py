"""Reports: a table for people, JSON for comparing runs, a plot of the ratios."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.paced import EVENTS_PER_SECOND, Paced
from benchmarks.run import PACED_AIM, EngineReport, Result


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


def paced_line(name: str, found: Paced) -> str:
    missed = [
        text
        for text, failed in (
            (f"p50 above {PACED_AIM.p50 * 1e6:.0f} µs", found.p50 > PACED_AIM.p50),
            (f"above {PACED_AIM.core:.0%} of a core", found.core > PACED_AIM.core),
        )
        if failed and name == "engine"
    ]
    note = f"  ← {', '.join(missed)}" if missed else ""
    return f"{name:50} {found.p50 * 1e6:9,.0f} {found.p99 * 1e6:9,.0f} {found.core:9.0%}{note}"


def line(report: EngineReport, result: Result) -> str:
    aim = "" if result.row.aim is None else f"{result.row.aim:g}"
    missed = [
        text
        for text, failed in (
            (f"ratio below {aim}", result.row.aim is not None and result.ratio < result.row.aim),
            (f"ours below {result.row.ours_aim or 0:,.0f}/s", result.ours.rate < (result.row.ours_aim or 0)),
            (f"raw below {result.row.raw_aim or 0:,.0f}/s", report.engine == "local" and below_raw_aim(result)),
        )
        if failed
    ]
    note = f"  ← {', '.join(missed)}" if missed else ""
    return (
        f"{result.row.name:24} {result.raw.rate:12,.0f} {result.ours.rate:12,.0f} {result.ratio:7.2f} {aim:>6} "
        f"{result.ours.latency(50) * 1e6:9,.0f} {result.ours.latency(99) * 1e6:9,.0f}{note}"
    )


def below_raw_aim(result: Result) -> bool:
    return result.row.raw_aim is not None and result.raw.rate < result.row.raw_aim


def write_json(reports: Sequence[EngineReport], path: Path) -> None:
    machine = {"python": platform.python_version(), "machine": platform.machine(), "client": version("apache-iggy")}
    content = {**machine, "engines": [as_values(report) for report in reports]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def as_values(report: EngineReport) -> dict[str, object]:
    return {
        "engine": report.engine,
        "version": report.version,
        "payload_bytes": report.payload_bytes,
        "rows": [
            {
                "name": result.row.name,
                "baseline": result.row.baseline,
                "ratio": round(result.ratio, 3),
                "aim": result.row.aim,
                "ours_aim": result.row.ours_aim,
                **{
                    f"{who}_{what}": value
                    for who, series in (("raw", result.raw), ("ours", result.ours))
                    for what, value in (
                        ("messages_per_second", round(series.rate)),
                        ("call_p50_us", round(series.latency(50) * 1e6, 1)),
                        ("call_p99_us", round(series.latency(99) * 1e6, 1)),
                        ("rounds", [round(each.rate) for each in series.rounds]),
                    )
                },
            }
            for result in report.results
        ],
        "paced": {
            name: {
                "events_per_second": EVENTS_PER_SECOND,
                "p50_us": round(found.p50 * 1e6, 1),
                "p99_us": round(found.p99 * 1e6, 1),
                "of_a_core": round(found.core, 3),
            }
            for name, found in report.paced.items()
        },
    }


def write_plot(reports: Sequence[EngineReport], path: Path) -> bool:
    """Ratios as bars, one colour an engine. False when matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra: the numbers are there without it
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    height = 0.8 / len(reports)
    for number, report in enumerate(reports):
        positions = [row - number * height for row in range(len(report.results))]
        bars = axes.barh(
            positions,
            [result.ratio for result in report.results],
            height=height,
            label=f"{report.engine} {report.version}",
        )
        axes.bar_label(
            bars, [f"{result.ratio:.2f} ({result.ours.rate:,.0f}/s)" for result in report.results], padding=3
        )
    axes.set_yticks(range(len(reports[0].results)), [result.row.name for result in reports[0].results])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(right=200)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("messages a second, as a multiple of the raw client's (payloads encoded beforehand)")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
