"""What charts are drawn with: lines, bars, dots and words on a logarithmic axis; as SVG here, as PNG in painting.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple


class Ink(NamedTuple):
    """A colour, and the size of the letters or the width of the line that have it, in pixels."""

    colour: str
    size: int


LETTERS = {"": Ink("#1f2937", 13), "small": Ink("#6b7280", 11)}
LINES = {"grid": Ink("#e5e7eb", 1), "one": Ink("#111827", 1), "aim": Ink("#b91c1c", 2)}
FACES = 'system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif'
STYLE = "\n".join(
    [
        f"text {{ font-family: {FACES}; font-variant-numeric: tabular-nums; }}",
        *(
            f"text{kind and '.' + kind} {{ font-size: {ink.size}px; fill: {ink.colour}; }}"
            for kind, ink in LETTERS.items()
        ),
        *(f".{kind} {{ stroke: {ink.colour}; stroke-width: {ink.size}; }}" for kind, ink in LINES.items()),
    ]
)
GROUND = "#ffffff"
CORNER = 2
"""Radius of a bar's corners."""
_STEPS = (1, 2, 5)


class Text(NamedTuple):
    """Words on the line that `y` is at; `anchor` is start, middle or end: which of theirs `x` is."""

    x: float
    y: float
    words: str
    anchor: str
    kind: str

    @property
    def svg(self) -> str:
        place = f'x="{self.x:.1f}" y="{self.y:.1f}" text-anchor="{self.anchor}"'
        return f'<text {place} class="{self.kind}">{escape(self.words)}</text>'


class Line(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float
    kind: str

    @property
    def svg(self) -> str:
        ends = f'x1="{self.x1:.1f}" y1="{self.y1:.1f}" x2="{self.x2:.1f}" y2="{self.y2:.1f}"'
        return f'<line {ends} class="{self.kind}"/>'


class Bar(NamedTuple):
    left: float
    top: float
    width: float
    height: float
    colour: str
    opacity: float

    @property
    def svg(self) -> str:
        place = f'x="{self.left:.1f}" y="{self.top:.1f}" width="{self.width:.1f}" height="{self.height:.1f}"'
        return f'<rect {place} rx="{CORNER}" fill="{self.colour}" opacity="{self.opacity}"/>'


class Dot(NamedTuple):
    x: float
    y: float
    radius: float
    colour: str
    opacity: float

    @property
    def svg(self) -> str:
        place = f'cx="{self.x:.1f}" cy="{self.y:.1f}" r="{self.radius}"'
        return f'<circle {place} fill="{self.colour}" opacity="{self.opacity}"/>'


Shape = Text | Line | Bar | Dot


@dataclass(frozen=True, kw_only=True)
class LogAxis:
    """Values from `lowest` to `highest` between two places across the drawing."""

    lowest: float
    highest: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """The place of a value; what is off the axis stands at its end."""
        inside = min(max(value, self.lowest), self.highest)
        share = math.log(inside / self.lowest) / math.log(self.highest / self.lowest)
        return self.left + share * (self.right - self.left)

    @property
    def ticks(self) -> list[float]:
        """1, 2, 5, 10 … as far as they fit; only powers of ten where those would be too many."""
        powers = range(math.floor(math.log10(self.lowest)), math.ceil(math.log10(self.highest)) + 1)
        steps = _STEPS if len(powers) <= 4 else _STEPS[:1]
        found = [step * 10.0**power for power in powers for step in steps]
        return [each for each in found if self.lowest <= each <= self.highest]


@dataclass(kw_only=True)
class Drawing:
    """Shapes, those that come later over those before."""

    width: float
    height: float
    title: str
    shapes: list[Shape] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> None:
        self.shapes.append(Text(x, y, words, anchor, kind))

    def line(self, x1: float, y1: float, x2: float, y2: float, *, kind: str) -> None:
        self.shapes.append(Line(x1, y1, x2, y2, kind))

    def bar(self, x1: float, x2: float, y: float, *, height: float, colour: str, opacity: float = 1.0) -> None:
        self.shapes.append(Bar(min(x1, x2), y, max(abs(x2 - x1), 1.0), height, colour, opacity))

    def dot(self, x: float, y: float, *, radius: float, colour: str, opacity: float = 1.0) -> None:
        self.shapes.append(Dot(x, y, radius, colour, opacity))

    def axis(self, axis: LogAxis, *, top: float, bottom: float, unit: str) -> None:
        for tick in axis.ticks:
            self.line(axis.at(tick), top, axis.at(tick), bottom, kind="grid")
            self.text(axis.at(tick), bottom + 14, f"{tick:,g}{unit}", anchor="middle", kind="small")

    @property
    def svg(self) -> str:
        """A whole SVG file, which can also stand in a page."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" role="img"'
        title = f"<title>{escape(self.title)}</title>"
        ground = f'<rect width="100%" height="100%" fill="{GROUND}"/>'
        shapes = [each.svg for each in self.shapes]
        return "\n".join([f"{head}>", title, f"<style>\n{STYLE}\n</style>", ground, *shapes, "</svg>"])
