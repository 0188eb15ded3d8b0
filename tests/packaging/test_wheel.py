"""The wheel, not the source tree, is what users get: build it, install it away from the source, and use it."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT
from tests.printed import code_blocks

# A cold pip has to download the dependencies.
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has the wheel and its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), cwd=folder)
    return python


def run(*command: str, cwd: Path) -> str:
    """Away from the source: another working directory, and no PYTHONPATH that leads back."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    strays = [name for name in names if not name.startswith((*(f"{package}/" for package in PACKAGES), "rustok_iggy-"))]
    assert not strays
    sources = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert sources <= set(names)


def test_every_public_name_is_in_the_installed_wheel(python: str, tmp_path: Path) -> None:
    output = run(python, "-I", str(ROOT / "tests" / "packaging" / "smoke.py"), cwd=tmp_path)
    assert "rustok_iggy: " in output


def test_the_installed_wheel_publishes_and_consumes(python: str, tmp_path: Path) -> None:
    """The README's example, over the embedded server that the wheel brings along."""
    (example,) = code_blocks("README.md", "python")
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    assert "billing 42.0 EUR" in run(python, "-I", str(script), cwd=tmp_path)


def test_the_installed_program_checks_health_without_the_extra_for_the_command_line(
    python: str, tmp_path: Path
) -> None:
    program = Path(python).with_name("rustok-iggy")
    assert "serve_health()" in run(str(program), "health", "--help", cwd=tmp_path)
