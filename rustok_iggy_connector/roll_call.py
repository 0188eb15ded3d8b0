"""Keeps a member on the roll of its group, and logs out who is on it and dead (member_roll.py says who)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from rustok_iggy_connector._sdk import LOGOUT_TIMEOUT
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.errors import (
    AlreadyExistsError,
    ConnectorClosedError,
    ConnectorError,
    NotFoundError,
    ServerError,
)
from rustok_iggy_connector.logging import get_logger
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.member_roll import Attendance, Entry, Roll, RollTiming, Step, read_roll
from rustok_iggy_connector.names import group_of, topic_of
from rustok_iggy_connector.sessions import Session
from rustok_iggy_connector.wire.commands import groups

Bury = Callable[[MemberIdentity], Awaitable[None]]
"""Logs a member in and out again; raises ConnectorError."""

BURIAL_TIMEOUT = 3.0
"""Seconds; a login takes 75 ms, and who is held up for longer answers a call too late. So long tries an id that is
another user's: the server refuses it as it does when it is away.
"""

_log = get_logger("rustok_iggy_connector")


class RollCall:
    """One member's part. `enter` before it joins, `begin` after; `leave` ends it. For one event loop."""

    def __init__(
        self,
        *,
        stream: str,
        topic: str,
        group: str,
        client_id: int,
        bury: Bury,
        timing: RollTiming,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._stream = stream
        self._topic = topic
        self._group = group
        self._client_id = client_id
        self._bury = bury
        self._wait = timing.look_interval
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._attendance = Attendance(client=client_id, group=group, timing=timing)
        self._seen: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._not_buried: set[int] = set()
        self._is_refused = False

    async def enter(self, client: Client) -> None:
        """Be on the roll before a membership begins. Raises ConnectorError.

        But not when the server refuses for good: without an entry a member reads all the same, and is not missed when
        it dies.
        """
        try:
            await self._look(client)
        except ServerError as error:
            if error.retryable:
                raise
            if not self._is_refused:
                _log.warning("member_not_recorded", reason=str(error))
            self._is_refused = True

    def begin(self, session: Session) -> None:
        """Look at the roll from now on. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._attend(session), name=f"roll of {self._group}")

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()

    async def leave(self, client: Client) -> None:
        """Leave the group, then the roll: the other way round would leave a member without an entry. Raises nothing."""
        self.stop()
        with contextlib.suppress(ConnectorError, TimeoutError):
            async with asyncio.timeout(LOGOUT_TIMEOUT):
                await self._leave_group(client)
                roll = await self._roll(client)
                await self._strike(client, [entry.name for entry in roll.entries if entry.client == self._client_id])

    async def _leave_group(self, client: Client) -> None:
        request = groups.LeaveGroup(stream=self._stream, topic=self._topic, group=self._group)
        try:
            await client.request(request, subject=self._subject)
        except ServerError as error:
            if error.retryable:  # otherwise it is no member (any more)
                raise

    async def _attend(self, session: Session) -> None:
        # Members that a restarted server meets all at once do not go on looking all at once.
        await self._sleep(self._wait * self._chance())
        while True:
            try:
                while dead := await session.run_as_member(self._look):
                    # Any of them, and then another look: all who live may be doing the same.
                    await self._bury_one(dead[int(self._chance() * len(dead))], session)
            except ConnectorClosedError:
                return
            except ConnectorError as error:  # no session now, or the server will not: the next look tries again
                _log.debug("roll_not_read", reason=str(error))
            await self._sleep(self._wait)

    async def _look(self, client: Client) -> tuple[Entry, ...]:
        """Do what a look asks for; return who is to be buried."""
        if client is not self._seen:
            self._seen = client
            self._attendance.opened()
            self._not_buried.clear()
        roll = await self._roll(client)
        alive = tuple(entry for entry in roll.entries if entry.client not in self._not_buried)
        roll = dataclasses.replace(roll, entries=alive)
        step = self._attendance.look(roll, now=self._clock(), chance=self._chance())
        await self._sign(client, step)
        self._wait = step.wait  # not before the entry says so
        return step.dead

    async def _sign(self, client: Client, step: Step) -> None:
        if step.sign is not None:
            request = groups.CreateGroup(stream=self._stream, topic=self._topic, name=step.sign)
            with contextlib.suppress(AlreadyExistsError):  # sent before, and the answer was lost
                await client.request(request, subject=self._subject)
        await self._strike(client, step.strike)

    async def _bury_one(self, entry: Entry, session: Session) -> None:
        who = MemberIdentity(client=entry.client, is_known=True)
        try:
            async with asyncio.timeout(BURIAL_TIMEOUT):
                await self._bury(who)
        except (ConnectorError, TimeoutError) as error:
            _log.warning("dead_member_not_logged_out", reason=str(error) or "held up")
        if who.is_known:  # tried again when a session was opened anew
            self._not_buried.add(entry.client)
            return
        _log.info("dead_member_logged_out")
        await session.run_as_member(partial(self._strike, names=(entry.name,)))

    async def _strike(self, client: Client, names: Iterable[str]) -> None:
        for name in names:
            request = groups.DeleteGroup(stream=self._stream, topic=self._topic, group=name)
            with contextlib.suppress(NotFoundError):  # another member was faster
                await client.request(request, subject=self._subject)

    async def _roll(self, client: Client) -> Roll:
        request = groups.GetGroups(stream=self._stream, topic=self._topic)
        subject = topic_of(self._stream, self._topic)
        found = await client.ask(request, groups.GroupList, subject=subject)
        listed = () if found is None else found.groups
        return read_roll(((each.id, each.name) for each in listed), group=self._group)

    @property
    def _subject(self) -> str:
        return group_of(self._stream, self._topic, self._group)
