"""Members and what is left of them when their process died."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rustok_iggy_connector.member_identity import MAX_ABANDONED, MemberDirectory, MemberIdentity

REPOSITORY = Path(__file__).parents[2]
MEMBER = """
import sys, time, pathlib
from rustok_iggy_connector.member_identity import MemberDirectory
who = MemberDirectory(pathlib.Path(sys.argv[1])).enter()
print(f"{who.client:x}", flush=True)
time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path: Path) -> MemberDirectory:
    return MemberDirectory(tmp_path / "members")


def die(directory: MemberDirectory) -> int:
    who = directory.enter()
    who.is_known = True
    who.release()
    return who.client


def clients(directory: MemberDirectory) -> list[int]:
    found = []
    for dead in directory.abandoned():
        found.append(dead.client)
        dead.release()
    return found


def test_a_member_that_lives_is_not_abandoned(directory: MemberDirectory) -> None:
    who = directory.enter()
    assert list(directory.abandoned()) == []
    who.release()


def test_nobody_was_ever_here(directory: MemberDirectory) -> None:
    assert list(directory.abandoned()) == []


def test_a_member_that_the_server_does_not_know_leaves_nothing(directory: MemberDirectory, tmp_path: Path) -> None:
    who = directory.enter()
    who.release()
    who.release()
    assert list((tmp_path / "members").iterdir()) == []


def test_a_member_that_the_server_may_know_is_found_until_it_is_logged_out(directory: MemberDirectory) -> None:
    client = die(directory)
    assert clients(directory) == [client]
    assert clients(directory) == [client]
    for dead in directory.abandoned():
        dead.is_known = False
        dead.release()
    assert clients(directory) == []


def test_two_that_look_at_once_do_not_take_the_same(directory: MemberDirectory) -> None:
    both = {die(directory), die(directory)}
    first, second = directory.abandoned(), directory.abandoned()
    taken = [next(first), next(second)]
    assert {one.client for one in taken} == both
    assert list(first) == list(second) == []
    for one in taken:
        one.release()


def test_what_is_too_much_at_once_is_left_for_the_next(directory: MemberDirectory) -> None:
    for _ in range(MAX_ABANDONED + 2):
        die(directory)
    taken = list(directory.abandoned())
    assert len(taken) == MAX_ABANDONED
    assert len(list(directory.abandoned())) == 2
    for one in taken:
        one.release()


def test_other_files_are_left_alone(directory: MemberDirectory, tmp_path: Path) -> None:
    die(directory)
    for name in ("README", "z" * 32):
        (tmp_path / "members" / name).write_text("")
    assert len(clients(directory)) == 1


def test_a_killed_process_abandons_its_member(directory: MemberDirectory, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", MEMBER, str(tmp_path / "members")], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout is not None
    client = int(process.stdout.readline(), 16)
    assert clients(directory) == []
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert clients(directory) == [client]


def test_ids_differ_and_are_never_zero() -> None:
    drawn = {MemberIdentity().client for _ in range(100)}
    assert len(drawn) == 100
    assert 0 not in drawn
