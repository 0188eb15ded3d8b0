"""The roll of a group's members, kept where their membership is kept, and who on it is dead. Decides only.

A server that keeps members when it is restarted (docs/decisions/0006) keeps those of processes that died meanwhile too.
Only a logout with their client id removes them, and no reply shows it. So every member puts itself on a roll before it
joins: an entry is a group without members on the same topic, whose name holds the client id. Its number, which the
server draws from a counter that never goes back, orders it against all others, whatever the clocks of hosts say.

- A call is an entry too. Whoever is on the roll with a lower number than the latest call answers: it makes itself a new
  entry, then deletes the old one. So nobody who lives stays below a call, and nobody is ever without an entry.
- Whoever opened a session cannot know whether the server was restarted. It waits for a call later than that, or makes
  one, and gives everybody below it time to answer from when it saw it. Who is below it then is dead.
- The more entries a topic has, the longer everybody waits between two looks: all of them together look so many times a
  second and no more. How long a member may wait stands in its own entry, and so how much time it is given. It makes a
  new entry before it waits longer.

Who lives and answers too late is logged out, and joins again: that costs a rebalance and repeats events, no more. Why
it is done so: docs/decisions/0012.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from rustok_iggy_connector.member_identity import CLIENT_ID_BITS

ROLL_PREFIX = "rk-member."
"""How the names of all entries begin. No group that is read in should be called so."""
_REST = re.compile(rf"([0-9a-f]{{{CLIENT_ID_BITS // 4}}})\.([0-9]{{1,18}})\.([0-9])(\.call)?")
MAX_LOOKS = 50
"""A second, of all members of a topic together. Each is answered with all entries: a thousand of them are 80 kB, and
0.25 ms of the server's processor (iggy-server 0.9.0-edge.5).
"""
MOST_DOUBLINGS = 9
"""One digit of a name. With so many 50 000 members look often enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollTiming:
    """Seconds: between two looks at a small roll; up to this long before a call; and until who did not answer is dead.

    `answer_timeout` holds five looks, and is a third of what the server gives a silent member. The wait before a call
    lets the members that a restarted server meets all at once do with one. `max_looks` a second are made by all.
    """

    look_interval: float = 2.0
    call_delay: float = 2.0
    answer_timeout: float = 10.0
    max_looks: float = MAX_LOOKS

    def doublings(self, members: int) -> int:
        """How often the wait between two looks is doubled for so many members."""
        at_once = math.ceil(members / (self.max_looks * self.look_interval))
        return min(max(at_once - 1, 0).bit_length(), MOST_DOUBLINGS)

    def wait(self, doublings: int) -> float:
        """Seconds between two looks. Only steps: with each a member has to make a new entry."""
        return self.look_interval * (1 << doublings)

    def patience(self, doublings: int) -> float:
        """Seconds for one that waits so long to answer: it may fail once, and has as much left as at the smallest."""
        return self.answer_timeout + 2 * (self.wait(doublings) - self.look_interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a roll. `id` orders it; `count` tells a member's own apart; `doublings` say how long it may wait."""

    id: int
    client: int
    count: int
    doublings: int
    is_call: bool
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do after a look, in this order: make the entry `sign`, delete those in `strike`, bury `dead`.

    The next look is due `wait` seconds later.
    """

    wait: float
    sign: str | None = None
    strike: tuple[str, ...] = ()
    dead: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """The entries of one group in ascending order of number, and how many there are on its topic for any group."""

    entries: tuple[Entry, ...]
    on_topic: int


def roll_of(group: str) -> str:
    """Return how the names of a group's entries begin. A digest: a group's name may take all that a name may have."""
    return f"{ROLL_PREFIX}{blake2b(group.encode(), digest_size=8).hexdigest()}."


def read_roll(groups: Iterable[tuple[int, str]], *, group: str) -> Roll:
    """Return the roll of a group from all groups (number, name) of its topic."""
    prefix = roll_of(group)
    entries = [(number, name) for number, name in groups if name.startswith(ROLL_PREFIX)]
    own = (_entry(number, name, prefix) for number, name in sorted(entries) if name.startswith(prefix))
    return Roll(entries=tuple(entry for entry in own if entry is not None), on_topic=len(entries))


def _entry(number: int, name: str, prefix: str) -> Entry | None:
    rest = _REST.fullmatch(name.removeprefix(prefix))
    if rest is None:
        return None
    client, count, doublings, call = rest.groups()
    return Entry(
        id=number,
        client=int(client, 16),
        count=int(count),
        doublings=int(doublings),
        is_call=call is not None,
        name=name,
    )


class Attendance:
    """What one member does about the roll of its group. Every look is given the roll, and the time in seconds."""

    def __init__(self, *, client: int, group: str, timing: RollTiming) -> None:
        self._client = client
        self._prefix = roll_of(group)
        self._timing = timing
        self._is_unsure = True
        self._since: int | None = None
        self._call_at = 0.0
        self._call: int | None = None
        self._called_at = 0.0

    def opened(self) -> None:
        """The session is a new one: members may have died with a server that is back."""
        self._is_unsure = True
        self._since = self._call = None

    def look(self, roll: Roll, *, now: float, chance: float) -> Step:
        """Say what to do. `chance`, from 0 to 1, spreads members that look at the same time."""
        own = tuple(entry for entry in roll.entries if entry.client == self._client)
        latest_call = max((entry.id for entry in roll.entries if entry.is_call), default=0)
        doublings = self._timing.doublings(roll.on_topic)
        calls, dead, until = self._round(roll.entries, now=now, chance=chance)
        wait = min(self._timing.wait(doublings), until)
        if own and own[-1].id >= latest_call and own[-1].doublings >= doublings and not calls:
            return Step(wait=wait, strike=tuple(entry.name for entry in own[:-1]), dead=dead)
        count = 1 + max((entry.count for entry in own), default=0)
        name = f"{self._prefix}{self._client:0{CLIENT_ID_BITS // 4}x}.{count}.{doublings}{'.call' if calls else ''}"
        return Step(wait=wait, sign=name, strike=tuple(entry.name for entry in own), dead=dead)

    def _round(self, roll: tuple[Entry, ...], *, now: float, chance: float) -> tuple[bool, tuple[Entry, ...], float]:
        """Whether to call, who is dead, and the seconds until somebody may be."""
        others = {entry.client: entry for entry in roll if entry.client != self._client}
        self._is_unsure = self._is_unsure and bool(others)
        if not self._is_unsure:
            return False, (), math.inf
        if self._since is None:
            self._since = roll[-1].id
            self._call_at = now + chance * self._timing.call_delay
        if self._call is None:
            self._call = next((entry.id for entry in roll if entry.is_call and entry.id > self._since), None)
            self._called_at = now
        if self._call is None:
            return now >= self._call_at, (), math.inf
        passed = now - self._called_at
        silent = [entry for entry in others.values() if entry.id < self._call]
        left = {entry: self._timing.patience(entry.doublings) - passed for entry in silent}
        self._is_unsure = bool(silent)
        dead = tuple(entry for entry in silent if left[entry] <= 0)
        return False, dead, min((seconds for seconds in left.values() if seconds > 0), default=math.inf)
