"""Catalogues and handlers of the host, by name."""

import sys
from pathlib import Path

import pytest

from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.named_objects import load_catalog, load_handler
from rustok_iggy.events import RUSTOK
from tests.consumer.hosts import catalog


def test_without_a_name_it_is_rustoks() -> None:
    assert load_catalog(None) is RUSTOK
    assert load_catalog("tests.consumer.hosts:catalog") is catalog


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nomodule", "is not module:name"),
        ("no.such.module:x", "there is no module no"),
        ("tests.consumer.hosts:nothing", "the module has no nothing"),
        ("tests.consumer.hosts:QUICK", "is a dict, not an EventCatalog"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(name: str, said: str) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        load_catalog(name)
    assert caught.value.code is ExitCode.CONFIGURATION


def test_a_handler_is_called() -> None:
    assert load_handler("tests.consumer.hosts:counted") is not None
    with pytest.raises(CommandError, match="not a handler"):
        load_handler("tests.consumer.hosts:TENANT")


@pytest.mark.parametrize("text", ["raise AttributeError('x')", "def (", "import os; os.environ['NOT_SET']"])
def test_a_module_that_cannot_be_imported_is_no_defect_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "broken_module_of_this_test.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    with pytest.raises(CommandError, match=r"importing broken_module_of_this_test raised \w+; python -c") as caught:
        load_handler("broken_module_of_this_test:handle")
    assert caught.value.code is ExitCode.CONFIGURATION


def test_modules_are_looked_for_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_of_this_test.py").write_text("def handle(envelope, context): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # puts sys.path back at the end
    assert load_handler("shop_of_this_test:handle").__name__ == "handle"
