"""The page of the benchmarks: whole in itself, and honest about aims that were missed."""

import io
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from benchmarks.charts import latencies, rates, ratios
from benchmarks.drawing import Drawing, LogAxis
from benchmarks.page import duration, page
from benchmarks.painting import HEAD, SCALE, png


def row(name: str, ratio: float, *, missed: tuple[str, ...] = (), aim: float | None = None) -> dict[str, Any]:
    counted = {"messages_per_second": 1000, "call_p50_us": 250.0, "call_p99_us": 2500.0, "rounds": [900, 1000, 1100]}
    return {
        "name": name,
        "baseline": "raw",
        "ratio": ratio,
        "aim": aim,
        "ours_aim": None,
        "raw_aim": None,
        "missed": list(missed),
        **{f"{who}_{what}": value for who in ("raw", "ours") for what, value in counted.items()},
    }


def engine(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    found = {"events_per_second": 500, "p50_us": 700.0, "p99_us": 3000.0, "of_a_core": 0.1, "missed": []}
    paced = {"loop": {**found, "aim": None}, "engine": {**found, "aim": {"p50_us": 1000.0, "of_a_core": 0.2}}}
    return {"engine": name, "version": "0.9.0", "payload_bytes": 516, "rows": list(rows), "paced": paced}


BOTH = [
    engine("local", row("one <b>", 0.95, aim=0.9), row("only here", 30.0)),
    engine("iggy-server", row("one <b>", 0.5, aim=0.9, missed=("ratio below 0.9",))),
]


def content(*engines: dict[str, Any]) -> dict[str, Any]:
    return {"measured_at": "2026-11-21T12:00:00+00:00", "machine": {"cores": "2"}, "engines": list(engines)}


def test_it_needs_no_other_file_and_no_network() -> None:
    shown = page(content(*BOTH))
    assert not re.findall(r"<script|<link|<img|\bsrc=|@import|url\(", shown)
    assert set(re.findall(r"https?://[^\"<\s]+", shown)) == {"http://www.w3.org/2000/svg"}, "the name of a format"


def test_every_row_stands_with_its_ratio_its_aim_and_whether_it_was_reached() -> None:
    shown = page(content(*BOTH))
    assert "local 0.9.0: 2 of 2 rows with an aim reach it." in shown
    assert "iggy-server 0.9.0: 1 of 2 rows with an aim reach it." in shown
    assert "✓ 0.9" in shown
    assert "✗ ratio below 0.9" in shown
    assert "<b>30.00</b>" in shown
    assert "one &lt;b&gt;" in shown
    assert "one <b>" not in shown


def test_without_a_real_server_it_says_so() -> None:
    assert "No real server was measured" in page(content(BOTH[0]))
    assert "No real server was measured" not in page(content(*BOTH))


def test_charts_are_svg_with_a_mark_for_every_value() -> None:
    drawn = [ratios(BOTH), rates(BOTH[0], colour="#000"), latencies(BOTH)]
    trees = [ET.fromstring(each.svg) for each in drawn]
    counts = [
        {tag: len(list(tree.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))) for tag in ("rect", "circle")}
        for tree in trees
    ]
    # The ground and the legend are rectangles too.
    assert counts[0] == {"rect": 1 + 2 + 3, "circle": 0}
    assert counts[1] == {"rect": 1 + 2, "circle": 2 * 2 * 3}
    assert counts[2] == {"rect": 1 + 2 + 4, "circle": 4}


def test_a_png_has_every_shape_at_its_place_below_the_title() -> None:
    drawing = Drawing(width=100, height=50, title="What it shows")
    drawing.bar(30, 10, 10, height=10, colour="#0000ff")
    drawing.dot(60, 15, radius=4, colour="#00ff00")
    drawing.line(80, 0, 80, 50, kind="aim")
    drawing.text(5, 45, "2 × 3", kind="")
    with Image.open(io.BytesIO(png(drawing))) as picture:
        assert picture.format == "PNG"
        assert picture.size == (100 * SCALE, (50 + HEAD) * SCALE)

        def colour(x: float, y: float) -> Any:
            return picture.getpixel((round(x * SCALE), round((y + HEAD) * SCALE)))

        assert [colour(20, 15), colour(60, 15), colour(80, 30)] == [(0, 0, 255), (0, 255, 0), (0xB9, 0x1C, 0x1C)]
        assert colour(45, 15) == (255, 255, 255)
        words, title = (5, HEAD + 30, 60, HEAD + 50), (0, 0, 100, HEAD)
        for box in (words, title):
            inked = picture.crop(tuple(edge * SCALE for edge in box)).convert("L").getextrema()
            assert inked[0] < 100, "no letters"


def test_an_axis_has_equal_room_for_equal_factors() -> None:
    axis = LogAxis(lowest=0.1, highest=10, left=0, right=200)
    assert [round(axis.at(value)) for value in (0.01, 0.1, 1, 10, 99)] == [0, 0, 100, 200, 200]
    assert axis.ticks == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert LogAxis(lowest=90, highest=2e6, left=0, right=1).ticks == [100, 1000, 10_000, 100_000, 1_000_000]


@pytest.mark.parametrize(("found", "shown"), [(0, ""), (250.4, "250 µs"), (2500, "2.50 ms"), (15_400, "15 ms")])
def test_durations_have_the_unit_that_fits(found: float, shown: str) -> None:
    assert duration(found) == shown
