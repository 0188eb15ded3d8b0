"""The demo agrees with git on whatever a repository may hold, and says so when it does not."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from rustok_iggy import DeadLetter, IggyConfig
from tests.architecture.source_tree import ROOT

EXAMPLE = ROOT / "examples" / "commit_stream.py"
SERVER = os.environ.get("RUSTOK_IGGY_SERVER")


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if SERVER:
        monkeypatch.setenv("IGGY_SERVER_PATH", SERVER)
    spec = importlib.util.spec_from_file_location("commit_stream", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "commit_stream", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def in_memory(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is started: what the demo compares does not depend on where the events were."""
    monkeypatch.setattr(demo, "IggyConfig", lambda **_: IggyConfig(mode="memory"))


class Repository:
    """A repository to write history into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false", *arguments],
            cwd=self.path,
            check=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        )

    def write(self, path: bytes | str, content: bytes) -> None:
        whole = self.path / os.fsdecode(path)
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(content)

    def commit(self, *options: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change", *options)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Text, binary files, odd names, a rename, an empty commit, a merge with changes on both sides, a deletion."""
    repository = Repository(tmp_path / "history")
    repository.write("app/text", b"one\ntwo\n")
    repository.write("app/picture", b"\0\1\2")
    repository.write("top", b"line\n")
    repository.commit()
    repository.commit("--allow-empty")
    repository.write(b"l\xe9gacy/new\nline\tand\\tab", b"1\n2\n3\n")
    repository.write(b"\nnewline first", b"x\n")
    repository.write("app/deep/er/text", b"\n".join(b"%d" % number for number in range(100)))
    repository.commit()
    repository.git("mv", "app/text", "docs")
    repository.commit()
    repository.git("checkout", "--quiet", "-b", "side")
    repository.write("app/deep/er/text", b"short\n")
    repository.commit()
    repository.git("checkout", "--quiet", "main")
    repository.write("other/file", b"no newline at the end")
    repository.commit()
    repository.git("merge", "--quiet", "--no-edit", "side")
    for number in range(30):
        repository.write("app/counter", b"%d\n" % number)
        repository.write("other/counter", b"%d\n" % number * number)
        repository.commit()
    (repository.path / "app" / "picture").unlink()
    repository.commit()
    return repository


def test_it_agrees_with_git(demo: ModuleType, repository: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.main([str(repository.path)]) == 0
    output = capfd.readouterr().out
    assert "reconciled: every total and every tenant's order is git's" in output
    assert "lag 0" in output
    assert "as dead letters (BinaryFileError" in output
    assert "1 of 4 tenants parked" in output
    assert "mended and redriven: " in output
    assert "replayed history/app: 36 events, in the same order" in output
    totals = demo.gits_own_totals(demo.Repository(repository.path, "history"))
    assert totals["history/app"].binary == 2
    assert totals["history/app"].files == 36
    assert "history/l\\xe9gacy" in totals


def test_it_runs_again_and_on_several_of_one_name(demo: ModuleType, tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "elsewhere").mkdir()
    second = Repository(tmp_path / "elsewhere" / "history")
    second.write("app/text", b"another\n")
    second.commit()
    assert demo.main([str(repository.path), str(second.path), str(second.path)]) == 0
    assert demo.main([str(second.path)]) == 0


def test_a_shallow_clone_is_read_as_far_as_it_goes(
    demo: ModuleType, tmp_path: Path, repository: Repository, capfd: pytest.CaptureFixture[str]
) -> None:
    shallow = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth", "5", f"file://{repository.path}", str(shallow))
    assert demo.main([str(shallow)]) == 0
    assert "lag 0" in capfd.readouterr().out


@pytest.mark.usefixtures("in_memory")
def test_only_empty_commits_are_no_reason_to_fail(demo: ModuleType, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "empty")
    repository.commit("--allow-empty")
    assert demo.main([str(repository.path)]) == 0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_its_own_repository_may_belong_to_somebody_else(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    (repository,) = demo.repositories_of([])
    assert demo.gits_own_totals(repository).files > 0


@pytest.mark.parametrize("kind", ["no commits", "no repository", "a file", "nothing"])
def test_what_has_no_history_is_refused_in_one_line(
    demo: ModuleType, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    path = tmp_path / "here"
    if kind == "no commits":
        Repository(path)
    elif kind == "no repository":
        path.mkdir()
    elif kind == "a file":
        path.touch()
    assert demo.main([str(path)]) == 2
    assert capsys.readouterr().err == f"{path} is not a git repository with at least one commit\n"


def planted(demo: ModuleType, change: str) -> Any:
    """The reader of the history, with one mistake in it."""
    read = demo.changes

    async def changes(repository: Any) -> AsyncIterator[Any]:
        everything = [event async for event in read(repository)]
        # Two changes of one tenant, from different commits.
        first, second = [index for index, event in enumerate(everything) if event.path == "app/counter"][:2]
        if change == "a line more":
            everything[first] = replace(everything[first], added=2)
        elif change == "a binary file as text":
            binary = next(index for index, event in enumerate(everything) if event.added is None)
            everything[binary] = replace(everything[binary], added=0, removed=0)
        elif change == "one lost":
            del everything[first]
        elif change == "one twice":
            everything.insert(first, everything[first])
        elif change == "two swapped":
            everything[first], everything[second] = everything[second], everything[first]
        for event in everything:
            yield event

    return changes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("a line more", "history/app: git says"),
        ("a binary file as text", "history/app: git says"),
        ("one lost", "changed files, "),
        ("one twice", "changed files, "),
        ("two swapped", "(commit, path), but"),
    ],
)
@pytest.mark.usefixtures("in_memory")
def test_a_planted_difference_makes_it_fail(
    demo: ModuleType,
    repository: Repository,
    change: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(demo, "changes", planted(demo, change))
    assert demo.main([str(repository.path)]) == 1
    output = capfd.readouterr().out
    assert "DIFFERS: " in output
    assert said in output


@pytest.mark.usefixtures("in_memory")
def test_an_event_that_is_not_handled_is_noticed(
    demo: ModuleType, repository: Repository, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    handle = demo.Consumer.handle
    skipped: list[object] = []

    async def forgetful(self: Any, envelope: Any, context: Any) -> None:
        if skipped:
            await handle(self, envelope, context)
        else:
            skipped.append(envelope.id)
            self.handled += 1

    monkeypatch.setattr(demo.Consumer, "handle", forgetful)
    assert demo.main([str(repository.path)]) == 1
    assert "DIFFERS: " in capfd.readouterr().out


@pytest.mark.usefixtures("in_memory")
def test_a_tenant_that_is_not_held_back_is_noticed(
    demo: ModuleType, repository: Repository, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "ParkTenant", DeadLetter)
    assert demo.main([str(repository.path)]) == 1
    output = capfd.readouterr().out
    assert "DIFFERS: history/app: event " in output
    assert "events were handled before the redrive, not " in output
