"""What the README points to exists, and its example is short. What it prints is run by test_pages.py."""

import re
from pathlib import Path

import pytest

from rustok_iggy import IggyConfig, IggyMode
from tests.architecture.source_tree import ROOT
from tests.printed import code_blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_configuration_it_prints_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = code_blocks("README.md", "yaml")
    (tmp_path / "iggy.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("IGGY_PASSWORD", "from the environment")
    config = IggyConfig.load(tmp_path / "iggy.yaml")
    assert config.mode is IggyMode.REMOTE
    assert config.remote.addresses == ("127.0.0.1:8090",)
    assert config.remote.password == "from the environment"


def test_the_example_is_twenty_lines() -> None:
    (example,) = code_blocks("README.md", "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_make_target_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(
        re.findall(
            r"\bmake ([a-z]+)\b(?=[^\n]*)", "\n".join(re.findall(r"`[^`\n]+`", README) + code_blocks("README.md", "sh"))
        )
    )
    assert named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named), named
