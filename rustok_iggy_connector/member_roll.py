"""The roll of a group's members, kept where their membership is kept, and who on it is dead. Decides only.

A server that keeps members when it is restarted (docs/decisions/0006) keeps those of processes that died meanwhile too.
Only a logout with their client id removes them, and no reply shows it. So every member puts itself on a roll before it
joins: an entry is a group without members on the same topic, whose name holds the client id. Its number, which the
server draws from a counter that never goes back, orders it against all others, whatever the clocks of hosts say.

- A call is an entry too. Whoever is on the roll with a lower number than the latest call answers: it makes itself a new
  entry, then deletes the old one. So nobody who lives stays below a call, and nobody is ever without an entry.
- Whoever opened a session cannot know whether the server was restarted. It waits for a call later than that, or makes
  one, and gives everybody `answer_timeout` from when it saw it. Who is below it then is dead.

Who lives and answers too late is logged out, and joins again: that costs a rebalance and repeats events, no more. Why
it is done so: docs/decisions/0012.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from rustok_iggy_connector.member_identity import CLIENT_ID_BITS

ROLL_PREFIX = "rk-member."
"""How the names of all entries begin. No group that is read in should be called so."""
_REST = re.compile(rf"([0-9a-f]{{{CLIENT_ID_BITS // 4}}})\.([0-9]{{1,18}})(\.call)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RollTiming:
    """Seconds: between two looks at the roll; up to this long before a call; and until who did not answer is dead.

    `answer_timeout` holds five looks, and is a third of what the server gives a silent member. The wait before a call
    lets the members that a restarted server meets all at once do with one.
    """

    look_interval: float = 2.0
    call_delay: float = 2.0
    answer_timeout: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a roll. `id` orders it; `count` tells a member's own apart."""

    id: int
    client: int
    count: int
    is_call: bool
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do after a look, in this order: make the entry `sign`, delete those in `strike`, bury `dead`."""

    sign: str | None = None
    strike: tuple[str, ...] = ()
    dead: tuple[Entry, ...] = ()


def roll_of(group: str) -> str:
    """Return how the names of a group's entries begin. A digest: a group's name may take all that a name may have."""
    return f"{ROLL_PREFIX}{blake2b(group.encode(), digest_size=8).hexdigest()}."


def read_roll(groups: Iterable[tuple[int, str]], *, group: str) -> tuple[Entry, ...]:
    """Return the entries of a group among all groups (number, name) of its topic, in ascending order of number."""
    prefix = roll_of(group)
    found = []
    for number, name in groups:
        rest = _REST.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if rest is not None:
            client, count, call = rest.groups()
            found.append(
                Entry(id=number, client=int(client, 16), count=int(count), is_call=call is not None, name=name)
            )
    return tuple(sorted(found, key=lambda entry: entry.id))


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
        self._dead_at = 0.0

    def opened(self) -> None:
        """The session is a new one: members may have died with a server that is back."""
        self._is_unsure = True
        self._since = self._call = None

    def look(self, roll: tuple[Entry, ...], *, now: float, chance: float) -> Step:
        """Say what to do. `chance`, from 0 to 1, spreads members that look at the same time."""
        own = tuple(entry for entry in roll if entry.client == self._client)
        latest_call = max((entry.id for entry in roll if entry.is_call), default=0)
        signs = not own or own[-1].id < latest_call
        calls, dead = self._round(roll, now=now, chance=chance) if self._is_unsure else (False, ())
        if not signs and not calls:
            return Step(strike=tuple(entry.name for entry in own[:-1]), dead=dead)
        count = 1 + max((entry.count for entry in own), default=0)
        name = f"{self._prefix}{self._client:0{CLIENT_ID_BITS // 4}x}.{count}{'.call' if calls else ''}"
        return Step(sign=name, strike=tuple(entry.name for entry in own), dead=dead)

    def _round(self, roll: tuple[Entry, ...], *, now: float, chance: float) -> tuple[bool, tuple[Entry, ...]]:
        """Whether to call, and who is dead."""
        others = {entry.client: entry for entry in roll if entry.client != self._client}
        if not others:
            self._is_unsure = False
            return False, ()
        if self._since is None:
            self._since = roll[-1].id
            self._call_at = now + chance * self._timing.call_delay
        if self._call is None:
            self._call = next((entry.id for entry in roll if entry.is_call and entry.id > self._since), None)
            self._dead_at = now + self._timing.answer_timeout
            return self._call is None and now >= self._call_at, ()
        if now < self._dead_at:
            return False, ()
        dead = tuple(entry for entry in others.values() if entry.id < self._call)
        self._is_unsure = bool(dead)
        return False, dead
