"""What charts are drawn with: lines, bars, dots and words of an SVG, on a logarithmic axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2937; }
.small { font-size: 11px; fill: #6b7280; }
.value { font-variant-numeric: tabular-nums; }
.grid { stroke: #e5e7eb; } .one { stroke: #111827; } .aim { stroke: #b91c1c; stroke-width: 2; }
"""
_STEPS = (1, 2, 5)


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
    width: float
    height: float
    title: str
    _parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, kind: str) -> None:
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def bar(self, x1: float, x2: float, y: float, *, height: float, colour: str, opacity: float = 1.0) -> None:
        left, width = min(x1, x2), max(abs(x2 - x1), 1.0)
        place = f'x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"'
        self._parts.append(f'<rect {place} fill="{colour}" opacity="{opacity}"/>')

    def dot(self, x: float, y: float, *, radius: float, colour: str, opacity: float = 1.0) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" opacity="{opacity}"/>')

    def axis(self, axis: LogAxis, *, top: float, bottom: float, unit: str) -> None:
        for tick in axis.ticks:
            self.line(axis.at(tick), top, axis.at(tick), bottom, kind="grid")
            self.text(axis.at(tick), bottom + 14, f"{tick:,g}{unit}", anchor="middle", kind="small")

    @property
    def svg(self) -> str:
        """A whole SVG file, which can also stand in a page."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" role="img"'
        title = f"<title>{escape(self.title)}</title>"
        ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
        return "\n".join([f"{head}>", title, f"<style>{STYLE}</style>", ground, *self._parts, "</svg>"])
