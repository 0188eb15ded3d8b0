"""A drawing as PNG, for where an SVG cannot be put: a chat, a slide, an issue. Needs Pillow (the extra `bench`)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache

from PIL import Image, ImageColor, ImageDraw, ImageFont

from benchmarks.drawing import CORNER, GROUND, LETTERS, LINES, Bar, Dot, Drawing, Line, Shape, Text

SCALE = 2
"""Pixels of the picture for one of the drawing's: sharp on the screens that most people have."""
HEAD = 26
"""Pixels of the drawing for its title, which an SVG says of itself and a picture has to show."""
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
"""SVG's text-anchor as Pillow's: left, middle, right of the words, on their base line."""
_WRITTEN_OTHERWISE = str.maketrans({"×": "x", "–": "-", "→": "-"})
"""What Pillow's own font has no sign for."""


def png(drawing: Drawing) -> bytes:
    """Return a whole PNG file, with the title above the drawing."""
    canvas = _painted(drawing.width, drawing.height, drawing.shapes)
    title = Text(drawing.width / 2, HEAD - 8, drawing.title, "middle", "")
    image = _painted(drawing.width, drawing.height + HEAD, [title])
    image.paste(canvas, (0, HEAD * SCALE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _painted(width: float, height: float, shapes: Iterable[Shape]) -> Image.Image:
    image = Image.new("RGB", (round(width * SCALE), round(height * SCALE)), GROUND)
    brush = ImageDraw.Draw(image, "RGBA")  # lays what is half transparent over what is there
    for shape in shapes:
        _paint(brush, shape)
    return image


def _paint(brush: ImageDraw.ImageDraw, shape: Shape) -> None:
    match shape:
        case Text(x, y, words, anchor, kind):
            ink, shown = LETTERS[kind], words.translate(_WRITTEN_OTHERWISE)
            place = (x * SCALE, y * SCALE)
            brush.text(place, shown, fill=ink.colour, font=_font(ink.size), anchor=_ANCHORS[anchor])
        case Line(x1, y1, x2, y2, kind):
            ends = (x1 * SCALE, y1 * SCALE, x2 * SCALE, y2 * SCALE)
            brush.line(ends, fill=LINES[kind].colour, width=LINES[kind].size * SCALE)
        case Bar(left, top, width, height, colour, opacity):
            box = (left * SCALE, top * SCALE, (left + width) * SCALE, (top + height) * SCALE)
            brush.rounded_rectangle(box, radius=CORNER * SCALE, fill=_faded(colour, opacity))
        case Dot(x, y, radius, colour, opacity):
            brush.circle((x * SCALE, y * SCALE), radius * SCALE, fill=_faded(colour, opacity))


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own: it is there on every machine."""
    return ImageFont.load_default(size * SCALE)


def _faded(colour: str, opacity: float) -> tuple[int, ...]:
    return (*ImageColor.getrgb(colour)[:3], round(opacity * 255))
