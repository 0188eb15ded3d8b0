"""Whose password is hashed next."""

from collections.abc import Callable
from typing import Any

from rustok_iggy_connector.local_server.slow_work import SlowWork


class Thread:
    """Does a piece of work when the test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def start(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.started.append((work, then))

    def run_all(self) -> None:
        while self.started:
            assert len(self.started) == 1, "one at a time"
            work, then = self.started.pop()
            then(work())


def in_order(*logins: tuple[str, int]) -> list[str]:
    """The accounts in the order in which they are served; all wait from the beginning, but the first."""
    thread, served = Thread(), list[str]()
    slow = SlowWork(thread.start)
    for account, guesses in logins:
        slow.submit(lambda account=account: account, served.append, account, guesses)
    thread.run_all()
    return served


def test_equals_are_served_in_their_order() -> None:
    assert in_order(("a", 0), ("b", 0), ("c", 0)) == ["a", "b", "c"]


def test_who_is_guessed_at_waits_for_the_others() -> None:
    assert in_order(("a", 3), ("a", 3), ("b", 0), ("c", 1)) == ["a", "b", "c", "a"]


def test_guesses_that_wait_count_too() -> None:
    assert in_order(*[("a", 0)] * 5, ("b", 0)) == ["a", "b", *["a"] * 4]


def test_work_that_follows_from_an_answer_is_done_as_well() -> None:
    thread, served = Thread(), list[str]()
    slow = SlowWork(thread.start)

    def again(answer: str) -> None:
        served.append(answer)
        if len(served) < 3:
            slow.submit(lambda: "next", again, "a", 0)

    slow.submit(lambda: "first", again, "a", 0)
    thread.run_all()
    assert served == ["first", "next", "next"]
