"""Compares what is printed in the docs with what came out.

An id or a fingerprint stands for any other, but always for the same one: a reader's differ from those on the page.
A time or an age stands for any. `…` stands for the rest of a line, and alone on a line for any number of lines. How
wide the columns are does not matter.
"""

from __future__ import annotations

import re

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
FINGERPRINT = r"\b[0-9a-f]{16}\b"
# What stands on the page → what it stands for.
VARYING = {
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z?": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
    r"\b\d+(?:\.\d+)? ?m?s\b": r"\d+(?:\.\d+)? ?(?:m?s|min(?: \d+ s)?)",
    r" *…": r".*",
}
_NAMED = re.compile(rf"{UUID}|{FINGERPRINT}")
_PIECES = re.compile("|".join(f"({pattern})" for pattern in (rf"{UUID}|{FINGERPRINT}", *VARYING)))


class Names:
    """Which id on the page is which id here."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {}

    def fill_in(self, command: str) -> str:
        """Return a command of the page with this machine's ids."""
        return _NAMED.sub(lambda found: self.here.get(found[0], found[0]), command)

    def match(self, expected: str, printed: str, *, whole: bool = True) -> bool:
        """Whether this was printed, as all there is or somewhere; ids that the page names for the first time are
        remembered when it was.
        """
        groups: dict[str, str] = {}
        lines = [self._pattern(line, groups) for line in _squeezed(expected).splitlines()]
        pattern, text = "".join(lines), _squeezed(printed)
        found = re.fullmatch(pattern, text) if whole else re.search(f"^{pattern}", text, re.MULTILINE)
        if found is None:
            return False
        self.here |= {name: found[group] for name, group in groups.items()}
        return True

    def _pattern(self, line: str, groups: dict[str, str]) -> str:
        if line == "…":
            return r"(?:.*\n)*?"
        parts, end = [], 0
        for found in _PIECES.finditer(line):
            parts += [re.escape(line[end : found.start()]), self._piece(found, groups)]
            end = found.end()
        return "".join([*parts, re.escape(line[end:]), r"\n"])

    def _piece(self, found: re.Match[str], groups: dict[str, str]) -> str:
        if found[1] is None:
            return next(what for number, what in enumerate(VARYING.values(), start=2) if found[number] is not None)
        name = found[0]
        if name in self.here:
            return re.escape(self.here[name])
        if name in groups:
            return f"(?P={groups[name]})"
        groups[name] = f"id{len(groups)}"
        return f"(?P<{groups[name]}>{UUID if '-' in name else FINGERPRINT})"


def _squeezed(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)
