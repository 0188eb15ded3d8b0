"""The charts of the report, drawn from the values of results.json (report.py says what they are)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.drawing import Drawing, LogAxis

Values = dict[str, Any]

ENGINE_COLOURS = ("#2563eb", "#d97706", "#059669")
RAW_COLOUR = "#6b7280"
PACED_NAMES = {
    "loop": "loop by hand, polls without a pause",
    "loop-1ms": "loop by hand, 1 ms after an empty poll",
    "engine": "delivery engine",
}
WIDTH, LEFT, RIGHT = 920, 250, 740
TOP, BOTTOM = 44, 30
BAR = 13


def ratios(engines: Sequence[Values]) -> Drawing:
    """Every row's ratio to its baseline, the engines below each other; bars begin at 1."""
    names = list(dict.fromkeys(row["name"] for each in engines for row in each["rows"]))
    found = [row["ratio"] for each in engines for row in each["rows"]]
    step = BAR * len(engines) + 14
    height = TOP + step * len(names) + BOTTOM
    axis = LogAxis(lowest=min(0.25, min(found) * 0.8), highest=max(4.0, max(found) * 1.25), left=LEFT, right=RIGHT)
    drawing = Drawing(width=WIDTH, height=height, title="Messages a second as a multiple of the baseline's")
    drawing.axis(axis, top=TOP - 6, bottom=height - BOTTOM, unit="×")
    for number, each in enumerate(engines):
        legend(drawing, number, f"{each['engine']} {each['version']}", ENGINE_COLOURS[number])
        rows = {row["name"]: row for row in each["rows"]}
        for place, name in enumerate(names):
            if name in rows:
                _ratio_bar(
                    drawing, axis, rows[name], y=TOP + place * step + number * BAR, colour=ENGINE_COLOURS[number]
                )
    for place, name in enumerate(names):
        drawing.text(LEFT - 12, TOP + place * step + step / 2 - 3, name, anchor="end")
    drawing.line(axis.at(1), TOP - 6, axis.at(1), height - BOTTOM, kind="one")
    drawing.line(WIDTH - 172, 14, WIDTH - 172, 26, kind="aim")
    drawing.text(WIDTH - 164, 24, "aim", kind="small")
    return drawing


def rates(engine: Values, *, colour: str) -> Drawing:
    """Every round of one engine: how far the rounds lie apart says how much a ratio is worth."""
    rows = engine["rows"]
    every = [rate for row in rows for who in ("raw", "ours") for rate in row[f"{who}_rounds"]]
    step = 30
    height = TOP + step * len(rows) + BOTTOM
    axis = LogAxis(lowest=min(every) * 0.8, highest=max(every) * 1.25, left=LEFT, right=RIGHT)
    drawing = Drawing(width=WIDTH, height=height, title=f"Messages a second on {engine['engine']}, every round")
    drawing.axis(axis, top=TOP - 6, bottom=height - BOTTOM, unit="/s")
    legend(drawing, 0, "baseline", RAW_COLOUR)
    legend(drawing, 1, "this library", colour)
    for place, row in enumerate(rows):
        y = TOP + place * step
        drawing.text(LEFT - 12, y + 12, row["name"], anchor="end")
        for who, its_colour, below in (("raw", RAW_COLOUR, 4), ("ours", colour, 14)):
            for rate in row[f"{who}_rounds"]:
                drawing.dot(axis.at(rate), y + below, radius=4, colour=its_colour, opacity=0.55)
        shown = f"{row['raw_messages_per_second']:,} → {row['ours_messages_per_second']:,}"
        drawing.text(WIDTH - 10, y + 13, shown, anchor="end", kind="small")
    return drawing


def latencies(engines: Sequence[Values]) -> Drawing:
    """From publish to handler: the bar goes from the median to the 99th percentile."""
    lines = [(number, each, name) for number, each in enumerate(engines) for name in each["paced"]]
    every = [each["paced"][name][which] / 1000 for _, each, name in lines for which in ("p50_us", "p99_us")]
    step = 26
    height = TOP + step * len(lines) + BOTTOM
    axis = LogAxis(
        lowest=min(0.2, min(every) * 0.8), highest=max(5.0, max(every) * 1.25), left=LEFT + 40, right=RIGHT - 20
    )
    drawing = Drawing(width=WIDTH, height=height, title="From publish to handler, median to 99th percentile")
    drawing.axis(axis, top=TOP - 6, bottom=height - BOTTOM, unit=" ms")
    for number, each in enumerate(engines):
        legend(drawing, number, f"{each['engine']} {each['version']}", ENGINE_COLOURS[number])
    for place, (number, each, name) in enumerate(lines):
        found, y = each["paced"][name], TOP + place * step
        p50, p99 = found["p50_us"] / 1000, found["p99_us"] / 1000
        drawing.text(LEFT + 28, y + 13, PACED_NAMES.get(name, name), anchor="end")
        drawing.bar(axis.at(p50), axis.at(p99), y + 5, height=8, colour=ENGINE_COLOURS[number], opacity=0.45)
        drawing.dot(axis.at(p50), y + 9, radius=5, colour=ENGINE_COLOURS[number])
        if name == "engine" and "aim" in found:
            drawing.line(
                axis.at(found["aim"]["p50_us"] / 1000), y, axis.at(found["aim"]["p50_us"] / 1000), y + 18, kind="aim"
            )
        shown = f"{p50:.2f} – {p99:.2f} ms, {found['of_a_core']:.0%} of a core"
        drawing.text(WIDTH - 10, y + 13, shown, anchor="end", kind="small")
    return drawing


def legend(drawing: Drawing, number: int, words: str, colour: str) -> None:
    x = LEFT + number * 190
    drawing.bar(x, x + 12, 14, height=12, colour=colour)
    drawing.text(x + 18, 24, words, kind="small")


def _ratio_bar(drawing: Drawing, axis: LogAxis, row: Values, *, y: float, colour: str) -> None:
    drawing.bar(axis.at(1), axis.at(row["ratio"]), y + 1, height=BAR - 2, colour=colour)
    if row["aim"] is not None:
        drawing.line(axis.at(row["aim"]), y - 1, axis.at(row["aim"]), y + BAR + 1, kind="aim")
    shown = f"{row['ratio']:.2f}× · {row['ours_messages_per_second']:,}/s"
    drawing.text(WIDTH - 10, y + BAR - 2, shown, anchor="end", kind="small")
